#include "images.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "watch.h"

namespace {

constexpr int kGuard = 4096;
constexpr unsigned char kCanary = 0xc7;
constexpr uint32_t kUnwrittenFloat = 0x7fc1beef;  // a quiet NaN that no arithmetic makes
constexpr unsigned char kUnwrittenByte = 0xeb;

int floor_mod(int value, int by) { return ((value % by) + by) % by; }

// 64 bit FNV-1a.
uint64_t digest(const unsigned char *bytes, size_t count, uint64_t before) {
    for (size_t i = 0; i < count; ++i) before = (before ^ bytes[i]) * 0x100000001b3ull;
    return before;
}

std::vector<float> read_floats(const std::string &path, size_t count) {
    std::ifstream in(path, std::ios::binary);
    std::vector<float> values(count);
    if (!in.read(reinterpret_cast<char *>(values.data()), std::streamsize(count * sizeof(float))))
        throw std::runtime_error("cannot read " + std::to_string(count) + " floats of " + path);
    return values;
}

}  // namespace

Rect intersection(const Rect &one, const Rect &two) {
    Rect both{std::max(one.x1, two.x1), std::max(one.y1, two.y1), std::min(one.x2, two.x2), std::min(one.y2, two.y2)};
    if (both.x2 < both.x1 || both.y2 < both.y1) return {};
    return both;
}

Rect pixels_of(const OfxRectD &region, const double scale[2], double pixel_aspect) {
    const auto down = [](double value) { return int(std::floor(value + 1e-6)); };
    const auto up = [](double value) { return int(std::ceil(value - 1e-6)); };
    return {down(region.x1 * scale[0] / pixel_aspect), down(region.y1 * scale[1]),
            up(region.x2 * scale[0] / pixel_aspect), up(region.y2 * scale[1])};
}

int Layout::channels() const {
    if (components == "OfxImageComponentRGBA") return 4;
    if (components == "OfxImageComponentRGB") return 3;
    if (components == "OfxImageComponentAlpha") return 1;
    throw std::invalid_argument("no components " + components);
}

int Layout::bytes() const {
    if (depth == "OfxBitDepthByte") return 1;
    if (depth == "OfxBitDepthShort") return 2;
    if (depth == "OfxBitDepthFloat") return 4;
    throw std::invalid_argument("no depth " + depth);
}

Pixels::Pixels(const Rect &bounds, const Layout &layout)
    : bounds(bounds), layout(layout), line_(bounds.width() * layout.channels() * layout.bytes()),
      stride_(line_ + layout.padding) {
    const size_t body = size_t(stride_) * bounds.height();
    memory_.assign(body + 2 * kGuard + 64, kCanary);
    const auto address = reinterpret_cast<uintptr_t>(memory_.data()) + kGuard;
    const size_t start = kGuard + (64 - address % 64) % 64 + layout.shift;
    first_ = layout.top_down && bounds.height() ? start + size_t(stride_) * (bounds.height() - 1) : start;
    for (int y = bounds.y1; y < bounds.y2; ++y) {
        if (layout.bytes() != 4) {
            std::memset(row(y), kUnwrittenByte, line_);
            continue;
        }
        for (int i = 0; i < line_; i += 4) std::memcpy(row(y) + i, &kUnwrittenFloat, 4);
    }
}

unsigned char *Pixels::row(int y) {
    return memory_.data() + (std::ptrdiff_t(first_) + std::ptrdiff_t(row_bytes()) * (y - bounds.y1));
}

void Pixels::put(int x, int y, const float rgba[4]) {
    const int channels = layout.channels(), bytes = layout.bytes();
    const float *values = channels == 1 ? rgba + 3 : rgba;
    unsigned char *at = row(y) + size_t(x - bounds.x1) * channels * bytes;
    for (int c = 0; c < channels; ++c, at += bytes) {
        const float whole = std::clamp(values[c], 0.0f, 1.0f) * (bytes == 1 ? 255.0f : 65535.0f);
        const uint16_t rounded = uint16_t(whole + 0.5f);
        if (bytes == 4) std::memcpy(at, &values[c], 4);
        else if (bytes == 2) std::memcpy(at, &rounded, 2);
        else *at = static_cast<unsigned char>(rounded);
    }
}

