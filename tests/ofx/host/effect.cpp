#include "effect.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "process.h"

namespace {

constexpr unsigned kEffect = 0x65666665, kClip = 0x636c6970;
constexpr int kDeepestChange = 8;

// What an action left behind is told when it is over.
void settle(watch::Action &action, Effect *effect) {
    for (const auto &image : action.images) {
        if (!image->released) watch::crime("leak", "a picture of " + image->clip + " was not released");
        image->pixels->check_guards(image->clip);
        if (image->clip != "Output") image->pixels->check_unchanged(image->clip);
        bury(std::move(image->properties));
    }
    if (effect && effect->parameters.editing) {
        watch::crime("leak", "paramEditBegin without paramEditEnd");
        effect->parameters.editing = 0;
    }
}

}  // namespace

Clip::Clip(Effect &owner, const std::string &name, const char *kind)
    : owner(owner), name(name), properties(std::make_unique<PropertySet>(kind)), magic_(kClip) {
    properties->put("OfxPropName", name);
    for (const char *label : {"OfxPropLabel", "OfxPropShortLabel", "OfxPropLongLabel"}) properties->put(label, name);
}

Clip *Clip::of(OfxImageClipHandle handle) {
    auto *clip = reinterpret_cast<Clip *>(handle);
    if (clip && clip->magic_ == kClip && clip->owner.alive) return clip;
    watch::crime(clip && clip->magic_ == kClip ? "dead handle" : "handle", "of a clip");
    return nullptr;
}

void Clip::connect(const Feed &given) {
    feed = given;
    const bool there = feed.kind != Feed::Kind::nothing;
    properties->put("OfxImageClipPropConnected", int(there));
    const std::string depth = there ? feed.layout.depth : "OfxBitDepthNone";
    const std::string components = there ? feed.layout.components : "OfxImageComponentNone";
    properties->put("OfxImageClipPropUnmappedPixelDepth", depth);
    properties->put("OfxImageClipPropUnmappedComponents", components);
    properties->put("OfxImagePropPixelAspectRatio", there ? feed.pixel_aspect : 1.0);
    properties->put("OfxImageEffectPropFrameRate", feed.frame_rate);
    properties->put("OfxImageEffectPropUnmappedFrameRate", feed.frame_rate);
    properties->put("OfxImageEffectPropFrameRange", std::vector<double>{feed.first, feed.last});
    properties->put("OfxImageEffectPropUnmappedFrameRange", std::vector<double>{feed.first, feed.last});
    map_to(depth, components);
}

void Clip::map_to(const std::string &depth, const std::string &components) {
    properties->put("OfxImageEffectPropPixelDepth", depth);
    properties->put("OfxImageEffectPropComponents", components);
    properties->put("OfxImageEffectPropPreMultiplication",
                    components == "OfxImageComponentRGB" ? "OfxImageOpaque" : "OfxImageAlphaPremultiplied");
}

Layout Clip::mapped() const {
    Layout layout = feed.layout;
    layout.depth = properties->string("OfxImageEffectPropPixelDepth");
    layout.components = properties->string("OfxImageEffectPropComponents");
    return layout;
}

Effect::Effect(OfxPlugin &plugin, const Personality &host, const std::string &context)
    : plugin(plugin), host(host), context(context), is_instance(false),
      properties(std::make_unique<PropertySet>("effect")), parameters(*this), magic_(kEffect) {
    properties->put("OfxImageEffectPropContext", context);
}

Effect::Effect(const Effect &description)
    : plugin(description.plugin), host(description.host), context(description.context), is_instance(true),
      properties(std::make_unique<PropertySet>("instance")), parameters(*this, description.parameters),
      magic_(kEffect) {
    properties->put("OfxImageEffectPropContext", context);
    for (const auto &clip : description.clips) {
        clips.push_back(std::make_unique<Clip>(*this, clip->name, "clip instance"));
        clips.back()->properties->copy_from(*clip->properties);
        clips.back()->connect({});
    }
}

Effect::~Effect() { magic_ = 0; }

Effect *Effect::of(OfxImageEffectHandle handle) {
    auto *effect = reinterpret_cast<Effect *>(handle);
    if (effect && effect->magic_ == kEffect && effect->alive) return effect;
    watch::crime(effect && effect->magic_ == kEffect ? "dead handle" : "handle", "of an effect");
    return nullptr;
}

