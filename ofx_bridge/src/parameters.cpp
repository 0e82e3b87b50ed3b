#include "parameters.h"

#include <cstring>

namespace vdp {
namespace {

// What hosts show, and the name in protocol.md.
struct Option {
    const char *label;
    const char *name;
};

struct Choice {
    const char *parameter;
    int initial;
    std::vector<Option> options;
};

const std::vector<Choice> &choices() {
    static const std::vector<Choice> all = {
        {param::kTask, 0, {{"layers", "layers"}, {"dehaze", "dehaze"}, {"relight", "relight"}}},
        {param::kLayers, 0, {{"2", "2"}, {"3", "3"}, {"4", "4"}, {"auto", "auto"}}},
        {param::kFlow, 0, {{"estimate (DIS)", "dis"}, {"estimate (RAFT)", "raft"}, {"estimate (VDP)", "vdp"}}},
        {param::kQuality, 1, {{"draft", "draft"}, {"standard", "standard"}, {"final", "final"}}},
        {param::kRange, 0, {{"clip", "clip"}, {"custom", "custom"}}},
        {param::kOutput,
         0,
         {{"plate", "plate"},
          {"bg", "bg"},
          {"fg1", "fg1"},
          {"fg2", "fg2"},
          {"fg3", "fg3"},
          {"clean", "clean"},
          {"residual", "residual"},
          {"confidence", "confidence"},
          {"matte as alpha", "matte"},
          {"recomposition", "recomposition"},
          {"clear", "clear"},
          {"transmission", "transmission"},
          {"airlight", "airlight"},
          {"relit", "relit"},
          {"gain", "gain"},
          {"noise", "noise"}}},
        {param::kAlpha, 0, {{"premultiplied", "premultiplied"}, {"straight", "straight"}}},
        {param::kMissing, 0, {{"error", "error"}, {"hold", "hold"}, {"black", "black"}, {"plate", "plate"}}},
    };
    return all;
}

const Choice &choice_of(const char *name) {
    for (const Choice &choice : choices())
        if (std::strcmp(choice.parameter, name) == 0) return choice;
    throw HostError(kOfxStatErrUnknown);
}

enum class Changes { picture, nothing };

class Definitions {
public:
    explicit Definitions(OfxParamSetHandle set) : set_(set) {}

    void group(const char *name, const char *label, const char *hint) {
        const Properties properties = define(kOfxParamTypeGroup, name, label, hint);
        properties.set(kOfxParamPropGroupOpen, 1);
        group_ = name;
    }

    void choice(const char *name, const char *label, const char *hint, Changes changes) {
        const Properties properties = value(kOfxParamTypeChoice, name, label, hint, changes);
        int index = 0;
        for (const Option &option : choice_of(name).options)
            properties.set(kOfxParamPropChoiceOption, option.label, index++);
        properties.set(kOfxParamPropDefault, choice_of(name).initial);
    }

    void integer(const char *name, const char *label, const char *hint, int initial) {
        const Properties properties = value(kOfxParamTypeInteger, name, label, hint, Changes::nothing);
        properties.set(kOfxParamPropDefault, initial);
        properties.set(kOfxParamPropMin, -1000000);
        properties.set(kOfxParamPropMax, 1000000);
        properties.set(kOfxParamPropDisplayMin, 0);
        properties.set(kOfxParamPropDisplayMax, 2000);
    }

    void real(const char *name, const char *label, const char *hint, double initial, double most) {
        const Properties properties = value(kOfxParamTypeDouble, name, label, hint, Changes::picture);
        properties.set(kOfxParamPropAnimates, 1);
        properties.set(kOfxParamPropDefault, initial);
        properties.set(kOfxParamPropMin, 0.0);
        properties.set(kOfxParamPropMax, most);
        properties.set(kOfxParamPropDisplayMin, 0.0);
        properties.set(kOfxParamPropDisplayMax, most);
        properties.set(kOfxParamPropIncrement, 0.01);
        properties.set(kOfxParamPropDigits, 2);
    }

    void text(const char *name, const char *label, const char *hint, const char *initial, Changes changes,
              const char *mode = kOfxParamStringIsSingleLine) {
        const Properties properties = value(kOfxParamTypeString, name, label, hint, changes);
        properties.set(kOfxParamPropStringMode, mode);
        properties.set(kOfxParamPropStringFilePathExists, 0);
        properties.set(kOfxParamPropDefault, initial);
    }

