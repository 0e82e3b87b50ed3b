#include "render.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "json.h"
#include "questions.h"

namespace {

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

// Depth, components and layout of the output's memory: as the order says, else as the clip's preferences say.
Layout layout_of_output(Effect &effect, const RenderOrder &order) {
    Clip &output = *effect.clip("Output");
    const Layout mapped = output.mapped();
    Layout layout = order.layout;
    if (layout.depth.empty()) layout.depth = mapped.depth;
    if (layout.components.empty()) layout.components = mapped.components;
    refuse_unsupported(effect, layout);
    // Not where it is so already: several threads may be at it.
    if (layout.depth != mapped.depth || layout.components != mapped.components)
        output.map_to(layout.depth, layout.components);
    return layout;
}

// What hosts ask at least once a frame, after the region. Whether there is nothing to render.
bool ask(Effect &effect, const RenderOrder &order, const Rect &window, json::Object &told) {
    const double aspect = effect.clip("Output")->pixel_aspect();
    const OfxRectD asked{window.x1 / order.scale[0] * aspect, window.y1 / order.scale[1],
                         window.x2 / order.scale[0] * aspect, window.y2 / order.scale[1]};
    told.add("interest", regions_of_interest(effect, order.time, order.scale, asked));
    told.add("needed", frames_needed(effect, order.time));
    double time = order.time;
    OfxStatus status = kOfxStatReplyDefault;
    const std::string same = identity(effect, order.scale, window, time, status);
    told.add("identity", json::text(same)).add("identity_time", time).add("identity_status", status);
    return !same.empty();
}

std::unique_ptr<PropertySet> render_arguments(const Effect &effect, const RenderOrder &order, const Rect &window) {
    auto in = std::make_unique<PropertySet>("in:OfxImageEffectActionRender");
    set_window(*in, order.time, order.scale, window);
    set_render_state(*in, order);
    if (effect.host.bare_images) in->leave_out("OfxImageEffectPropRenderQualityDraft");
    return in;
}

// The action itself, and what came of it.
void render_window(Effect &effect, const RenderOrder &order, const Rect &window, const OutputPlan &plan,
                   json::Object &told) {
    watch::Action action;
    action.name = "OfxImageEffectActionRender";
    action.output = &plan;
    action.time = order.time;
    std::copy(order.scale, order.scale + 2, action.scale);
    action.abort_after = order.abort_after;
    action.abort_seconds = order.abort_seconds;
    if (order.sequence) told.add("begin", sequence(effect, order, "OfxImageEffectActionBeginSequenceRender"));
    const double began = watch::seconds();
    const OfxStatus status = effect.call(action, render_arguments(effect, order, window));
    const double took = watch::seconds() - began;
    if (order.sequence) told.add("end", sequence(effect, order, "OfxImageEffectActionEndSequenceRender"));

    const watch::Inside inside(action);
    // An abandoned window may be half done, but never more than the window.
    const bool whole_window = status == kOfxStatOK && order.abort_after < 0 && order.abort_seconds < 0;
    plan.pixels->check_window(intersection(window, plan.pixels->bounds), whole_window);
    // Once a row, a few besides, and now and then while it waits for something.
    if (const double most = window.height() + 16 + 20 * took; action.aborts > most) {
        const std::string polls = std::to_string(action.aborts) + " polls for ";
        watch::crime("abort", polls + std::to_string(window.height()) + " rows");
    }
    json::Object fetched;
    for (const auto &[name, count] : action.fetched) fetched.add(name, count);
    told.add("status", status).add("seconds", took).add("aborts", action.aborts.load()).add("fetched", fetched.str());
}

void write(const std::string &path, const std::string &bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(bytes.data(), std::streamsize(bytes.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace

std::string render(Effect &effect, const RenderOrder &order) {
    OfxRectD region{};
    const OfxStatus region_status = region_of_definition(effect, order.time, order.scale, region);
    if (order.ask) clip_preferences(effect);
    const Layout layout = layout_of_output(effect, order);
    const Rect whole = pixels_of(region, order.scale, effect.clip("Output")->pixel_aspect());
    const Rect window = order.window.value_or(whole);
    const Rect bounds = order.bounds.value_or(effect.host.whole_images ? whole : window);
    if (!order.loose && !bounds.contains(window))
        throw std::invalid_argument("the window does not lie within the bounds");
    json::Object told;
    told.add("region_status", region_status).add("rod", json::numbers(corners(region)));
    told.add("window", json::numbers(corners(window))).add("bounds", json::numbers(corners(bounds)));
    told.add("depth", json::text(layout.depth)).add("components", json::text(layout.components));
    if (order.ask && ask(effect, order, window, told) && !order.force) return told.str();

    const OutputPlan plan{std::make_shared<Pixels>(bounds, layout), whole, order.without_data};
    render_window(effect, order, window, plan, told);
    if (!order.out.empty()) write(order.out, plan.pixels->packed());
    return told.str();
}
