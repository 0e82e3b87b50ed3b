// Effects that copy Source, each with one fault. They prove that the host sees the fault; "none" proves that it sees no
// other. Declarations are the host's own: these effects test the host's guards, not its layouts.

#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "abi.h"

namespace {

const OfxPropertySuiteV1 *properties;
const OfxImageEffectSuiteV1 *effects;
const OfxParameterSuiteV1 *parameters;
const OfxMessageSuiteV1 *messages;
OfxHost *host;
long renders;  // "races": counted by every thread without a lock

struct Picture {
    OfxPropertySetHandle handle = nullptr;
    unsigned char *data = nullptr;
    int bounds[4] = {0, 0, 0, 0};
    int row_bytes = 0;
    int pixel_bytes = 0;

    unsigned char *at(int x, int y) const {
        return data + std::ptrdiff_t(y - bounds[1]) * row_bytes + std::ptrdiff_t(x - bounds[0]) * pixel_bytes;
    }
};

Picture fetch(OfxImageEffectHandle effect, const char *clip_name, double time) {
    Picture picture;
    OfxImageClipHandle clip = nullptr;
    effects->clipGetHandle(effect, clip_name, &clip, nullptr);
    if (effects->clipGetImage(clip, time, nullptr, &picture.handle) != kOfxStatOK) return {};
    void *data = nullptr;
    char *depth = nullptr, *components = nullptr;
    properties->propGetPointer(picture.handle, "OfxImagePropData", 0, &data);
    properties->propGetIntN(picture.handle, "OfxImagePropBounds", 4, picture.bounds);
    properties->propGetInt(picture.handle, "OfxImagePropRowBytes", 0, &picture.row_bytes);
    properties->propGetString(picture.handle, "OfxImageEffectPropPixelDepth", 0, &depth);
    properties->propGetString(picture.handle, "OfxImageEffectPropComponents", 0, &components);
    picture.data = static_cast<unsigned char *>(data);
    const auto is = [](const char *one, const char *other) { return std::strcmp(one, other) == 0; };
    const int bytes = is(depth, "OfxBitDepthFloat") ? 4 : is(depth, "OfxBitDepthShort") ? 2 : 1;
    const int channels = is(components, "OfxImageComponentRGBA") ? 4 : is(components, "OfxImageComponentRGB") ? 3 : 1;
    picture.pixel_bytes = bytes * channels;
    return picture;
}

#define FAULTS(X) \
    X(none) X(writes_left_of_the_window) X(writes_below_the_window) X(writes_into_padding) X(leaves_pixels) \
    X(writes_into_source) X(leaks_an_image) X(sets_a_parameter_in_render) X(polls_abort_per_pixel) X(throws) \
    X(unknown_property) X(wrong_type) X(wrong_index) X(dead_image) X(null_handle) X(read_only_property) \
    X(changes_sigpipe) X(changes_the_folder) X(changes_the_environment) X(opens_a_descriptor) \
    X(calls_from_its_own_thread) X(a_dialog_in_render) X(no_status) X(another_time) X(unknown_parameter) \
    X(starts_a_child_in_create) X(endless_changes) X(describes_integer_2d) X(describes_umlauts) \
    X(describes_a_lost_child) X(describes_a_default_out_of_range) X(describes_twice) X(reads_beyond_its_memory) \
    X(races)

#define ENUMERATOR(name) name,
#define TEXT(name) #name,
enum class Fault { FAULTS(ENUMERATOR) };
constexpr const char *kNames[] = {FAULTS(TEXT)};
constexpr int kCount = sizeof kNames / sizeof *kNames;

OfxParamHandle parameter(OfxImageEffectHandle effect, const char *name) {
    OfxParamSetHandle set = nullptr;
    OfxParamHandle handle = nullptr;
    effects->getParamSet(effect, &set);
    parameters->paramGetHandle(set, name, &handle, nullptr);
    return handle;
}

void load() {
    const auto fetched = [](const char *name) { return host->fetchSuite(host->host, name, 1); };
    properties = static_cast<const OfxPropertySuiteV1 *>(fetched("OfxPropertySuite"));
    effects = static_cast<const OfxImageEffectSuiteV1 *>(fetched("OfxImageEffectSuite"));
    parameters = static_cast<const OfxParameterSuiteV1 *>(fetched("OfxParameterSuite"));
    messages = static_cast<const OfxMessageSuiteV1 *>(fetched("OfxMessageSuite"));
}

void describe(OfxImageEffectHandle effect) {
    OfxPropertySetHandle set = nullptr;
    effects->getPropertySet(effect, &set);
    properties->propSetString(set, "OfxPropLabel", 0, "A copy");
    properties->propSetString(set, "OfxImageEffectPropSupportedContexts", 0, "OfxImageEffectContextFilter");
    const char *const depths[] = {"OfxBitDepthFloat", "OfxBitDepthShort", "OfxBitDepthByte"};
    properties->propSetStringN(set, "OfxImageEffectPropSupportedPixelDepths", 3, depths);
}

void describe_in_context(OfxImageEffectHandle effect, Fault fault) {
    for (const char *clip : {"Source", "Output"}) {
        OfxPropertySetHandle set = nullptr;
        effects->clipDefine(effect, clip, &set);
        const char *const components[] = {"OfxImageComponentRGBA", "OfxImageComponentRGB", "OfxImageComponentAlpha"};
        properties->propSetStringN(set, "OfxImageEffectPropSupportedComponents", 3, components);
    }
    OfxParamSetHandle all = nullptr;
    OfxPropertySetHandle gain = nullptr, page = nullptr;
    effects->getParamSet(effect, &all);
    parameters->paramDefine(all, "OfxParamTypeDouble", "gain", &gain);
    properties->propSetDouble(gain, "OfxParamPropDefault", 0, fault == Fault::describes_a_default_out_of_range ? 5 : 1);
    properties->propSetDouble(gain, "OfxParamPropMax", 0, 2);
    if (fault == Fault::describes_umlauts) properties->propSetString(gain, "OfxPropLabel", 0, "Verst\xc3\xa4rkung");
    parameters->paramDefine(all, "OfxParamTypePage", "page", &page);
    const char *child = fault == Fault::describes_a_lost_child ? "loss" : "gain";
    properties->propSetString(page, "OfxParamPropPageChild", 0, child);
    if (fault == Fault::describes_integer_2d) parameters->paramDefine(all, "OfxParamTypeInteger2D", "size", nullptr);
    if (fault == Fault::describes_twice) parameters->paramDefine(all, "OfxParamTypeDouble", "gain", nullptr);
}

// The faults of a render that lie beside the pixels.
void misbehave(Fault fault, OfxImageEffectHandle effect, OfxPropertySetHandle in, const Picture &source,
               const Picture &output) {
    char *text = nullptr;
    int number = 0;
    switch (fault) {
    case Fault::writes_into_source: *source.at(source.bounds[0], source.bounds[1]) ^= 0xff; break;
    case Fault::writes_into_padding: *(output.at(output.bounds[2], output.bounds[1])) = 1; break;
    case Fault::sets_a_parameter_in_render: parameters->paramSetValue(parameter(effect, "gain"), 0.5); break;
    case Fault::throws: throw std::runtime_error("out of the plug-in");
    case Fault::unknown_property: properties->propGetInt(source.handle, "OfxImagePropTitle", 0, &number); break;
    case Fault::wrong_type: properties->propGetString(source.handle, "OfxImagePropRowBytes", 0, &text); break;
    case Fault::wrong_index: properties->propGetInt(source.handle, "OfxImagePropBounds", 4, &number); break;
    case Fault::null_handle: properties->propGetInt(nullptr, "OfxImagePropRowBytes", 0, &number); break;
    case Fault::read_only_property: properties->propSetDouble(in, "OfxPropTime", 0, 7); break;
    case Fault::changes_sigpipe: std::signal(SIGPIPE, SIG_IGN); break;
    case Fault::changes_the_folder: number = chdir("/"); break;
    case Fault::changes_the_environment: setenv("VDP_OFFENDER", "1", 1); break;
    case Fault::opens_a_descriptor: number = dup(0); break;
    case Fault::a_dialog_in_render: messages->message(effect, "OfxMessageError", "id", "%s", "press here"); break;
    case Fault::unknown_parameter: parameter(effect, "pain"); break;
    case Fault::races: ++renders; break;
    case Fault::reads_beyond_its_memory: {
        const std::vector<int> four(4, number);
        std::fprintf(stderr, "%d", four.data()[four.size()]);
        break;
    }
    case Fault::calls_from_its_own_thread: std::thread([&] { effects->abort(effect); }).join(); break;
    default: break;
    }
}

void copy(Fault fault, OfxImageEffectHandle effect, const Picture &source, const Picture &output, const int window[4]) {
    const int rows = fault == Fault::leaves_pixels ? window[3] - 1 : window[3];
    const int left = fault == Fault::writes_left_of_the_window ? window[0] - 1 : window[0];
    const int bottom = fault == Fault::writes_below_the_window ? window[1] - 1 : window[1];
    for (int y = bottom; y < rows; ++y) {
        if (effects->abort(effect)) return;
        for (int x = left; x < window[2]; ++x) {
            if (fault == Fault::polls_abort_per_pixel && effects->abort(effect)) return;
            std::memcpy(output.at(x, y), source.at(x, y), output.pixel_bytes);
        }
    }
}

OfxStatus render(Fault fault, OfxImageEffectHandle effect, OfxPropertySetHandle in) {
    double time = 0;
    int window[4];
    properties->propGetDouble(in, "OfxPropTime", 0, &time);
    properties->propGetIntN(in, "OfxImageEffectPropRenderWindow", 4, window);
    const Picture output = fetch(effect, "Output", time);
    if (!output.handle) return kOfxStatFailed;
    const Picture source = fetch(effect, "Source", fault == Fault::another_time ? time + 1 : time);
    if (!source.handle) {
        effects->clipReleaseImage(output.handle);
        return kOfxStatFailed;
    }
    misbehave(fault, effect, in, source, output);
    copy(fault, effect, source, output, window);
    if (fault != Fault::leaks_an_image) effects->clipReleaseImage(source.handle);
    effects->clipReleaseImage(output.handle);
    int late = 0;
    if (fault == Fault::dead_image) properties->propGetInt(source.handle, "OfxImagePropRowBytes", 0, &late);
    return fault == Fault::no_status ? 77 : kOfxStatOK;
}

OfxStatus act(Fault fault, const std::string &action, OfxImageEffectHandle effect, OfxPropertySetHandle in) {
    if (action == "OfxActionLoad") load();
    else if (action == "OfxActionDescribe") describe(effect);
    else if (action == "OfxImageEffectActionDescribeInContext") describe_in_context(effect, fault);
    else if (action == "OfxImageEffectActionRender") return render(fault, effect, in);
    else if (action == "OfxActionInstanceChanged" && fault == Fault::endless_changes)
        parameters->paramSetValue(parameter(effect, "gain"), 0.5);
    else if (action == "OfxActionCreateInstance" && fault == Fault::starts_a_child_in_create) {
        if (const pid_t child = fork(); child == 0) {
            sleep(5);
            _exit(0);
        }
    } else return kOfxStatReplyDefault;
    return kOfxStatOK;
}

void set_host(OfxHost *given) { host = given; }

template <int Number>
OfxStatus entry(const char *action, const void *handle, OfxPropertySetHandle in, OfxPropertySetHandle) {
    return act(Fault(Number), action, static_cast<OfxImageEffectHandle>(const_cast<void *>(handle)), in);
}

template <int Number> OfxPlugin *plugin() {
    static OfxPlugin made = {"OfxImageEffectPluginAPI", 1, kNames[Number], 1, 0, set_host, entry<Number>};
    return &made;
}

template <int... Numbers> OfxPlugin *plugin_at(int index, std::integer_sequence<int, Numbers...>) {
    OfxPlugin *(*const all[])() = {plugin<Numbers>...};
    return index >= 0 && index < kCount ? all[index]() : nullptr;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int OfxGetNumberOfPlugins() { return kCount; }

__attribute__((visibility("default"))) OfxPlugin *OfxGetPlugin(int index) {
    return plugin_at(index, std::make_integer_sequence<int, kCount>());
}
}
