#include "host.h"

namespace vdp {

Host &host() {
    static Host the_host;
    return the_host;
}

template <class Suite> static const Suite *fetch(OfxHost *self, const char *name, int version) {
    return static_cast<const Suite *>(self->fetchSuite(self->host, name, version));
}

bool Host::fetch_suites() {
    if (self == nullptr || self->fetchSuite == nullptr) return false;
    property = fetch<OfxPropertySuiteV1>(self, kOfxPropertySuite, 1);
    effect = fetch<OfxImageEffectSuiteV1>(self, kOfxImageEffectSuite, 1);
    parameter = fetch<OfxParameterSuiteV1>(self, kOfxParameterSuite, 1);
    message = fetch<OfxMessageSuiteV2>(self, kOfxMessageSuite, 2);
    // Some hosts offer version 2 and leave its functions out.
    message_persists =
        message != nullptr && message->setPersistentMessage != nullptr && message->clearPersistentMessage != nullptr;
    if (message == nullptr) message = fetch<OfxMessageSuiteV2>(self, kOfxMessageSuite, 1);
    progress2 = fetch<OfxProgressSuiteV2>(self, kOfxProgressSuite, 2);
    progress1 = progress2 != nullptr ? nullptr : fetch<OfxProgressSuiteV1>(self, kOfxProgressSuite, 1);
    return property != nullptr && effect != nullptr && parameter != nullptr;
}

bool Host::is_background() const {
    return self != nullptr && Properties(self->host).integer(kOfxImageEffectHostPropIsBackground, 0) != 0;
}

bool Host::multiple_resolutions() const {
    return Properties(self->host).integer(kOfxImageEffectPropSupportsMultiResolution, 1) != 0;
}

void require(OfxStatus status) {
    if (status != kOfxStatOK) throw HostError(status);
}

void Properties::set(const char *name, const char *value, int index) const {
    host().property->propSetString(handle_, name, index, value);
}

void Properties::set(const char *name, int value, int index) const {
    host().property->propSetInt(handle_, name, index, value);
}

void Properties::set(const char *name, double value, int index) const {
    host().property->propSetDouble(handle_, name, index, value);
}

void Properties::set(const char *name, void *value, int index) const {
    host().property->propSetPointer(handle_, name, index, value);
}

void Properties::set(const char *name, const OfxRectD &value) const {
    const double values[4] = {value.x1, value.y1, value.x2, value.y2};
    host().property->propSetDoubleN(handle_, name, 4, values);
}

int Properties::integer(const char *name, int otherwise) const {
    int value = 0;
    return host().property->propGetInt(handle_, name, 0, &value) == kOfxStatOK ? value : otherwise;
}

double Properties::real(const char *name, double otherwise) const {
    double value = 0;
    return host().property->propGetDouble(handle_, name, 0, &value) == kOfxStatOK ? value : otherwise;
}

std::string Properties::text(const char *name, const char *otherwise) const {
    char *value = nullptr;
    const bool there = host().property->propGetString(handle_, name, 0, &value) == kOfxStatOK && value != nullptr;
    return there ? value : otherwise;
}

void *Properties::pointer(const char *name) const {
    void *value = nullptr;
    return host().property->propGetPointer(handle_, name, 0, &value) == kOfxStatOK ? value : nullptr;
}

int Properties::count(const char *name) const {
    int value = 0;
    return host().property->propGetDimension(handle_, name, &value) == kOfxStatOK ? value : 0;
}

std::string Properties::text_at(const char *name, int index) const {
    char *value = nullptr;
    const bool there = host().property->propGetString(handle_, name, index, &value) == kOfxStatOK && value != nullptr;
    return there ? value : "";
}

std::optional<std::array<double, 2>> Properties::pair(const char *name) const {
    std::array<double, 2> value{};
    if (host().property->propGetDoubleN(handle_, name, 2, value.data()) != kOfxStatOK) return std::nullopt;
    return value;
}

std::optional<OfxRectI> Properties::rectangle(const char *name) const {
    int value[4] = {};
    if (host().property->propGetIntN(handle_, name, 4, value) != kOfxStatOK) return std::nullopt;
    return OfxRectI{value[0], value[1], value[2], value[3]};
}

Image::Image(OfxImageClipHandle clip, OfxTime time) {
    if (clip == nullptr) return;
    OfxPropertySetHandle image = nullptr;
    if (host().effect->clipGetImage(clip, time, nullptr, &image) == kOfxStatOK) handle_ = image;
}

Image::~Image() {
    if (handle_ != nullptr) host().effect->clipReleaseImage(handle_);
}

Progress::Progress(OfxImageEffectHandle effect, const char *label) : effect_(effect) {
    if (host().progress2 != nullptr)
        open_ = host().progress2->progressStart(effect_, label, "vdp.analyse") == kOfxStatOK;
    else if (host().progress1 != nullptr)
        open_ = host().progress1->progressStart(effect_, label) == kOfxStatOK;
}

Progress::~Progress() {
    if (!open_) return;
    if (host().progress2 != nullptr)
        host().progress2->progressEnd(effect_);
    else
        host().progress1->progressEnd(effect_);
}

bool Progress::update(double fraction) {
    if (!open_) return true;
    const OfxStatus status = host().progress2 != nullptr ? host().progress2->progressUpdate(effect_, fraction)
                                                         : host().progress1->progressUpdate(effect_, fraction);
    return status != kOfxStatReplyNo;
}

}  // namespace vdp