Clip *Effect::clip(const std::string &name) {
    for (const auto &one : clips)
        if (one->name == name) return one.get();
    return nullptr;
}

OfxStatus Effect::call(const std::string &name, std::unique_ptr<PropertySet> in, PropertySet *out) {
    watch::Action action;
    action.name = name;
    return call(action, std::move(in), out);
}

OfxStatus Effect::call(watch::Action &action, std::unique_ptr<PropertySet> in, PropertySet *out) {
    action.effect = this;
    const auto handle_of = [](PropertySet *set) { return set ? set->handle() : nullptr; };
    const OfxStatus status = enter_plugin(plugin, action, handle(), handle_of(in.get()), handle_of(out));
    {
        const watch::Inside inside(action);
        settle(action, this);
    }
    bury(std::move(in));
    return status;
}

OfxStatus Effect::tell_changed(const std::string &type, const std::string &name, const std::string &reason, double time,
                               double scale) {
    if (++depth_ > kDeepestChange) {
        watch::crime("recursion", "InstanceChanged of " + name + " within InstanceChanged, without end");
        --depth_;
        return kOfxStatFailed;
    }
    const auto with_reason = [&](const std::string &action) {
        auto in = std::make_unique<PropertySet>("in:" + action);
        in->put("OfxPropChangeReason", reason);
        return in;
    };
    call("OfxActionBeginInstanceChanged", with_reason("OfxActionBeginInstanceChanged"));
    auto in = with_reason("OfxActionInstanceChanged");
    in->put("OfxPropType", type);
    in->put("OfxPropName", name);
    in->put("OfxPropTime", time);
    in->put("OfxImageEffectPropRenderScale", std::vector<double>{scale, scale});
    watch::Action action;
    action.name = "OfxActionInstanceChanged";
    action.time = time;
    action.scale[0] = action.scale[1] = scale;
    const OfxStatus changed = call(action, std::move(in));
    call("OfxActionEndInstanceChanged", with_reason("OfxActionEndInstanceChanged"));
    for (const std::string &later : std::exchange(pending_, {}))
        tell_changed("OfxTypeParameter", later, "OfxChangePluginEdited", time);
    --depth_;
    return changed;
}

void Effect::was_set_by_plugin(const Parameter &parameter) {
    note_change(parameter);
    if (host.recursive_changes) tell_changed("OfxTypeParameter", parameter.name, "OfxChangePluginEdited", 0);
    else if (std::find(pending_.begin(), pending_.end(), parameter.name) == pending_.end())
        pending_.push_back(parameter.name);
}

void Effect::note_change(const Parameter &parameter) {
    changed_.push_back(parameter.name);
    if (parameter.has_value() && parameter.properties->integer("OfxParamPropEvaluateOnChange")) rerender_ = true;
}

std::vector<std::string> Effect::take_changes(bool &rerender) {
    rerender = std::exchange(rerender_, false);
    return std::exchange(changed_, {});
}

