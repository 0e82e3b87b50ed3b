// Lists of frames, as an artist writes them and as protocol.md has them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vdp {

using FrameRanges = std::vector<std::pair<int, int>>;

// "1001, 1020, 1040-1050", also "-5--2"; nothing where it is none. Empty text is an empty list.
std::optional<FrameRanges> parse_frames(const std::string &text);
bool contains(const FrameRanges &ranges, int frame);
// Appends a frame behind all others.
void append(FrameRanges &ranges, int frame);
std::string format_frames(const FrameRanges &ranges);

}  // namespace vdp
