// One node of a project. Hosts make and drop them freely, some one for each frame: it is a few handles, no more.
#pragma once

#include <atomic>

#include "host.h"
#include "notices.h"
#include "parameters.h"

namespace vdp {

struct Clip {
    OfxImageClipHandle handle = nullptr;
    Properties properties;

    Clip(OfxImageEffectHandle effect, const char *name);
    bool connected() const;
    Image image(OfxTime time) const { return Image(connected() ? handle : nullptr, time); }
};

class Instance {
public:
    explicit Instance(OfxImageEffectHandle effect);
    static Instance &of(OfxImageEffectHandle effect);
    static void attach(OfxImageEffectHandle effect);
    static void detach(OfxImageEffectHandle effect);

    bool abort_asked() const { return host().effect->abort(effect) != 0; }
    // "", or why the layers are not what the settings ask for.
    std::string out_of_date() const;
    // The settings of custom ranges, haze and mix are open where they matter.
    void enable_parameters() const;

    const OfxImageEffectHandle effect;
    const Properties properties;
    const Parameters parameters;
    const Clip source, hint, output;
    Notices notices;
    std::atomic<bool> source_changed{false};
    std::atomic<bool> analysing{false}, cancel_asked{false};
};

// Whether an output has an alpha of its own; else it is 1 everywhere.
bool has_alpha(const std::string &output);

void get_clip_preferences(Instance &instance, Properties out);
OfxStatus is_identity(Instance &instance, Properties in, Properties out);

}  // namespace vdp