    void button(const char *name, const char *label, const char *hint) {
        define(kOfxParamTypePushButton, name, label, hint);
        children_.push_back(name);
    }

    // Kept in the project, never shown, not undone with what the artist undoes.
    void hidden_integer(const char *name, const char *hint) {
        const Properties properties = hidden(kOfxParamTypeInteger, name, hint);
        properties.set(kOfxParamPropDefault, 0);
        properties.set(kOfxParamPropEvaluateOnChange, 1);
        properties.set(kOfxParamPropCacheInvalidation, kOfxParamInvalidateAll);
    }

    void hidden_text(const char *name, const char *hint) {
        const Properties properties = hidden(kOfxParamTypeString, name, hint);
        properties.set(kOfxParamPropDefault, "");
        properties.set(kOfxParamPropEvaluateOnChange, 0);
    }

    void page(const char *name, const char *label) {
        group_ = nullptr;
        const Properties properties = define(kOfxParamTypePage, name, label, "All parameters of VDP.");
        int index = 0;
        for (const char *child : children_) properties.set(kOfxParamPropPageChild, child, index++);
    }

private:
    Properties define(const char *type, const char *name, const char *label, const char *hint) {
        OfxPropertySetHandle handle = nullptr;
        require(host().parameter->paramDefine(set_, type, name, &handle));
        const Properties properties(handle);
        properties.set(kOfxPropLabel, label);
        properties.set(kOfxPropShortLabel, label);
        properties.set(kOfxPropLongLabel, label);
        properties.set(kOfxParamPropScriptName, name);
        properties.set(kOfxParamPropHint, hint);
        if (group_ != nullptr && std::strcmp(type, kOfxParamTypeGroup) != 0)
            properties.set(kOfxParamPropParent, group_);
        return properties;
    }

    Properties value(const char *type, const char *name, const char *label, const char *hint, Changes changes) {
        const Properties properties = define(type, name, label, hint);
        properties.set(kOfxParamPropAnimates, 0);
        properties.set(kOfxParamPropEvaluateOnChange, changes == Changes::picture ? 1 : 0);
        children_.push_back(name);
        return properties;
    }

    Properties hidden(const char *type, const char *name, const char *hint) {
        const Properties properties = define(type, name, name, hint);
        properties.set(kOfxParamPropSecret, 1);
        properties.set(kOfxParamPropAnimates, 0);
        properties.set(kOfxParamPropPersistant, 1);
        properties.set(kOfxParamPropCanUndo, 0);
        return properties;
    }

