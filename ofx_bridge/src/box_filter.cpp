#include "box_filter.h"

#include <algorithm>
#include <cmath>

namespace vdp {

BoxFilter::BoxFilter(const float *rgba, const OfxRectI &window, double step_x, double step_y)
    : pixels_(rgba), window_(window), step_x_(step_x), step_y_(step_y) {}

const float *BoxFilter::source(int x, int y) const {
    const std::ptrdiff_t width = window_.x2 - window_.x1;
    return pixels_ + 4 * (width * (y - window_.y1) + (x - window_.x1));
}

void BoxFilter::row(int y, int x1, int x2, float *rgba) {
    if (pixels_ != nullptr && step_x_ == 1.0 && step_y_ == 1.0) {
        copy(y, x1, x2, rgba);
        return;
    }
    std::fill(rgba, rgba + 4 * std::ptrdiff_t{x2 - x1}, 0.0f);
    if (pixels_ == nullptr) return;
    prepare(x1, x2);
    rows_.clear();
    cover(y * step_y_, (y + 1) * step_y_, window_.y1, window_.y2, rows_);
    for (const Part &line : rows_) {
        float *pixel = rgba;
        for (const Span &span : spans_) {
            for (std::size_t i = span.first; i < span.last; i++) {
                const float *from = source(parts_[i].at, line.at);
                const float weight = parts_[i].weight * line.weight;
                for (int c = 0; c < 4; c++) pixel[c] += weight * from[c];
            }
            pixel += 4;
        }
    }
}

void BoxFilter::copy(int y, int x1, int x2, float *rgba) const {
    const int from = std::clamp(window_.x1, x1, x2), to = std::clamp(window_.x2, from, x2);
    const bool inside = y >= window_.y1 && y < window_.y2 && from < to;
    float *begin = rgba + 4 * std::ptrdiff_t{from - x1}, *end = rgba + 4 * std::ptrdiff_t{to - x1};
    if (!inside) begin = end = rgba;
    std::fill(rgba, begin, 0.0f);
    if (inside) std::copy(source(from, y), source(from, y) + (end - begin), begin);
    std::fill(end, rgba + 4 * std::ptrdiff_t{x2 - x1}, 0.0f);
}

// The pixels least to most that the interval meets, each with its share of the interval.
void BoxFilter::cover(double from, double to, int least, int most, std::vector<Part> &parts) {
    const double held_from = std::max(from, double(least)), held_to = std::min(to, double(most));
    if (!(held_from < held_to)) return;
    const int last = std::min(most - 1, static_cast<int>(std::ceil(held_to)) - 1);
    for (int at = static_cast<int>(std::floor(held_from)); at <= last; at++) {
        const double share = (std::min(held_to, at + 1.0) - std::max(held_from, double(at))) / (to - from);
        parts.push_back({at, static_cast<float>(share)});
    }
}

void BoxFilter::prepare(int x1, int x2) {
    if (x1 == prepared_x1_ && x2 == prepared_x2_) return;
    prepared_x1_ = x1;
    prepared_x2_ = x2;
    parts_.clear();
    spans_.clear();
    for (int x = x1; x < x2; x++) {
        const std::size_t first = parts_.size();
        cover(x * step_x_, (x + 1) * step_x_, window_.x1, window_.x2, parts_);
        spans_.push_back({first, parts_.size()});
    }
}

}  // namespace vdp
