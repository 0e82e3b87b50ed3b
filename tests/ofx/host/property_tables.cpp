// Which properties each kind of object has, after the OFX 1.5 specification.

#include <cfloat>
#include <climits>
#include <stdexcept>

#include "properties.h"

namespace {

constexpr Type P = Type::pointer, S = Type::string, D = Type::real, I = Type::integer;
constexpr Write no = Write::never, describing = Write::describing, always = Write::always;

struct Row {
    Type type;
    int dimension;
    Write write;
    const char *name;
    const char *text = "";
    double number = 0;
};

using Rows = std::vector<Row>;
using Tables = std::map<std::string, Rows>;

Rows operator+(Rows one, const Rows &other) {
    one.insert(one.end(), other.begin(), other.end());
    return one;
}

Rows labels() {
    return {{S, 1, always, "OfxPropLabel"}, {S, 1, always, "OfxPropShortLabel"}, {S, 1, always, "OfxPropLongLabel"}};
}

Rows with_write(Rows rows, Write write) {
    for (Row &row : rows)
        if (row.write != no) row.write = write;
    return rows;
}

Rows host() {
    return {
        {S, 1, no, "OfxPropType", "OfxTypeImageEffectHost"},
        {S, 1, no, "OfxPropName"},
        {S, 1, no, "OfxPropLabel"},
        {I, 0, no, "OfxPropVersion"},
        {S, 1, no, "OfxPropVersionLabel"},
        {I, 0, no, "OfxPropAPIVersion"},
        {P, 1, no, "OfxPropHostOSHandle"},
        {I, 1, no, "OfxImageEffectHostPropIsBackground"},
        {S, 1, no, "OfxImageEffectHostPropNativeOrigin", "OfxImageEffectHostPropNativeOriginBottomLeft"},
        {I, 1, no, "OfxImageEffectPropSupportsOverlays"},
        {I, 1, no, "OfxImageEffectPropSupportsMultiResolution", "", 1},
        {I, 1, no, "OfxImageEffectPropSupportsTiles", "", 1},
        {I, 1, no, "OfxImageEffectPropTemporalClipAccess", "", 1},
        {S, 0, no, "OfxImageEffectPropSupportedComponents"},
        {S, 0, no, "OfxImageEffectPropSupportedContexts"},
        {S, 0, no, "OfxImageEffectPropSupportedPixelDepths"},
        {I, 1, no, "OfxImageEffectPropMultipleClipDepths"},
        {I, 1, no, "OfxImageEffectPropSupportsMultipleClipPARs"},
        {I, 1, no, "OfxImageEffectPropSetableFrameRate"},
        {I, 1, no, "OfxImageEffectPropSetableFielding"},
        {I, 1, no, "OfxImageEffectInstancePropSequentialRender"},
        {I, 1, no, "OfxImageEffectPropRenderQualityDraft", "", 1},
        {I, 1, no, "OfxParamHostPropSupportsCustomInteract"},
        {I, 1, no, "OfxParamHostPropSupportsCustomAnimation"},
        {I, 1, no, "OfxParamHostPropSupportsStringAnimation"},
        {I, 1, no, "OfxParamHostPropSupportsChoiceAnimation"},
        {I, 1, no, "OfxParamHostPropSupportsBooleanAnimation"},
        {I, 1, no, "OfxParamHostPropSupportsParametricAnimation"},
        {I, 1, no, "OfxParamHostPropMaxParameters", "", -1},
        {I, 1, no, "OfxParamHostPropMaxPages"},
        {I, 2, no, "OfxParamHostPropPageRowColumnCount"},
    };
}

Rows effect() {
    return with_write(labels(), describing) + Rows{
        {S, 1, no, "OfxPropType", "OfxTypeImageEffect"},
        {I, 0, describing, "OfxPropVersion"},
        {S, 1, describing, "OfxPropVersionLabel"},
        {S, 1, describing, "OfxPropPluginDescription"},
        {S, 1, no, "OfxImageEffectPropContext"},
        {S, 1, no, "OfxPluginPropFilePath"},
        {S, 1, describing, "OfxImageEffectPluginPropGrouping"},
        {S, 0, describing, "OfxImageEffectPropSupportedContexts"},
        {S, 0, describing, "OfxImageEffectPropSupportedPixelDepths"},
        {I, 1, describing, "OfxImageEffectPluginPropSingleInstance"},
        {S, 1, describing, "OfxImageEffectPluginRenderThreadSafety", "OfxImageEffectRenderInstanceSafe"},
        {I, 1, describing, "OfxImageEffectPluginPropHostFrameThreading"},
        {P, 1, describing, "OfxImageEffectPluginPropOverlayInteractV1"},
        {I, 1, describing, "OfxImageEffectPropSupportsMultiResolution", "", 1},
        {I, 1, describing, "OfxImageEffectPropSupportsTiles", "", 1},
        {I, 1, describing, "OfxImageEffectPropTemporalClipAccess"},
        {I, 1, describing, "OfxImageEffectPluginPropFieldRenderTwiceAlways", "", 1},
        {I, 1, describing, "OfxImageEffectPropMultipleClipDepths"},
        {I, 1, describing, "OfxImageEffectPropSupportsMultipleClipPARs"},
        {S, 0, describing, "OfxImageEffectPropClipPreferencesSlaveParam"},
        {I, 1, describing, "OfxImageEffectInstancePropSequentialRender"},
        {S, 1, describing, "OfxImageEffectPropOpenGLRenderSupported", "false"},
        {I, 1, describing, "OfxImageEffectPropNoSpatialAwareness"},
    };
}

Rows instance() {
    return {
        {S, 1, no, "OfxPropType", "OfxTypeImageEffectInstance"},
        {S, 1, no, "OfxImageEffectPropContext"},
        {P, 1, always, "OfxPropInstanceData"},
        {P, 1, no, "OfxImageEffectPropPluginHandle"},
        {D, 2, no, "OfxImageEffectPropProjectSize"},
        {D, 2, no, "OfxImageEffectPropProjectOffset"},
        {D, 2, no, "OfxImageEffectPropProjectExtent"},
        {D, 1, no, "OfxImageEffectPropPixelAspectRatio", "", 1},
        {D, 1, no, "OfxImageEffectInstancePropEffectDuration", "", 100},
        {D, 1, no, "OfxImageEffectPropFrameRate", "", 24},
        {I, 1, no, "OfxPropIsInteractive"},
        {I, 1, always, "OfxImageEffectInstancePropSequentialRender"},
        {I, 1, always, "OfxImageEffectPropSupportsTiles", "", 1},
    };
}

Rows clip() {
    return with_write(labels(), describing) + Rows{
        {S, 1, no, "OfxPropType", "OfxTypeClip"},
        {S, 1, no, "OfxPropName"},
        {S, 0, describing, "OfxImageEffectPropSupportedComponents"},
        {I, 1, describing, "OfxImageEffectPropTemporalClipAccess"},
        {I, 1, describing, "OfxImageClipPropOptional"},
        {I, 1, describing, "OfxImageClipPropIsMask"},
        {I, 1, describing, "OfxImageEffectPropSupportsTiles", "", 1},
        {S, 1, describing, "OfxImageClipPropFieldExtraction", "OfxImageFieldDoubled"},
    };
}

Rows clip_instance() {
    return clip() + Rows{
        {S, 1, no, "OfxImageEffectPropPixelDepth", "OfxBitDepthNone"},
        {S, 1, no, "OfxImageEffectPropComponents", "OfxImageComponentNone"},
        {S, 1, no, "OfxImageClipPropUnmappedPixelDepth", "OfxBitDepthNone"},
        {S, 1, no, "OfxImageClipPropUnmappedComponents", "OfxImageComponentNone"},
        {S, 1, no, "OfxImageEffectPropPreMultiplication", "OfxImageAlphaPremultiplied"},
        {D, 1, no, "OfxImagePropPixelAspectRatio", "", 1},
        {D, 1, no, "OfxImageEffectPropFrameRate", "", 24},
        {D, 2, no, "OfxImageEffectPropFrameRange"},
        {S, 1, no, "OfxImageClipPropFieldOrder", "OfxFieldNone"},
        {I, 1, no, "OfxImageClipPropConnected"},
        {D, 2, no, "OfxImageEffectPropUnmappedFrameRange"},
        {D, 1, no, "OfxImageEffectPropUnmappedFrameRate", "", 24},
        {I, 1, no, "OfxImageClipPropContinuousSamples"},
    };
}

Rows image() {
    return {
        {S, 1, no, "OfxPropType", "OfxTypeImage"},
        {S, 1, no, "OfxImageEffectPropPixelDepth"},
        {S, 1, no, "OfxImageEffectPropComponents"},
        {S, 1, no, "OfxImageEffectPropPreMultiplication"},
        {D, 2, no, "OfxImageEffectPropRenderScale", "", 1},
        {D, 1, no, "OfxImagePropPixelAspectRatio", "", 1},
        {P, 1, no, "OfxImagePropData"},
        {I, 4, no, "OfxImagePropBounds"},
        {I, 4, no, "OfxImagePropRegionOfDefinition"},
        {I, 1, no, "OfxImagePropRowBytes"},
        {S, 1, no, "OfxImagePropField", "OfxFieldNone"},
        {S, 1, no, "OfxImagePropUniqueIdentifier"},
    };
}

Rows any_parameter() {
    return labels() + Rows{
        {S, 1, no, "OfxPropType", "OfxTypeParameter"},
        {S, 1, no, "OfxPropName"},
        {S, 1, no, "OfxParamPropType"},
        {I, 1, always, "OfxParamPropSecret"},
        {I, 1, always, "OfxParamPropEnabled", "", 1},
        {S, 1, always, "OfxParamPropHint"},
        {S, 1, describing, "OfxParamPropScriptName"},
        {S, 1, describing, "OfxParamPropParent"},
        {P, 1, always, "OfxParamPropDataPtr"},
        {S, 2, describing, "OfxPropIcon"},
    };
}

Rows value_parameter() {
    return any_parameter() + Rows{
        {I, 1, describing, "OfxParamPropAnimates", "", 1},
        {I, 1, no, "OfxParamPropIsAnimating"},
        {I, 1, no, "OfxParamPropIsAutoKeying"},
        {I, 1, describing, "OfxParamPropPersistant", "", 1},
        {I, 1, always, "OfxParamPropEvaluateOnChange", "", 1},
        {I, 1, describing, "OfxParamPropPluginMayWrite"},
        {I, 1, describing, "OfxParamPropCanUndo", "", 1},
        {S, 1, describing, "OfxParamPropCacheInvalidation", "OfxParamInvalidateValueChange"},
    };
}

Rows limits(Type type, double least, double most) {
    return {
        {type, 1, always, "OfxParamPropDefault"},
        {type, 1, always, "OfxParamPropMin", "", least},
        {type, 1, always, "OfxParamPropMax", "", most},
        {type, 1, always, "OfxParamPropDisplayMin", "", least},
        {type, 1, always, "OfxParamPropDisplayMax", "", most},
    };
}

Rows instance_changed() {
    return {
        {S, 1, no, "OfxPropType"},
        {S, 1, no, "OfxPropName"},
        {S, 1, no, "OfxPropChangeReason"},
        {D, 1, no, "OfxPropTime"},
        {D, 2, no, "OfxImageEffectPropRenderScale", "", 1},
    };
}

Rows time_and_scale() {
    return {{D, 1, no, "OfxPropTime"}, {D, 2, no, "OfxImageEffectPropRenderScale", "", 1}};
}

Rows render_state() {
    return {
        {I, 1, no, "OfxImageEffectPropSequentialRenderStatus"},
        {I, 1, no, "OfxImageEffectPropInteractiveRenderStatus"},
        {I, 1, no, "OfxImageEffectPropRenderQualityDraft"},
    };
}

Rows window() {
    return time_and_scale() + Rows{{S, 1, no, "OfxImageEffectPropFieldToRender", "OfxFieldNone"},
                                   {I, 4, no, "OfxImageEffectPropRenderWindow"}};
}

Rows sequence() {
    return render_state() + Rows{
        {D, 2, no, "OfxImageEffectPropFrameRange"},
        {D, 1, no, "OfxImageEffectPropFrameStep", "", 1},
        {I, 1, no, "OfxPropIsInteractive"},
        {D, 2, no, "OfxImageEffectPropRenderScale", "", 1},
    };
}

Tables make_tables() {
    const Rows integers = limits(I, INT_MIN, INT_MAX);
    const Rows reals = limits(D, -DBL_MAX, DBL_MAX);
    return {
        {"host", host()},
        {"effect", effect()},
        {"instance", instance()},
        {"clip", clip()},
        {"clip instance", clip_instance()},
        {"image", image()},
        {"parameters", {{S, 1, no, "OfxPropType", "OfxTypeParameterSet"},
                        {I, 1, always, "OfxPropParamSetNeedsSyncing"},
                        {S, 0, describing, "OfxPluginPropParamPageOrder"}}},
        {"param:OfxParamTypeInteger", value_parameter() + integers},
        {"param:OfxParamTypeDouble", value_parameter() + reals + Rows{
            {D, 1, describing, "OfxParamPropIncrement", "", 1},
            {I, 1, describing, "OfxParamPropDigits", "", 2},
            {I, 1, describing, "OfxParamPropShowTimeMarker"},
            {S, 1, describing, "OfxParamPropDoubleType", "OfxParamDoubleTypePlain"}}},
        {"param:OfxParamTypeBoolean", value_parameter() + Rows{{I, 1, always, "OfxParamPropDefault"}}},
        {"param:OfxParamTypeChoice", value_parameter() + Rows{
            {I, 1, always, "OfxParamPropDefault"},
            {S, 0, always, "OfxParamPropChoiceOption"},
            {I, 0, always, "OfxParamPropChoiceOrder"}}},
        {"param:OfxParamTypeString", value_parameter() + Rows{
            {S, 1, always, "OfxParamPropDefault"},
            {S, 1, describing, "OfxParamPropStringMode", "OfxParamStringIsSingleLine"},
            {I, 1, describing, "OfxParamPropStringFilePathExists", "", 1}}},
        {"param:OfxParamTypePushButton", any_parameter()},
        {"param:OfxParamTypeGroup", any_parameter() + Rows{{I, 1, describing, "OfxParamPropGroupOpen", "", 1}}},
        {"param:OfxParamTypePage", any_parameter() + Rows{{S, 0, describing, "OfxParamPropPageChild"}}},
        {"in:OfxImageEffectActionDescribeInContext", {{S, 1, no, "OfxImageEffectPropContext"}}},
        {"in:OfxActionBeginInstanceChanged", {{S, 1, no, "OfxPropChangeReason"}}},
        {"in:OfxActionEndInstanceChanged", {{S, 1, no, "OfxPropChangeReason"}}},
        {"in:OfxActionInstanceChanged", instance_changed()},
        {"in:OfxImageEffectActionGetRegionOfDefinition", time_and_scale()},
        {"out:OfxImageEffectActionGetRegionOfDefinition", {{D, 4, always, "OfxImageEffectPropRegionOfDefinition"}}},
        {"in:OfxImageEffectActionGetRegionsOfInterest",
         time_and_scale() + Rows{{D, 4, no, "OfxImageEffectPropRegionOfInterest"}}},
        {"out:OfxImageEffectActionGetRegionsOfInterest", {}},
        {"in:OfxImageEffectActionGetFramesNeeded", {{D, 1, no, "OfxPropTime"}}},
        {"out:OfxImageEffectActionGetFramesNeeded", {}},
        {"out:OfxImageEffectActionGetTimeDomain", {{D, 2, always, "OfxImageEffectPropFrameRange"}}},
        {"out:OfxImageEffectActionGetClipPreferences", {
            {D, 1, always, "OfxImageEffectPropFrameRate", "", 24},
            {S, 1, always, "OfxImageEffectPropPreMultiplication", "OfxImageAlphaPremultiplied"},
            {I, 1, always, "OfxImageClipPropContinuousSamples"},
            {I, 1, always, "OfxImageEffectFrameVarying"},
            {S, 1, always, "OfxImageClipPropFieldOrder", "OfxFieldNone"}}},
        {"in:OfxImageEffectActionIsIdentity", window()},
        {"out:OfxImageEffectActionIsIdentity", {{S, 1, always, "OfxPropName"}, {D, 1, always, "OfxPropTime"}}},
        {"in:OfxImageEffectActionBeginSequenceRender", sequence()},
        {"in:OfxImageEffectActionEndSequenceRender", sequence()},
        {"in:OfxImageEffectActionRender", window() + render_state()},
    };
}

}  // namespace

std::map<std::string, Property> properties_of(const std::string &kind) {
    static const Tables tables = make_tables();
    const auto rows = tables.find(kind);
    if (rows == tables.end()) throw std::logic_error("no table of properties for " + kind);
    std::map<std::string, Property> made;
    for (const Row &row : rows->second) {
        Property property{row.type, row.dimension, row.write};
        property.pointers.assign(row.type == P ? row.dimension : 0, nullptr);
        property.strings.assign(row.type == S ? row.dimension : 0, row.text);
        property.reals.assign(row.type == D ? row.dimension : 0, row.number);
        property.integers.assign(row.type == I ? row.dimension : 0, static_cast<int>(row.number));
        made.emplace(row.name, property);
    }
    return made;
}
