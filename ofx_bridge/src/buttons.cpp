#include "buttons.h"

#include "analysis.h"
#include "runtime.h"
#include "shot.h"

namespace vdp {
namespace {

bool is_one_of(const std::string &name, std::initializer_list<const char *> names) {
    for (const char *one : names)
        if (name == one) return true;
    return false;
}

void cancel(Instance &instance) {
    instance.cancel_asked = true;
    Watch nobody;
    runtime().helper.ask(json::Object().add("op", "cancel").add("shot", require_shot(instance)), nobody);
    instance.notices.answer("Cancelled. What is finished is kept: Analyse goes on from there.");
}

// The artist knows, and has decided: no warning any more until something changes again.
void take_as_they_are(Instance &instance) {
    instance.source_changed = false;
    if (!instance.parameters.text(param::kAnalysed).empty())
        instance.parameters.set(param::kAnalysed, AnalysisSettings::of(instance.parameters).digest());
    instance.notices.warning("");
}

void refresh(Instance &instance) {
    runtime().helper.renew();
    show_layers_anew(instance);
    const std::string shot = require_shot(instance);
    Watch nobody;
    runtime().helper.ask(json::Object().add("op", "forget").add("shot", shot), nobody);
    const json::Value status = runtime().helper.ask(json::Object().add("op", "status").add("shot", shot), nobody);
    take_as_they_are(instance);
    const std::string words = words_for_status(status, shot);
    if (status["state"].text() == "failed")
        instance.notices.answer_failure(words);
    else
        instance.notices.answer(words);
}

void press(Instance &instance, const std::string &name, Properties in) {
    try {
        if (name == param::kAnalyse) analyse(instance, in);
        if (name == param::kCancel) cancel(instance);
        if (name == param::kRefresh) refresh(instance);
    } catch (const Failure &failure) {
        instance.notices.answer_failure(failure.what());
    }
}

void parameter_changed(Instance &instance, const std::string &name, Properties in) {
    if (is_one_of(name, {param::kAnalyse, param::kCancel, param::kRefresh})) press(instance, name, in);
    if (is_one_of(name, {param::kRange, param::kTask, param::kOutput})) instance.enable_parameters();
    // The next render tells whether it still holds; where Source passes through now, there is none.
    if (is_one_of(name, {param::kShot, param::kOutput, param::kMissing})) instance.notices.render_failure("");
    if (is_one_of(name, {param::kTask, param::kLayers, param::kFlow, param::kQuality}))
        instance.notices.warning(instance.out_of_date());
}

}  // namespace

void instance_changed(Instance &instance, Properties in) {
    // What this node sets itself, and what plays along with the time, is none of the artist's doing.
    if (in.text(kOfxPropChangeReason) != kOfxChangeUserEdited) return;
    const std::string type = in.text(kOfxPropType), name = in.text(kOfxPropName);
    if (type == kOfxTypeParameter) parameter_changed(instance, name, in);
    if (type == kOfxTypeClip && name == kOfxImageEffectSimpleSourceClipName &&
        !instance.parameters.text(param::kAnalysed).empty()) {
        instance.source_changed = true;
        instance.notices.warning(instance.out_of_date());
    }
}

}  // namespace vdp
