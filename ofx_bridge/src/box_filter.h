// A picture at another scale: each pixel is the mean of the area that it covers.
#pragma once

#include <vector>

#include "ofx.h"

namespace vdp {

class BoxFilter {
public:
    // `rgba`: float R G B A over `window`, rows from bottom to top, 0 outside. Not owned; null where that is empty.
    // `step_x`, `step_y`: how many of its pixels one pixel of the result covers, each way. Both have their origin at
    // pixel 0.
    BoxFilter(const float *rgba, const OfxRectI &window, double step_x, double step_y);

    // Pixels x1 to x2 of a row of the result.
    void row(int y, int x1, int x2, float *rgba);

private:
    struct Part {
        int at;
        float weight;
    };
    struct Span {
        std::size_t first, last;  // of parts_
    };

    static void cover(double from, double to, int least, int most, std::vector<Part> &parts);
    void prepare(int x1, int x2);
    void copy(int y, int x1, int x2, float *rgba) const;
    const float *source(int x, int y) const;

    const float *pixels_;
    OfxRectI window_;
    double step_x_, step_y_;
    int prepared_x1_ = 0, prepared_x2_ = 0;
    std::vector<Part> parts_, rows_;
    std::vector<Span> spans_;
};

}  // namespace vdp
