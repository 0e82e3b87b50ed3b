// Pictures: memory with guards around every row, and what comes in by a clip.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "properties.h"

struct Rect {
    int x1 = 0, y1 = 0, x2 = 0, y2 = 0;
    int width() const { return x2 > x1 ? x2 - x1 : 0; }
    int height() const { return y2 > y1 ? y2 - y1 : 0; }
    bool contains(const Rect &other) const {
        return x1 <= other.x1 && y1 <= other.y1 && x2 >= other.x2 && y2 >= other.y2;
    }
    bool holds(int x, int y) const { return x1 <= x && x < x2 && y1 <= y && y < y2; }
};

Rect intersection(const Rect &one, const Rect &two);
// Canonical coordinates at a render scale as pixels: every pixel that is touched.
Rect pixels_of(const OfxRectD &region, const double scale[2], double pixel_aspect);

// How a picture lies in memory.
struct Layout {
    std::string depth = "OfxBitDepthFloat", components = "OfxImageComponentRGBA";
    int padding = 0;        // bytes after each row
    bool top_down = false;  // negative row bytes
    int shift = 0;          // bytes by which the first pixel is off a multiple of 64
    int channels() const;
    int bytes() const;  // of one channel
};

// The memory of a picture. Guards and padding hold one byte value, pixels that nobody wrote another.
class Pixels {
public:
    Pixels(const Rect &bounds, const Layout &layout);

    const Rect bounds;
    const Layout layout;

    unsigned char *row(int y);
    int row_bytes() const { return layout.top_down ? -stride_ : stride_; }
    // Straight float R G B A to this depth and these components.
    void put(int x, int y, const float rgba[4]);
    // Crimes where guards or padding changed, or, of an output, pixels outside of the window were written or (`all`)
    // inside of it were not (float only: another depth has no value that no picture has).
    void check_guards(const std::string &whose) const;
    void check_window(const Rect &window, bool all) const;
    void remember();                                // the pixels as they are, to see whether they were changed
    void check_unchanged(const std::string &whose) const;
    // Rows from bottom to top without padding.
    std::string packed() const;

private:
    const unsigned char *row(int y) const { return const_cast<Pixels *>(this)->row(y); }
    int line_, stride_;
    std::vector<unsigned char> memory_;
    size_t first_;  // of the row at y1
    uint64_t digest_ = 0;
};

// One picture that a plug-in holds: a property set on pixels that may be shared.
struct Image {
    std::string clip;
    std::shared_ptr<Pixels> pixels;
    std::unique_ptr<PropertySet> properties;
    bool released = false;
};

// What comes in by a clip: nothing, values that a formula gives, or float files of R G B A, rows from bottom to top.
struct Feed {
    enum class Kind { nothing, formula, files } kind = Kind::nothing;
    std::string path;  // of files: with one %d for the frame
    OfxRectD region{0, 0, 0, 0};
    double first = 1, last = 100;
    double pixel_aspect = 1, frame_rate = 24;
    Layout layout;  // components and depth as they come in; padding and direction as pictures of it lie
    bool has(double time) const { return kind != Kind::nothing && first <= time && time <= last; }
};

// A picture of the feed at a time and scale with these bounds.
std::shared_ptr<Pixels> picture(const Feed &feed, double time, const double scale[2], const Rect &bounds,
                                const Layout &layout);

// The value of the formula: exact in float, the same in tests/ofx/host.py.
float formula(int x, int y, int frame, int channel);
