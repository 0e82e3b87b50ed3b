// Effects: descriptions and instances, their clips, and the calls that the host makes of them.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "images.h"
#include "parameters.h"
#include "personality.h"
#include "properties.h"
#include "watch.h"

struct Effect;

struct Clip {
    Clip(Effect &owner, const std::string &name, const char *kind);
    OfxImageClipHandle handle() { return reinterpret_cast<OfxImageClipHandle>(this); }
    static Clip *of(OfxImageClipHandle handle);

    // Of an instance: what comes in, and its properties after that.
    void connect(const Feed &feed);
    // As clip preferences made it.
    void map_to(const std::string &depth, const std::string &components);
    Layout mapped() const;
    double pixel_aspect() const { return properties->real("OfxImagePropPixelAspectRatio"); }

    Effect &owner;
    const std::string name;
    std::unique_ptr<PropertySet> properties;
    Feed feed;

private:
    unsigned magic_;
};

// What a render is to be written into.
struct OutputPlan {
    std::shared_ptr<Pixels> pixels;
    Rect region;  // of definition, in pixels
    bool without_data;
};

struct Effect {
    // A description in a context, or of the plug-in as such where `context` is empty.
    Effect(OfxPlugin &plugin, const Personality &host, const std::string &context);
    // An instance of a description.
    explicit Effect(const Effect &description);
    ~Effect();

    OfxImageEffectHandle handle() { return reinterpret_cast<OfxImageEffectHandle>(this); }
    static Effect *of(OfxImageEffectHandle handle);
    static Effect *of(const void *handle) {
        return of(reinterpret_cast<OfxImageEffectHandle>(const_cast<void *>(handle)));
    }
    Clip *clip(const std::string &name);
    OfxRectD project() const { return {0, 0, project_size[0], project_size[1]}; }

    // The plug-in's main entry with this effect's handle; the sets are dead when it returns.
    OfxStatus call(const std::string &action, std::unique_ptr<PropertySet> in, PropertySet *out = nullptr);
    OfxStatus call(watch::Action &action, std::unique_ptr<PropertySet> in, PropertySet *out = nullptr);

    // Begin, InstanceChanged, End for a parameter or a clip; the status of the second.
    OfxStatus tell_changed(const std::string &type, const std::string &name, const std::string &reason, double time,
                           double scale = 1);
    // Called by the parameter suite: tells the plug-in at once or after its own call, as the personality has it.
    void was_set_by_plugin(const Parameter &parameter);
    // Names of what changed since the last call; `rerender`: one of them changes the picture.
    std::vector<std::string> take_changes(bool &rerender);
    void note_change(const Parameter &parameter);

    OfxPlugin &plugin;
    const Personality &host;
    const std::string context;
    const bool is_instance;
    bool alive = true;
    std::unique_ptr<PropertySet> properties;
    ParameterSet parameters;
    std::vector<std::unique_ptr<Clip>> clips;
    double project_size[2] = {1920, 1080};
    std::string persistent_message;
    std::atomic<int> memory_blocks{0};

private:
    unsigned magic_;
    std::vector<std::string> pending_, changed_;
    bool rerender_ = false;
    int depth_ = 0;
};

extern const OfxImageEffectSuiteV1 image_effect_suite;
