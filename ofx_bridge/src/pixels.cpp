#include "pixels.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

namespace vdp {
namespace {

template <class Sample> float to_float(Sample value) {
    return static_cast<float>(value) / static_cast<float>(std::numeric_limits<Sample>::max());
}

template <> float to_float(float value) { return value; }

template <class Sample> Sample from_float(float value) {
    constexpr auto most = static_cast<float>(std::numeric_limits<Sample>::max());
    // NaN compares as false and becomes 0.
    const float held = value > 0.0f ? std::min(value, 1.0f) : 0.0f;
    return static_cast<Sample>(held * most + 0.5f);
}

template <> float from_float(float value) { return value; }

}  // namespace

Pixels::Pixels(const Image &image) {
    const Properties properties = image.properties();
    data_ = static_cast<unsigned char *>(properties.pointer(kOfxImagePropData));
    const auto bounds = properties.rectangle(kOfxImagePropBounds);
    if (data_ == nullptr || !bounds) throw HostError(kOfxStatFailed);
    bounds_ = *bounds;

    const std::string depth = properties.text(kOfxImageEffectPropPixelDepth);
    if (depth == kOfxBitDepthByte) depth_ = Depth::byte;
    else if (depth == kOfxBitDepthShort) depth_ = Depth::short_;
    else if (depth != kOfxBitDepthFloat) throw HostError(kOfxStatErrUnsupported);

    const std::string components = properties.text(kOfxImageEffectPropComponents);
    if (components == kOfxImageComponentAlpha) components_ = 1;
    else if (components == kOfxImageComponentRGB) components_ = 3;
    else if (components != kOfxImageComponentRGBA) throw HostError(kOfxStatErrUnsupported);

    const int sample = depth_ == Depth::byte ? 1 : depth_ == Depth::short_ ? 2 : 4;
    row_bytes_ = properties.integer(kOfxImagePropRowBytes, (bounds_.x2 - bounds_.x1) * components_ * sample);
    pixel_aspect_ = properties.real(kOfxImagePropPixelAspectRatio, 0.0);
}

// Rows may be padded, and go downwards: then data is the last one in memory and the step negative.
unsigned char *Pixels::at(int x, int y) const {
    const std::ptrdiff_t sample = depth_ == Depth::byte ? 1 : depth_ == Depth::short_ ? 2 : 4;
    return data_ + row_bytes_ * (y - bounds_.y1) + sample * components_ * (x - bounds_.x1);
}

void Pixels::read(int y, int x1, int x2, float *rgba) const {
    const int from = std::clamp(bounds_.x1, x1, x2), to = std::clamp(bounds_.x2, from, x2);
    if (y < bounds_.y1 || y >= bounds_.y2 || from >= to) {
        std::fill(rgba, rgba + std::size_t{4} * static_cast<std::size_t>(x2 - x1), 0.0f);
        return;
    }
    float *inside = rgba + 4 * (from - x1), *behind = rgba + 4 * (to - x1);
    std::fill(rgba, inside, 0.0f);
    std::fill(behind, rgba + 4 * (x2 - x1), 0.0f);
    switch (depth_) {
    case Depth::byte: read_as<std::uint8_t>(y, from, to, inside); break;
    case Depth::short_: read_as<std::uint16_t>(y, from, to, inside); break;
    case Depth::float_: read_as<float>(y, from, to, inside); break;
    }
}

template <class Sample> void Pixels::read_as(int y, int x1, int x2, float *rgba) const {
    const unsigned char *bytes = at(x1, y);
    for (int x = x1; x < x2; x++, rgba += 4) {
        // Rows need not be aligned.
        Sample samples[4];
        std::memcpy(samples, bytes, sizeof(Sample) * static_cast<std::size_t>(components_));
        bytes += sizeof(Sample) * static_cast<std::size_t>(components_);
        for (int i = 0; i < 4; i++) {
            if (i == 3 && components_ == 3) rgba[i] = 1.0f;
            else rgba[i] = to_float(samples[components_ == 1 ? 0 : i]);
        }
    }
}

void Pixels::write(int y, int x1, int x2, const float *rgba) const {
    const int from = std::clamp(bounds_.x1, x1, x2), to = std::clamp(bounds_.x2, from, x2);
    if (y < bounds_.y1 || y >= bounds_.y2 || from >= to) return;
    const float *inside = rgba + 4 * (from - x1);
    switch (depth_) {
    case Depth::byte: write_as<std::uint8_t>(y, from, to, inside); break;
    case Depth::short_: write_as<std::uint16_t>(y, from, to, inside); break;
    case Depth::float_: write_as<float>(y, from, to, inside); break;
    }
}

template <class Sample> void Pixels::write_as(int y, int x1, int x2, const float *rgba) const {
    unsigned char *bytes = at(x1, y);
    if (depth_ == Depth::float_ && components_ == 4) {
        std::memcpy(bytes, rgba, sizeof(float) * 4 * static_cast<std::size_t>(x2 - x1));
        return;
    }
    for (int x = x1; x < x2; x++, rgba += 4) {
        Sample samples[4];
        for (int i = 0; i < components_; i++) samples[i] = from_float<Sample>(rgba[components_ == 1 ? 3 : i]);
        std::memcpy(bytes, samples, sizeof(Sample) * static_cast<std::size_t>(components_));
        bytes += sizeof(Sample) * static_cast<std::size_t>(components_);
    }
}

}  // namespace vdp