    OfxParamSetHandle set_;
    const char *group_ = nullptr;
    std::vector<const char *> children_;
};

void define_analysis(Definitions &define) {
    define.group("analysis", "Analysis", "What is taken apart, and how.");
    define.text(param::kShot, "shot folder",
                "The folder of this shot's layers: one for each shot and version. Analyse writes into it; layers that "
                "were made elsewhere, by vdp run or on a farm, are shown from it too.",
                "", Changes::picture, kOfxParamStringIsDirectoryPath);
    define.choice(param::kTask, "task",
                  "What to take apart. layers: what moves in front, and the background. dehaze: the clear picture, the "
                  "haze and its colour. relight: the picture well lit, and the gain.",
                  Changes::nothing);
    define.choice(param::kLayers, "layers",
                  "How many layers, the background included. auto: as many as move differently.", Changes::nothing);
    define.choice(param::kFlow, "flow",
                  "Where the motion comes from. DIS: fast, needs nothing. RAFT: better on difficult motion, needs its "
                  "weights and a GPU. VDP: DIS mended by a network of the engine's own; slower.",
                  Changes::nothing);
    define.choice(param::kQuality, "quality", "draft: a quick look. standard: for work. final: slow.",
                  Changes::nothing);
    define.text(param::kDevice, "device", "Where the engine computes: auto, cpu, cuda, cuda:1 and so on.", "auto",
                Changes::nothing);
    define.choice(param::kRange, "frame range",
                  "Which frames to analyse. clip: all that Source has. custom: first to last.", Changes::nothing);
    define.integer(param::kFirst, "first frame", "First frame to analyse, with frame range custom.", 1);
    define.integer(param::kLast, "last frame", "Last frame to analyse, with frame range custom.", 100);
    define.text(param::kHintFrames, "hint frames",
                "Frames of the Hint input to use, such as 1001, 1020, 1040-1050. Empty: every frame of the range on "
                "which the hint shows anything. Set it if the hint is a still picture.",
                "", Changes::nothing);
    define.button(param::kAnalyse, "Analyse",
                  "Renders Source over the frame range into the shot folder and takes it apart. What was stopped goes "
                  "on where it was; what is there already is not done again.");
    define.button(param::kCancel, "Cancel",
                  "Stops the analysis of this shot. What is finished is kept: Analyse goes on from there.");
    define.button(param::kRefresh, "Refresh",
                  "Takes the layers as they are on disk now, and tries again to reach the engine if it had ended.");
}

void define_output(Definitions &define) {
    define.group("show", "Output", "What this node puts out.");
    define.choice(param::kOutput, "output",
                  "What this node puts out. matte as alpha: the plate with the matte of all that is in front. "
                  "recomposition: the plate put together again from its layers. clear, transmission and airlight "
                  "belong to the task dehaze; relit, gain and noise to relight.",
                  Changes::picture);
    define.choice(param::kAlpha, "alpha",
                  "premultiplied: colours multiplied by their matte, for Merge (plus or over). straight: as they are.",
                  Changes::picture);
    define.real(param::kHaze, "haze amount",
                "Recomposition of dehaze: 1 is the plate, 0 is clear, above 1 is thicker.", 1.0, 2.0);
    define.real(param::kMix, "exposure mix", "Recomposition of relight: 0 is the plate, 1 is well lit.", 0.0, 1.0);
    define.choice(param::kMissing, "missing frame",
                  "What a frame without layers does. error: the render fails, so that a farm notices. hold: the "
                  "nearest frame that there is. black. plate: Source passes through.",
                  Changes::picture);
}

}  // namespace

void define_parameters(OfxParamSetHandle set) {
    Definitions define(set);
    define_analysis(define);
    define_output(define);
    define.hidden_integer(param::kGeneration, "Kept by VDP: counts when the layers changed.");
    define.hidden_text(param::kAnalysed, "Kept by VDP: the settings that the layers were made with.");
    define.page("main", "VDP");
}

OfxParamHandle Parameters::handle(const char *name) const {
    OfxParamHandle found = nullptr;
    require(host().parameter->paramGetHandle(set_, name, &found, nullptr));
    return found;
}

int Parameters::integer(const char *name) const {
    int value = 0;
    require(host().parameter->paramGetValue(handle(name), &value));
    return value;
}

double Parameters::real(const char *name, OfxTime time) const {
    double value = 0;
    require(host().parameter->paramGetValueAtTime(handle(name), time, &value));
    return value;
}

std::string Parameters::text(const char *name) const {
    char *value = nullptr;
    require(host().parameter->paramGetValue(handle(name), &value));
    return value == nullptr ? "" : value;
}

std::string Parameters::choice(const char *name) const {
    const std::vector<Option> &options = choice_of(name).options;
    const auto index = static_cast<std::size_t>(integer(name));
    // A project of a later version may hold an option that is not known here.
    if (index >= options.size()) throw HostError(kOfxStatErrValue);
    return options[index].name;
}

void Parameters::set(const char *name, int value) const {
    require(host().parameter->paramSetValue(handle(name), value));
}

void Parameters::set(const char *name, const std::string &value) const {
    require(host().parameter->paramSetValue(handle(name), value.c_str()));
}

void Parameters::enable(const char *name, bool enabled) const {
    OfxPropertySetHandle properties = nullptr;
    require(host().parameter->paramGetPropertySet(handle(name), &properties));
    Properties(properties).set(kOfxParamPropEnabled, enabled ? 1 : 0);
}

AnalysisSettings AnalysisSettings::of(const Parameters &parameters) {
    AnalysisSettings settings;
    settings.task = parameters.choice(param::kTask);
    if (settings.task == "layers") settings.layers = parameters.choice(param::kLayers);
    settings.flow = parameters.choice(param::kFlow);
    settings.quality = parameters.choice(param::kQuality);
    settings.device = parameters.text(param::kDevice);
    return settings;
}

View View::of(const Parameters &parameters, OfxTime time) {
    View view;
    view.shot = parameters.text(param::kShot);
    view.output = parameters.choice(param::kOutput);
    view.alpha = parameters.choice(param::kAlpha);
    view.missing = parameters.choice(param::kMissing);
    view.haze = parameters.real(param::kHaze, time);
    view.mix = parameters.real(param::kMix, time);
    view.generation = parameters.integer(param::kGeneration);
    return view;
}

}  // namespace vdp
