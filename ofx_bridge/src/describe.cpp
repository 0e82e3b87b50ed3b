#include "describe.h"

#include "parameters.h"

namespace vdp {

void describe(OfxImageEffectHandle effect) {
    OfxPropertySetHandle handle = nullptr;
    require(host().effect->getPropertySet(effect, &handle));
    const Properties properties(handle);
    properties.set(kOfxPropLabel, "VDP");
    properties.set(kOfxPropShortLabel, "VDP");
    properties.set(kOfxPropLongLabel, "VDP: a shot taken apart into layers");
    properties.set(kOfxPropVersion, 1, 0);
    properties.set(kOfxPropVersion, 0, 1);
    properties.set(kOfxPropVersionLabel, "1.0");
    properties.set(kOfxPropPluginDescription,
                   "Takes one shot apart into layers: what moves in front, the background, a clean plate, mattes. The "
                   "layers always add up to the plate. Connect the plate, scene-linear; choose a shot folder; press "
                   "Analyse; choose with output what this node shows.");
    properties.set(kOfxImageEffectPluginPropGrouping, "VDP");
    properties.set(kOfxImageEffectPropSupportedContexts, kOfxImageEffectContextFilter, 0);
    properties.set(kOfxImageEffectPropSupportedContexts, kOfxImageEffectContextGeneral, 1);
    properties.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthFloat, 0);
    properties.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthShort, 1);
    properties.set(kOfxImageEffectPropSupportedPixelDepths, kOfxBitDepthByte, 2);
    properties.set(kOfxImageEffectPluginPropSingleInstance, 0);
    properties.set(kOfxImageEffectPluginRenderThreadSafety, kOfxImageEffectRenderFullySafe);
    properties.set(kOfxImageEffectPluginPropHostFrameThreading, 1);
    properties.set(kOfxImageEffectPluginPropFieldRenderTwiceAlways, 0);
    properties.set(kOfxImageEffectPropSupportsMultiResolution, 1);
    properties.set(kOfxImageEffectPropSupportsTiles, 1);
    // The analysis reads Source at all times of its range.
    properties.set(kOfxImageEffectPropTemporalClipAccess, 1);
    properties.set(kOfxImageEffectPropSupportsMultipleClipDepths, 0);
    properties.set(kOfxImageEffectPropSupportsMultipleClipPARs, 0);
    // Whether there is an alpha, and of which state, follows from these.
    properties.set(kOfxImageEffectPropClipPreferencesSlaveParam, param::kOutput, 0);
    properties.set(kOfxImageEffectPropClipPreferencesSlaveParam, param::kAlpha, 1);
}

static void define_clip(OfxImageEffectHandle effect, const char *name, const char *label, bool optional) {
    OfxPropertySetHandle handle = nullptr;
    require(host().effect->clipDefine(effect, name, &handle));
    const Properties properties(handle);
    properties.set(kOfxPropLabel, label);
    properties.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentRGBA, 0);
    properties.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentRGB, 1);
    properties.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentAlpha, 2);
    properties.set(kOfxImageEffectPropTemporalClipAccess, 1);
    properties.set(kOfxImageEffectPropSupportsTiles, 1);
    properties.set(kOfxImageClipPropOptional, optional ? 1 : 0);
    properties.set(kOfxImageClipPropIsMask, 0);
}

void describe_in_context(OfxImageEffectHandle effect, const std::string &context) {
    // Layers that are there already need no plate: in the general context the node is a reader of them too.
    const bool general = context == kOfxImageEffectContextGeneral;
    define_clip(effect, kOfxImageEffectOutputClipName, "Output", false);
    define_clip(effect, kOfxImageEffectSimpleSourceClipName, "Source", general);
    define_clip(effect, kHintClipName, "Hint", true);

    OfxParamSetHandle parameters = nullptr;
    require(host().effect->getParamSet(effect, &parameters));
    define_parameters(parameters);
}

}  // namespace vdp
