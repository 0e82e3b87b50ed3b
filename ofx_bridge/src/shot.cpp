#include "shot.h"

#include <filesystem>
#include <limits>

#include "frame_ranges.h"
#include "runtime.h"

namespace vdp {
namespace {

std::string percent(double fraction) { return std::to_string(static_cast<int>(fraction * 100)) + " %"; }

// The engine's messages begin in the middle of a sentence, to stand behind a file's name.
std::string sentence(std::string words) {
    if (words.empty()) return "The engine does not say why.";
    if (words.front() >= 'a' && words.front() <= 'z') words.front() = static_cast<char>(words.front() - 'a' + 'A');
    return words.back() == '.' ? words : words + '.';
}

std::string joined(const std::vector<json::Value> &texts) {
    std::string all;
    for (const json::Value &text : texts) all += (all.empty() ? "" : " ") + text.text();
    return all;
}

FrameRanges frames_of(const json::Value &status) {
    FrameRanges ranges;
    for (const json::Value &range : status["frames"].items())
        if (range.items().size() == 2) ranges.emplace_back(range.items()[0].integer(), range.items()[1].integer());
    return ranges;
}

}  // namespace

std::string words_for_status(const json::Value &status, const std::string &shot) {
    const std::string state = status["state"].text(), frames = format_frames(frames_of(status));
    if (state == "none") return "Not analysed: there are no layers in " + shot + ". Connect Source and press Analyse.";
    if (state == "running") {
        const std::string done = percent(status["fraction"].number());
        return "Analysing: " + done + ". Press Refresh to see how far it is, Cancel to stop it.";
    }
    if (state == "partial")
        return "Not complete: there are layers of frames " + frames + ". Analyse goes on from there.";
    if (state == "stale") return sentence(status["message"].text()) + " Press Analyse to make the layers again.";
    if (state == "failed") return "The analysis failed: " + sentence(status["message"].text());
    const std::string warnings = joined(status["warnings"].items());
    return warnings.empty() ? "" : "Analysed, frames " + frames + ". " + warnings;
}

void show_layers_anew(Instance &instance) {
    runtime().pictures.clear();
    const int generation = instance.parameters.integer(param::kGeneration);
    instance.parameters.set(param::kGeneration, generation == std::numeric_limits<int>::max() ? 1 : generation + 1);
}

std::string require_shot(const Instance &instance) {
    const std::string shot = instance.parameters.text(param::kShot);
    if (shot.empty()) throw Failure("shot", "Choose a shot folder first: a folder of its own for this shot's layers.");
    if (std::filesystem::u8path(shot).is_relative())
        throw Failure("shot", "Give the whole path of the shot folder: " + shot +
                                  " depends on where the host was started.");
    return shot;
}

}  // namespace vdp
