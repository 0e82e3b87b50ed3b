// The two functions that a host finds, and the one through which it calls: no exception leaves here.

#include <cstring>
#include <new>

#include "buttons.h"
#include "describe.h"
#include "instance.h"
#include "render.h"
#include "runtime.h"

#if defined(_WIN32)
#define VDP_EXPORT extern "C" __declspec(dllexport)
#else
#define VDP_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace vdp {
namespace {

OfxStatus load() { return host().fetch_suites() ? kOfxStatOK : kOfxStatErrMissingHostFeature; }

OfxStatus unload() {
    end_runtime();
    return kOfxStatOK;
}

OfxStatus act(const char *action, OfxImageEffectHandle effect, Properties in, Properties out) {
    const auto is = [action](const char *name) { return std::strcmp(action, name) == 0; };
    if (is(kOfxActionLoad)) return load();
    if (is(kOfxActionUnload)) return unload();
    if (effect == nullptr) return kOfxStatErrBadHandle;

    if (is(kOfxActionDescribe)) {
        describe(effect);
    } else if (is(kOfxImageEffectActionDescribeInContext)) {
        describe_in_context(effect, in.text(kOfxImageEffectPropContext));
    } else if (is(kOfxActionCreateInstance)) {
        Instance::attach(effect);
    } else if (is(kOfxActionDestroyInstance)) {
        Instance::detach(effect);
    } else if (is(kOfxImageEffectActionGetClipPreferences)) {
        get_clip_preferences(Instance::of(effect), out);
    } else if (is(kOfxImageEffectActionIsIdentity)) {
        return is_identity(Instance::of(effect), in, out);
    } else if (is(kOfxImageEffectActionGetRegionOfDefinition)) {
        return get_region_of_definition(Instance::of(effect), in, out);
    } else if (is(kOfxImageEffectActionRender)) {
        return render(Instance::of(effect), in);
    } else if (is(kOfxActionInstanceChanged)) {
        instance_changed(Instance::of(effect), in);
    } else if (is(kOfxActionPurgeCaches)) {
        runtime().pictures.clear();
    } else {
        return kOfxStatReplyDefault;
    }
    return kOfxStatOK;
}

OfxStatus main_entry(const char *action, const void *handle, OfxPropertySetHandle in,
                     OfxPropertySetHandle out) noexcept {
    if (action == nullptr) return kOfxStatErrBadHandle;
    try {
        auto *effect = static_cast<OfxImageEffectHandle>(const_cast<void *>(handle));
        return act(action, effect, Properties(in), Properties(out));
    } catch (const HostError &error) {
        return error.status();
    } catch (const std::bad_alloc &) {
        return kOfxStatErrMemory;
    } catch (...) {
        return kOfxStatFailed;
    }
}

void set_host(OfxHost *given) noexcept { host().self = given; }

OfxPlugin plugin = {kOfxImageEffectPluginApi, 1, "org.vdp.VDP", 1, 0, set_host, main_entry};

}  // namespace
}  // namespace vdp

VDP_EXPORT int OfxGetNumberOfPlugins(void) { return 1; }

VDP_EXPORT OfxPlugin *OfxGetPlugin(int index) { return index == 0 ? &vdp::plugin : nullptr; }
