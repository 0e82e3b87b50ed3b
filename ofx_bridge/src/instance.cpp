#include "instance.h"

#include <memory>

#include "describe.h"

namespace vdp {
namespace {

Properties properties_of(OfxImageEffectHandle effect) {
    OfxPropertySetHandle handle = nullptr;
    require(host().effect->getPropertySet(effect, &handle));
    return Properties(handle);
}

OfxParamSetHandle parameters_of(OfxImageEffectHandle effect) {
    OfxParamSetHandle handle = nullptr;
    require(host().effect->getParamSet(effect, &handle));
    return handle;
}

// One value in all four channels: a picture of a matte, which is white times itself.
bool is_matte_alone(const std::string &output) { return output == "confidence" || output == "transmission"; }

}  // namespace

Clip::Clip(OfxImageEffectHandle effect, const char *name) {
    OfxPropertySetHandle set = nullptr;
    require(host().effect->clipGetHandle(effect, name, &handle, &set));
    properties = Properties(set);
}

bool Clip::connected() const { return properties.integer(kOfxImageClipPropConnected, 0) != 0; }

Instance::Instance(OfxImageEffectHandle handle)
    : effect(handle), properties(properties_of(handle)), parameters(parameters_of(handle)),
      source(handle, kOfxImageEffectSimpleSourceClipName), hint(handle, kHintClipName),
      output(handle, kOfxImageEffectOutputClipName), notices(handle) {}

Instance &Instance::of(OfxImageEffectHandle effect) {
    auto *instance = static_cast<Instance *>(properties_of(effect).pointer(kOfxPropInstanceData));
    if (instance == nullptr) throw HostError(kOfxStatErrBadHandle);
    return *instance;
}

void Instance::attach(OfxImageEffectHandle effect) {
    auto instance = std::make_unique<Instance>(effect);
    try {
        instance->enable_parameters();
    } catch (const HostError &) {
        // A choice of a later version: no reason to lose the node. Its render will say so.
    }
    require(host().property->propSetPointer(instance->properties.handle(), kOfxPropInstanceData, 0, instance.get()));
    instance.release();
}

void Instance::detach(OfxImageEffectHandle effect) {
    const Properties properties = properties_of(effect);
    delete static_cast<Instance *>(properties.pointer(kOfxPropInstanceData));
    properties.set(kOfxPropInstanceData, static_cast<void *>(nullptr));
}

std::string Instance::out_of_date() const {
    const char *way_out = " Press Analyse to make them again, or Refresh to take them as they are.";
    if (source_changed) return std::string("Out of date: Source was changed since the layers were made.") + way_out;
    const std::string analysed = parameters.text(param::kAnalysed);
    if (analysed.empty() || analysed == AnalysisSettings::of(parameters).digest()) return "";
    return std::string("Out of date: task, layers, flow or quality were changed since the layers were made.") + way_out;
}

void Instance::enable_parameters() const {
    const bool custom = parameters.choice(param::kRange) == "custom";
    parameters.enable(param::kFirst, custom);
    parameters.enable(param::kLast, custom);
    parameters.enable(param::kLayers, parameters.choice(param::kTask) == "layers");
    const bool recomposition = parameters.choice(param::kOutput) == "recomposition";
    parameters.enable(param::kHaze, recomposition);
    parameters.enable(param::kMix, recomposition);
}

bool has_alpha(const std::string &output) {
    return output == "bg" || output.rfind("fg", 0) == 0 || output == "matte" || is_matte_alone(output);
}

void get_clip_preferences(Instance &instance, Properties out) {
    const std::string output = instance.parameters.choice(param::kOutput);
    // What the artist keeps as a file on the disk changes without any parameter.
    out.set(kOfxImageEffectFrameVarying, 1);
    if (output == "plate" && instance.source.connected()) {
        out.set(kOfxImageEffectPropPreMultiplication,
                instance.source.properties.text(kOfxImageEffectPropPreMultiplication, kOfxImageOpaque));
        return;
    }
    const bool straight = instance.parameters.choice(param::kAlpha) == "straight" && !is_matte_alone(output);
    const char *state = straight ? kOfxImageUnPreMultiplied : kOfxImagePreMultiplied;
    out.set(kOfxImageEffectPropPreMultiplication, has_alpha(output) ? state : kOfxImageOpaque);
    // A plate without alpha must not cost a layer its own.
    if (has_alpha(output))
        out.set((std::string(kOfxImageClipPropComponentsOf) + kOfxImageEffectOutputClipName).c_str(),
                kOfxImageComponentRGBA);
}

OfxStatus is_identity(Instance &instance, Properties in, Properties out) {
    if (instance.parameters.choice(param::kOutput) != "plate" || !instance.source.connected())
        return kOfxStatReplyDefault;
    out.set(kOfxPropName, kOfxImageEffectSimpleSourceClipName);
    out.set(kOfxPropTime, in.real(kOfxPropTime, 0.0));
    return kOfxStatOK;
}

}  // namespace vdp
