// A host's image as rows of floats, whatever depth, components and layout it has.
#pragma once

#include <cstddef>

#include "host.h"

namespace vdp {

class Pixels {
public:
    // Of an image that is not empty; it has to outlive this. Throws HostError where it is of a kind never offered.
    explicit Pixels(const Image &image);

    const OfxRectI &bounds() const { return bounds_; }
    // 0: the host does not say.
    double pixel_aspect() const { return pixel_aspect_; }
    int components() const { return components_; }

    // Pixels x1 to x2 of a row as float R G B A; 0 outside of the image. RGB has A = 1, Alpha has R = G = B = A.
    void read(int y, int x1, int x2, float *rgba) const;
    // The same back: bytes and shorts are rounded and clamped. Only what lies in the image is written.
    void write(int y, int x1, int x2, const float *rgba) const;

private:
    enum class Depth { byte, short_, float_ };
    unsigned char *at(int x, int y) const;
    template <class Sample> void read_as(int y, int x1, int x2, float *rgba) const;
    template <class Sample> void write_as(int y, int x1, int x2, const float *rgba) const;

    unsigned char *data_;
    OfxRectI bounds_;
    std::ptrdiff_t row_bytes_;
    Depth depth_ = Depth::float_;
    int components_ = 4;
    double pixel_aspect_;
};

}  // namespace vdp