void Pixels::check_guards(const std::string &whose) const {
    const auto intact = [](const unsigned char *from, size_t count) {
        return std::all_of(from, from + count, [](unsigned char byte) { return byte == kCanary; });
    };
    const size_t body = size_t(stride_) * bounds.height();
    const size_t start = layout.top_down && bounds.height() ? first_ - size_t(stride_) * (bounds.height() - 1) : first_;
    if (!intact(memory_.data(), start) || !intact(memory_.data() + start + body, memory_.size() - start - body))
        watch::crime("memory", "written before or after the picture of " + whose);
    for (int y = bounds.y1; y < bounds.y2; ++y)
        if (!intact(row(y) + line_, layout.padding)) {
            watch::crime("memory", "written into the padding of row " + std::to_string(y) + " of " + whose);
            return;
        }
}

void Pixels::check_window(const Rect &window, bool all) const {
    const int channels = layout.channels();
    long outside = 0, inside = 0;
    for (int y = bounds.y1; y < bounds.y2; ++y)
        for (int x = bounds.x1; x < bounds.x2; ++x)
            for (int c = 0; c < channels; ++c) {
                const unsigned char *at = row(y) + (size_t(x - bounds.x1) * channels + c) * layout.bytes();
                const bool untouched = layout.bytes() == 4
                    ? std::memcmp(at, &kUnwrittenFloat, 4) == 0
                    : std::all_of(at, at + layout.bytes(), [](unsigned char byte) { return byte == kUnwrittenByte; });
                if (window.holds(x, y)) inside += untouched && layout.bytes() == 4;
                else outside += !untouched;
            }
    if (outside) watch::crime("window", std::to_string(outside) + " values outside of the render window were written");
    if (all && inside)
        watch::crime("window", std::to_string(inside) + " values inside of the render window were not written");
}

void Pixels::remember() {
    digest_ = digest(memory_.data(), memory_.size(), 0xcbf29ce484222325ull);
}

void Pixels::check_unchanged(const std::string &whose) const {
    if (digest(memory_.data(), memory_.size(), 0xcbf29ce484222325ull) != digest_)
        watch::crime("memory", "the picture of " + whose + " was changed");
}

std::string Pixels::packed() const {
    std::string bytes;
    bytes.reserve(size_t(line_) * bounds.height());
    for (int y = bounds.y1; y < bounds.y2; ++y) bytes.append(reinterpret_cast<const char *>(row(y)), line_);
    return bytes;
}

float formula(int x, int y, int frame, int channel) {
    return float(floor_mod(x * 7 + y * 13 + frame * 3 + channel * 29, 97)) / 64.0f;
}

std::shared_ptr<Pixels> picture(const Feed &feed, double time, const double scale[2], const Rect &bounds,
                                const Layout &layout) {
    auto made = std::make_shared<Pixels>(bounds, layout);
    const double whole[2] = {1, 1};
    const Rect full = pixels_of(feed.region, whole, feed.pixel_aspect);
    const int frame = int(std::lround(time));
    std::vector<float> values;
    if (feed.kind == Feed::Kind::files) {
        char path[4096];
        std::snprintf(path, sizeof path, feed.path.c_str(), frame);
        values = read_floats(path, size_t(full.width()) * full.height() * 4);
    }
    for (int y = bounds.y1; y < bounds.y2; ++y)
        for (int x = bounds.x1; x < bounds.x2; ++x) {
            // At a smaller scale: the pixel in whose middle it lies.
            const int at_x = std::clamp(int(std::floor((x + 0.5) / scale[0])), full.x1, full.x2 - 1);
            const int at_y = std::clamp(int(std::floor((y + 0.5) / scale[1])), full.y1, full.y2 - 1);
            float rgba[4];
            for (int c = 0; c < 4; ++c) rgba[c] = values.empty() ? formula(at_x, at_y, frame, c) : 0;
            if (!values.empty())
                std::memcpy(rgba, &values[(size_t(at_y - full.y1) * full.width() + at_x - full.x1) * 4], sizeof rgba);
            made->put(x, y, rgba);
        }
    return made;
}
