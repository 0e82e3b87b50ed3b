#include "render.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "json.h"

namespace {

std::vector<int> corners(const Rect &rect) { return {rect.x1, rect.y1, rect.x2, rect.y2}; }
std::vector<double> corners(const OfxRectD &rect) { return {rect.x1, rect.y1, rect.x2, rect.y2}; }

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

void set_time_and_scale(PropertySet &set, double time, const double scale[2]) {
    set.put("OfxPropTime", time);
    set.put("OfxImageEffectPropRenderScale", std::vector<double>{scale[0], scale[1]});
}

void set_window(PropertySet &set, const RenderOrder &order, const Rect &window) {
    set_time_and_scale(set, order.time, order.scale);
    set.put("OfxImageEffectPropRenderWindow", corners(window));
}

void set_render_state(PropertySet &set, const RenderOrder &order) {
    set.put("OfxImageEffectPropInteractiveRenderStatus", int(order.interactive));
    set.put("OfxImageEffectPropRenderQualityDraft", int(order.draft));
    set.put("OfxImageEffectPropSequentialRenderStatus", int(order.sequence));
}

OfxStatus sequence(Effect &effect, const RenderOrder &order, const std::string &action) {
    auto in = std::make_unique<PropertySet>("in:" + action);
    set_render_state(*in, order);
    in->put("OfxImageEffectPropFrameRange", std::vector<double>{order.time, order.time});
    in->put("OfxPropIsInteractive", int(order.interactive));
    in->put("OfxImageEffectPropRenderScale", std::vector<double>{order.scale[0], order.scale[1]});
    return effect.call(action, std::move(in));
}

// Not declared by the plug-in, so no host would ask for it: the order is wrong.
void refuse_unsupported(Effect &effect, const Layout &layout) {
    const auto &components = effect.clip("Output")->properties->strings("OfxImageEffectPropSupportedComponents");
    if (std::find(components.begin(), components.end(), layout.components) == components.end())
        throw std::invalid_argument("the plug-in's output does not support " + layout.components);
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
    for (const auto &clip : effect.clips) {
        const bool output = clip->name == "Output";
        // The output takes after Source, an input stays as it comes; what the host cannot have becomes the first it can.
        const Feed &of = output && fed ? source->feed : clip->feed;
        const bool there = output || of.kind != Feed::Kind::nothing;
        const auto &depths = effect.host.depths;
        const std::string depth = std::find(depths.begin(), depths.end(), of.layout.depth) != depths.end()
            ? of.layout.depth : depths.back();
        out->define("OfxImageClipPropComponents_" + clip->name, Type::string, 1, Write::always);
        out->define("OfxImageClipPropDepth_" + clip->name, Type::string, 1, Write::always);
        out->define("OfxImageClipPropPAR_" + clip->name, Type::real, 1, Write::always);
        out->put("OfxImageClipPropComponents_" + clip->name, there ? of.layout.components : "OfxImageComponentNone");
        out->put("OfxImageClipPropDepth_" + clip->name, there ? depth : "OfxBitDepthNone");
        out->put("OfxImageClipPropPAR_" + clip->name, of.kind == Feed::Kind::nothing ? 1.0 : of.pixel_aspect);
    }
    const OfxStatus status = effect.call(action, nullptr, out.get());
    for (const auto &clip : effect.clips) {
        const std::string components = out->string("OfxImageClipPropComponents_" + clip->name);
        const std::string depth = out->string("OfxImageClipPropDepth_" + clip->name);
        const auto &known = effect.host.components;
        if (components != "OfxImageComponentNone" && std::find(known.begin(), known.end(), components) == known.end())
            watch::crime("preferences", clip->name + " is to be " + components + ", which the host does not have");
        clip->map_to(depth, components);
        if (clip->name == "Output") {
            clip->properties->put("OfxImageEffectPropPreMultiplication", out->string("OfxImageEffectPropPreMultiplication"));
            clip->properties->put("OfxImagePropPixelAspectRatio", out->real("OfxImageClipPropPAR_Output"));
        }
    }
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

std::string time_domain(Effect &effect) {
    auto out = std::make_unique<PropertySet>("out:OfxImageEffectActionGetTimeDomain");
    const OfxStatus status = effect.call("OfxImageEffectActionGetTimeDomain", nullptr, out.get());
    const std::string told = json::numbers(out->reals("OfxImageEffectPropFrameRange"));
    bury(std::move(out));
    return json::Object().add("status", status).add("range", told).str();
}

std::string identity(Effect &effect, const RenderOrder &order, const Rect &window, double &time, OfxStatus &status) {
    const std::string action = "OfxImageEffectActionIsIdentity";
    auto in = std::make_unique<PropertySet>("in:" + action);
    auto out = std::make_unique<PropertySet>("out:" + action);
    set_window(*in, order, window);
    out->put("OfxPropTime", order.time);
    status = effect.call(action, std::move(in), out.get());
    time = out->real("OfxPropTime");
    const std::string name = status == kOfxStatOK ? out->string("OfxPropName") : "";
    if (status == kOfxStatOK && !effect.clip(name)) watch::crime("identity", "with the clip " + name + ", which is not there");
    bury(std::move(out));
    return name;
}

std::string render(Effect &effect, const RenderOrder &order) {
    OfxRectD region{};
    const OfxStatus region_status = region_of_definition(effect, order.time, order.scale, region);
    if (order.ask) clip_preferences(effect);
    Clip &output = *effect.clip("Output");
    Layout layout = order.layout;
    const Layout mapped = output.mapped();
    if (layout.depth.empty()) layout.depth = mapped.depth;
    if (layout.components.empty()) layout.components = mapped.components;
    refuse_unsupported(effect, layout);
    if (order.ask || layout.depth != mapped.depth || layout.components != mapped.components)
        output.map_to(layout.depth, layout.components);

    const Rect whole = pixels_of(region, order.scale, output.pixel_aspect());
    const Rect window = order.window.value_or(whole);
    const Rect bounds = order.bounds.value_or(effect.host.whole_images ? whole : window);
    if (!order.loose && !bounds.contains(window)) throw std::invalid_argument("the window does not lie within the bounds");
    json::Object told;
    told.add("region_status", region_status).add("rod", json::numbers(corners(region)));
    told.add("window", json::numbers(corners(window))).add("bounds", json::numbers(corners(bounds)));
    told.add("depth", json::text(layout.depth)).add("components", json::text(layout.components));
    if (order.ask) {
        const double aspect = output.pixel_aspect();
        const OfxRectD asked{window.x1 / order.scale[0] * aspect, window.y1 / order.scale[1],
                             window.x2 / order.scale[0] * aspect, window.y2 / order.scale[1]};
        told.add("interest", regions_of_interest(effect, order.time, order.scale, asked));
        told.add("needed", frames_needed(effect, order.time));
        double time = order.time;
        OfxStatus status = kOfxStatReplyDefault;
        const std::string same = identity(effect, order, window, time, status);
        told.add("identity", json::text(same)).add("identity_time", time).add("identity_status", status);
        if (!same.empty() && !order.force) return told.str();
    }

    OutputPlan plan{std::make_shared<Pixels>(bounds, layout), whole, order.without_data};
    watch::Action action;
    action.name = "OfxImageEffectActionRender";
    action.output = &plan;
    action.time = order.time;
    std::copy(order.scale, order.scale + 2, action.scale);
    action.abort_after = order.abort_after;
    action.abort_seconds = order.abort_seconds;
    auto in = std::make_unique<PropertySet>("in:OfxImageEffectActionRender");
    set_window(*in, order, window);
    set_render_state(*in, order);
    if (effect.host.bare_images) in->leave_out("OfxImageEffectPropRenderQualityDraft");
    const OfxStatus begin = order.sequence ? sequence(effect, order, "OfxImageEffectActionBeginSequenceRender") : kOfxStatOK;
    const double began = watch::seconds();
    const OfxStatus status = effect.call(action, std::move(in));
    const double took = watch::seconds() - began;
    const OfxStatus end = order.sequence ? sequence(effect, order, "OfxImageEffectActionEndSequenceRender") : kOfxStatOK;

    const watch::Inside inside(action);
    // An abandoned window may be half done, but never more than the window.
    const bool whole_window = status == kOfxStatOK && order.abort_after < 0 && order.abort_seconds < 0;
    plan.pixels->check_window(intersection(window, bounds), whole_window);
    // Once a row, a few besides, and now and then while it waits for something.
    if (const double most = window.height() + 16 + 20 * took; action.aborts > most)
        watch::crime("abort", std::to_string(action.aborts) + " polls for " + std::to_string(window.height()) + " rows");
    if (!order.out.empty()) {
        std::ofstream out(order.out, std::ios::binary);
        const std::string packed = plan.pixels->packed();
        out.write(packed.data(), std::streamsize(packed.size()));
        if (!out.flush()) throw std::runtime_error("cannot write " + order.out);
    }
    json::Object fetched;
    for (const auto &[name, count] : action.fetched) fetched.add(name, count);
    return told.add("status", status).add("begin", begin).add("end", end).add("seconds", took)
        .add("aborts", action.aborts.load()).add("fetched", fetched.str()).str();
}
