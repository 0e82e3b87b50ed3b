#include "questions.h"

#include <algorithm>

#include "json.h"

std::vector<int> corners(const Rect &rect) { return {rect.x1, rect.y1, rect.x2, rect.y2}; }
std::vector<double> corners(const OfxRectD &rect) { return {rect.x1, rect.y1, rect.x2, rect.y2}; }

void set_window(PropertySet &in, double time, const double scale[2], const Rect &window) {
    in.put("OfxPropTime", time);
    in.put("OfxImageEffectPropRenderScale", std::vector<double>{scale[0], scale[1]});
    in.put("OfxImageEffectPropRenderWindow", corners(window));
}

namespace {

void set_time_and_scale(PropertySet &set, double time, const double scale[2]) {
    set.put("OfxPropTime", time);
    set.put("OfxImageEffectPropRenderScale", std::vector<double>{scale[0], scale[1]});
}

OfxRectD joined(const OfxRectD &one, const OfxRectD &two) {
    return {std::min(one.x1, two.x1), std::min(one.y1, two.y1), std::max(one.x2, two.x2), std::max(one.y2, two.y2)};
}

OfxRectD default_region(const Effect &effect) {
    OfxRectD region{0, 0, 0, 0};
    bool any = false;
    for (const auto &clip : effect.clips) {
        if (clip->name == "Output" || clip->feed.kind == Feed::Kind::nothing) continue;
        region = any ? joined(region, clip->feed.region) : clip->feed.region;
        any = true;
    }
    return any ? region : effect.project();
}

// What the host proposes for a clip: the output takes after Source, an input stays as it comes, and a depth that the
// host does not have becomes the deepest that it has.
void propose(const Effect &effect, const Clip &clip, const Feed &of, PropertySet &out) {
    const auto &depths = effect.host.depths;
    const bool known = std::find(depths.begin(), depths.end(), of.layout.depth) != depths.end();
    const bool there = clip.name == "Output" || of.kind != Feed::Kind::nothing;
    out.define("OfxImageClipPropComponents_" + clip.name, Type::string, 1, Write::always);
    out.define("OfxImageClipPropDepth_" + clip.name, Type::string, 1, Write::always);
    out.define("OfxImageClipPropPAR_" + clip.name, Type::real, 1, Write::always);
    out.put("OfxImageClipPropComponents_" + clip.name, there ? of.layout.components : "OfxImageComponentNone");
    out.put("OfxImageClipPropDepth_" + clip.name, !there ? "OfxBitDepthNone" : known ? of.layout.depth : depths.back());
    out.put("OfxImageClipPropPAR_" + clip.name, of.kind == Feed::Kind::nothing ? 1.0 : of.pixel_aspect);
}

void accept(const Effect &effect, Clip &clip, const PropertySet &out) {
    const std::string components = out.string("OfxImageClipPropComponents_" + clip.name);
    const auto &known = effect.host.components;
    if (components != "OfxImageComponentNone" && std::find(known.begin(), known.end(), components) == known.end())
        watch::crime("preferences", clip.name + " is to be " + components + ", which the host does not have");
    clip.map_to(out.string("OfxImageClipPropDepth_" + clip.name), components);
    if (clip.name != "Output") return;
    const std::string alpha = "OfxImageEffectPropPreMultiplication";
    clip.properties->put(alpha, out.string(alpha));
    clip.properties->put("OfxImagePropPixelAspectRatio", out.real("OfxImageClipPropPAR_Output"));
}

}  // namespace

OfxStatus region_of_definition(Effect &effect, double time, const double scale[2], OfxRectD &region) {
    const std::string action = "OfxImageEffectActionGetRegionOfDefinition";
    auto in = std::make_unique<PropertySet>("in:" + action);
    auto out = std::make_unique<PropertySet>("out:" + action);
    set_time_and_scale(*in, time, scale);
    region = default_region(effect);
    out->put("OfxImageEffectPropRegionOfDefinition", corners(region));
    const OfxStatus status = effect.call(action, std::move(in), out.get());
    if (status == kOfxStatOK) {
        const auto &asked = out->reals("OfxImageEffectPropRegionOfDefinition");
        region = {asked[0], asked[1], asked[2], asked[3]};
        if (!(region.x1 <= region.x2 && region.y1 <= region.y2)) watch::crime("region", "of definition is inside out");
    }
    bury(std::move(out));
    return status;
}

std::string clip_preferences(Effect &effect) {
    const std::string action = "OfxImageEffectActionGetClipPreferences";
    auto out = std::make_unique<PropertySet>("out:" + action);
    const Clip *source = effect.clip("Source");
    const bool fed = source && source->feed.kind != Feed::Kind::nothing;
    for (const auto &clip : effect.clips)
        propose(effect, *clip, clip->name == "Output" && fed ? source->feed : clip->feed, *out);
    const OfxStatus status = effect.call(action, nullptr, out.get());
    for (const auto &clip : effect.clips) accept(effect, *clip, *out);
    const std::string told = out->json();
    bury(std::move(out));
    return json::Object().add("status", status).add("preferences", told).str();
}

std::string regions_of_interest(Effect &effect, double time, const double scale[2], const OfxRectD &region) {
    const std::string action = "OfxImageEffectActionGetRegionsOfInterest";
    auto in = std::make_unique<PropertySet>("in:" + action);
    auto out = std::make_unique<PropertySet>("out:" + action);
    set_time_and_scale(*in, time, scale);
    in->put("OfxImageEffectPropRegionOfInterest", corners(region));
    for (const auto &clip : effect.clips) {
        out->define("OfxImageClipPropRoI_" + clip->name, Type::real, 4, Write::always);
        out->put("OfxImageClipPropRoI_" + clip->name, corners(region));
    }
    const OfxStatus status = effect.call(action, std::move(in), out.get());
    const std::string told = out->json();
    bury(std::move(out));
    return json::Object().add("status", status).add("regions", told).str();
}

std::string frames_needed(Effect &effect, double time) {
    const std::string action = "OfxImageEffectActionGetFramesNeeded";
    auto in = std::make_unique<PropertySet>("in:" + action);
    auto out = std::make_unique<PropertySet>("out:" + action);
    in->put("OfxPropTime", time);
    for (const auto &clip : effect.clips) {
        out->define("OfxImageClipPropFrameRange_" + clip->name, Type::real, 0, Write::always);
        out->put("OfxImageClipPropFrameRange_" + clip->name, std::vector<double>{time, time});
    }
    const OfxStatus status = effect.call(action, std::move(in), out.get());
    const std::string told = out->json();
    bury(std::move(out));
    return json::Object().add("status", status).add("frames", told).str();
}

std::string identity(Effect &effect, const double scale[2], const Rect &window, double &time, OfxStatus &status) {
    const std::string action = "OfxImageEffectActionIsIdentity";
    auto in = std::make_unique<PropertySet>("in:" + action);
    auto out = std::make_unique<PropertySet>("out:" + action);
    set_window(*in, time, scale, window);
    out->put("OfxPropTime", time);
    status = effect.call(action, std::move(in), out.get());
    time = out->real("OfxPropTime");
    const std::string name = status == kOfxStatOK ? out->string("OfxPropName") : "";
    if (status == kOfxStatOK && !effect.clip(name))
        watch::crime("identity", "with the clip " + name + ", which is not there");
    bury(std::move(out));
    return name;
}