namespace {

OfxStatus get_property_set(OfxImageEffectHandle handle, OfxPropertySetHandle *set) {
    HOST_CALL("getPropertySet");
    Effect *effect = Effect::of(handle);
    if (effect) *set = effect->properties->handle();
    return effect ? kOfxStatOK : kOfxStatErrBadHandle;
}

OfxStatus get_param_set(OfxImageEffectHandle handle, OfxParamSetHandle *set) {
    HOST_CALL("getParamSet");
    Effect *effect = Effect::of(handle);
    if (effect) *set = effect->parameters.handle();
    return effect ? kOfxStatOK : kOfxStatErrBadHandle;
}

OfxStatus clip_define(OfxImageEffectHandle handle, const char *name, OfxPropertySetHandle *set) {
    HOST_CALL("clipDefine");
    Effect *effect = Effect::of(handle);
    if (!effect) return kOfxStatErrBadHandle;
    const watch::Action *action = watch::current();
    if (!action || action->name != "OfxImageEffectActionDescribeInContext")
        watch::crime("forbidden call", "clipDefine outside of DescribeInContext");
    if (!name || effect->clip(name)) {
        watch::crime("clip", "defined twice or without a name");
        return kOfxStatErrExists;
    }
    effect->clips.push_back(std::make_unique<Clip>(*effect, name, "clip"));
    if (set) *set = effect->clips.back()->properties->handle();
    return kOfxStatOK;
}

OfxStatus clip_get_handle(OfxImageEffectHandle handle, const char *name, OfxImageClipHandle *clip,
                          OfxPropertySetHandle *set) {
    HOST_CALL("clipGetHandle");
    Effect *effect = Effect::of(handle);
    if (!effect) return kOfxStatErrBadHandle;
    if (!effect->is_instance) watch::crime("forbidden call", "clipGetHandle of a description");
    Clip *found = effect->clip(name ? name : "");
    if (!found) {
        watch::crime("unknown clip", name ? name : "(null)");
        return kOfxStatErrUnknown;
    }
    if (clip) *clip = found->handle();
    if (set) *set = found->properties->handle();
    return kOfxStatOK;
}

OfxStatus clip_get_property_set(OfxImageClipHandle handle, OfxPropertySetHandle *set) {
    HOST_CALL("clipGetPropertySet");
    Clip *clip = Clip::of(handle);
    if (clip) *set = clip->properties->handle();
    return clip ? kOfxStatOK : kOfxStatErrBadHandle;
}

// A picture's property set, as much of it as this host gives.
std::unique_ptr<PropertySet> describe(const Clip &clip, Pixels &pixels, const Rect &region, const double scale[2],
                                      const std::string &identifier) {
    auto set = std::make_unique<PropertySet>("image");
    set->put("OfxImageEffectPropPixelDepth", pixels.layout.depth);
    set->put("OfxImageEffectPropComponents", pixels.layout.components);
    set->put("OfxImageEffectPropPreMultiplication", clip.properties->string("OfxImageEffectPropPreMultiplication"));
    set->put("OfxImageEffectPropRenderScale", std::vector<double>{scale[0], scale[1]});
    set->put("OfxImagePropPixelAspectRatio", clip.pixel_aspect());
    const Rect &bounds = pixels.bounds;
    set->put("OfxImagePropBounds", std::vector<int>{bounds.x1, bounds.y1, bounds.x2, bounds.y2});
    set->put("OfxImagePropRegionOfDefinition", std::vector<int>{region.x1, region.y1, region.x2, region.y2});
    set->put("OfxImagePropRowBytes", pixels.row_bytes());
    set->put("OfxImagePropData", static_cast<void *>(pixels.row(bounds.y1)));
    set->put("OfxImagePropUniqueIdentifier", identifier);
    if (clip.owner.host.bare_images)
        for (const char *name : {"OfxImageEffectPropRenderScale", "OfxImageEffectPropPreMultiplication",
                                 "OfxImagePropField", "OfxImagePropUniqueIdentifier", "OfxImagePropRegionOfDefinition"})
            set->leave_out(name);
    return set;
}

// The pixels of a clip that comes in; null where there are none at that time.
std::shared_ptr<Pixels> incoming(const Clip &clip, double time, const double scale[2], const OfxRectD *wanted) {
    if (!clip.feed.has(time)) return nullptr;
    const Rect whole = pixels_of(clip.feed.region, scale, clip.feed.pixel_aspect);
    Rect bounds = whole;
    if (wanted && !clip.owner.host.whole_images)
        bounds = intersection(whole, pixels_of(*wanted, scale, clip.feed.pixel_aspect));
    if (!bounds.width() || !bounds.height()) return nullptr;
    auto pixels = picture(clip.feed, time, scale, bounds, clip.mapped());
    pixels->remember();
    return pixels;
}

OfxStatus clip_get_image(OfxImageClipHandle handle, OfxTime time, const OfxRectD *wanted, OfxPropertySetHandle *image) {
    HOST_CALL("clipGetImage");
    const Clip *clip = Clip::of(handle);
    watch::Action *action = watch::current();
    if (!clip || !action) return kOfxStatErrBadHandle;
    const bool rendering = action->name == "OfxImageEffectActionRender";
    if (!rendering && action->name != "OfxActionInstanceChanged") {
        watch::crime("forbidden call", "clipGetImage of " + clip->name);
        return kOfxStatFailed;
    }
    const bool output = clip->name == "Output";
    if (output && (!rendering || time != action->time || !action->output)) {
        watch::crime("forbidden call", "clipGetImage of Output outside of a render, or at another time than its own");
        return kOfxStatFailed;
    }
    const bool temporal = clip->properties->integer("OfxImageEffectPropTemporalClipAccess") != 0;
    if (!output && rendering && time != action->time && !temporal)
        watch::crime("forbidden call", "a picture of another time without temporal access to " + clip->name);
    auto made = std::make_shared<Image>();
    made->clip = clip->name;
    made->pixels = output ? action->output->pixels : incoming(*clip, time, action->scale, wanted);
    if (!made->pixels) return kOfxStatFailed;
    const Feed &feed = clip->feed;
    const Rect region = output ? action->output->region : pixels_of(feed.region, action->scale, feed.pixel_aspect);
    const std::string identifier = clip->name + ' ' + std::to_string(time);
    made->properties = describe(*clip, *made->pixels, region, action->scale, identifier);
    if (output && action->output->without_data) made->properties->put("OfxImagePropData", static_cast<void *>(nullptr));
    *image = made->properties->handle();
    const std::lock_guard<std::mutex> hold(action->lock);
    action->images.push_back(made);
    ++action->fetched[clip->name];
    return kOfxStatOK;
}

OfxStatus clip_release_image(OfxPropertySetHandle handle) {
    HOST_CALL("clipReleaseImage");
    PropertySet *set = PropertySet::of(handle, "its release");
    watch::Action *action = watch::current();
    if (!set || !action) return kOfxStatErrBadHandle;
    const std::lock_guard<std::mutex> hold(action->lock);
    for (const auto &image : action->images) {
        if (image->properties.get() != set) continue;
        image->released = true;
        set->die();
        return kOfxStatOK;
    }
    watch::crime("handle", "released as a picture, but is none of this action");
    return kOfxStatErrBadHandle;
}

OfxStatus clip_get_region(OfxImageClipHandle handle, OfxTime, OfxRectD *region) {
    HOST_CALL("clipGetRegionOfDefinition");
    const Clip *clip = Clip::of(handle);
    if (!clip) return kOfxStatErrBadHandle;
    if (clip->name != "Output" && clip->feed.kind == Feed::Kind::nothing) return kOfxStatFailed;
    *region = clip->name == "Output" ? clip->owner.project() : clip->feed.region;
    return kOfxStatOK;
}

int aborted(OfxImageEffectHandle handle) {
    static watch::Function &function = watch::function("abort");
    function.enter();
    watch::Action *action = watch::current();
    if (!Effect::of(handle) || !action) return 0;
    const long asked = action->aborts.fetch_add(1, std::memory_order_relaxed);
    if (action->abort_after >= 0 && asked >= action->abort_after) return 1;
    return action->abort_seconds >= 0 && watch::seconds() - action->began >= action->abort_seconds;
}

struct Block {
    Effect *owner;
    std::vector<unsigned char> bytes;
    int locked = 0;
};

OfxStatus memory_alloc(OfxImageEffectHandle handle, size_t bytes, OfxImageMemoryHandle *memory) {
    HOST_CALL("imageMemoryAlloc");
    Effect *effect = Effect::of(handle);
    if (!effect) return kOfxStatErrBadHandle;
    *memory = reinterpret_cast<OfxImageMemoryHandle>(new Block{effect, std::vector<unsigned char>(bytes), 0});
    ++effect->memory_blocks;
    return kOfxStatOK;
}

OfxStatus memory_free(OfxImageMemoryHandle memory) {
    HOST_CALL("imageMemoryFree");
    auto *block = reinterpret_cast<Block *>(memory);
    if (!block) return kOfxStatErrBadHandle;
    --block->owner->memory_blocks;
    delete block;
    return kOfxStatOK;
}

OfxStatus memory_lock(OfxImageMemoryHandle memory, void **data) {
    HOST_CALL("imageMemoryLock");
    auto *block = reinterpret_cast<Block *>(memory);
    if (!block) return kOfxStatErrBadHandle;
    ++block->locked;
    *data = block->bytes.data();
    return kOfxStatOK;
}

OfxStatus memory_unlock(OfxImageMemoryHandle memory) {
    HOST_CALL("imageMemoryUnlock");
    auto *block = reinterpret_cast<Block *>(memory);
    if (!block) return kOfxStatErrBadHandle;
    if (--block->locked < 0) watch::crime("memory", "imageMemoryUnlock without a lock");
    return kOfxStatOK;
}

}  // namespace

const OfxImageEffectSuiteV1 image_effect_suite = {
    get_property_set, get_param_set, clip_define, clip_get_handle, clip_get_property_set, clip_get_image,
    clip_release_image, clip_get_region, aborted, memory_alloc, memory_free, memory_lock, memory_unlock,
};
