// The node's parameters: described once, read by name. Projects store names and the order of choices: add at the end.
#pragma once

#include <string>
#include <vector>

#include "host.h"

namespace vdp {

namespace param {
inline constexpr char kShot[] = "shot";
inline constexpr char kTask[] = "task";
inline constexpr char kLayers[] = "layers";
inline constexpr char kFlow[] = "flow";
inline constexpr char kQuality[] = "quality";
inline constexpr char kDevice[] = "device";
inline constexpr char kRange[] = "range";
inline constexpr char kFirst[] = "first";
inline constexpr char kLast[] = "last";
inline constexpr char kHintFrames[] = "hintFrames";
inline constexpr char kAnalyse[] = "analyse";
inline constexpr char kCancel[] = "cancel";
inline constexpr char kRefresh[] = "refresh";
inline constexpr char kOutput[] = "output";
inline constexpr char kAlpha[] = "alpha";
inline constexpr char kHaze[] = "haze";
inline constexpr char kMix[] = "mix";
inline constexpr char kMissing[] = "missing";
inline constexpr char kGeneration[] = "generation";  // hidden; another value makes the host forget what it cached
inline constexpr char kAnalysed[] = "analysed";      // hidden; the settings that this node's layers were made with
}  // namespace param

void define_parameters(OfxParamSetHandle set);

// The parameters of one instance.
class Parameters {
public:
    explicit Parameters(OfxParamSetHandle set = nullptr) : set_(set) {}

    int integer(const char *name) const;
    double real(const char *name, OfxTime time) const;
    std::string text(const char *name) const;
    // The option of a choice as protocol.md names it.
    std::string choice(const char *name) const;

    // Only while InstanceChanged runs: hosts allow it nowhere else.
    void set(const char *name, int value) const;
    void set(const char *name, const std::string &value) const;
    void enable(const char *name, bool enabled) const;

private:
    OfxParamHandle handle(const char *name) const;
    OfxParamSetHandle set_;
};

// What an analysis is asked to make.
struct AnalysisSettings {
    std::string task, flow, quality, device;
    std::string layers;  // "" where the task has none

    static AnalysisSettings of(const Parameters &parameters);
    // Everything that changes the layers, in one line.
    std::string digest() const { return task + ' ' + layers + ' ' + flow + ' ' + quality; }
};

// What is to be shown at one time.
struct View {
    std::string shot, output, alpha, missing;
    double haze = 1, mix = 0;
    int generation = 0;

    static View of(const Parameters &parameters, OfxTime time);
};

}  // namespace vdp
