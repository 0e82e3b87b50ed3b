#include "frame_ranges.h"

namespace vdp {
namespace {

class Text {
public:
    explicit Text(const std::string &text) : text_(text) {}

    void skip_space() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) at_++;
    }

    bool ended() const { return at_ == text_.size(); }

    bool take(char c) {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != c) return false;
        at_++;
        return true;
    }

    std::optional<int> number() {
        const bool negative = take('-');
        skip_space();
        int value = 0, digits = 0;
        for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && digits < 9; at_++, digits++)
            value = value * 10 + (text_[at_] - '0');
        if (digits == 0) return std::nullopt;
        return negative ? -value : value;
    }

private:
    const std::string &text_;
    std::size_t at_ = 0;
};

}  // namespace

std::optional<FrameRanges> parse_frames(const std::string &written) {
    Text text(written);
    FrameRanges ranges;
    text.skip_space();
    if (text.ended()) return ranges;
    do {
        const auto first = text.number();
        const auto last = first && text.take('-') ? text.number() : first;
        if (!first || !last || *first > *last) return std::nullopt;
        ranges.emplace_back(*first, *last);
    } while (text.take(','));
    text.skip_space();
    if (!text.ended()) return std::nullopt;
    return ranges;
}

bool contains(const FrameRanges &ranges, int frame) {
    for (const auto &[first, last] : ranges)
        if (frame >= first && frame <= last) return true;
    return false;
}

void append(FrameRanges &ranges, int frame) {
    if (!ranges.empty() && ranges.back().second == frame - 1) ranges.back().second = frame;
    else ranges.emplace_back(frame, frame);
}

std::string format_frames(const FrameRanges &ranges) {
    std::string text;
    for (const auto &[first, last] : ranges) {
        text += (text.empty() ? "" : ", ") + std::to_string(first);
        if (last != first) text += '-' + std::to_string(last);
    }
    return text;
}

}  // namespace vdp
