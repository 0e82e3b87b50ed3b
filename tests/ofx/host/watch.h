// What the host watches: the crimes of a plug-in, the action that a thread is in, and every call of a suite function.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "abi.h"

struct Effect;
struct Image;
struct OutputPlan;

namespace watch {

// Records what a plug-in must not do. Never throws, may be called on any thread.
void crime(const std::string &kind, const std::string &what);

// The crimes since the last call, as "kind: what".
std::vector<std::string> take_crimes();

// One call of the plug-in's main entry. Threads of the multi-thread suite share it.
struct Action {
    std::string name;
    Effect *effect = nullptr;
    const OutputPlan *output = nullptr;  // Render only
    double time = 0;
    double scale[2] = {1, 1};

    std::atomic<long> aborts{0};
    long abort_after = -1;      // polls that are answered with 0, then it is 1; negative: always 0
    double abort_seconds = -1;  // the same by the clock, from the start of the action
    double began = 0;           // monotonic, seconds

    std::mutex lock;  // of what follows
    std::vector<std::shared_ptr<Image>> images;
    std::map<std::string, long> fetched;  // clipGetImage by clip
};

// The action that the calling thread is in; null: none.
Action *current();

// While it lives the calling thread is in the action.
class Inside {
public:
    explicit Inside(Action &action);
    ~Inside();
    Inside(const Inside &) = delete;
    Inside &operator=(const Inside &) = delete;

private:
    Action *before_;
};

// A suite function: how often it was called, and with what it is to fail.
class Function {
public:
    explicit Function(std::string name) : name_(std::move(name)) {}

    // The beginning of every call. Not kOfxStatOK: the call has to end with this status.
    // Relaxed atomics only: a lock here would hide data races of the plug-in from the thread sanitizer.
    OfxStatus enter(bool anywhere = false);

    // The call number `after` (0 is the next) and `count - 1` that follow end with `status`.
    void fail(OfxStatus status, long after, long count);
    long take_calls() { return calls_.exchange(0, std::memory_order_relaxed); }
    const std::string &name() const { return name_; }

private:
    const std::string name_;
    std::atomic<long> calls_{0};
    std::atomic<long> until_{0}, left_{0};
    std::atomic<OfxStatus> status_{kOfxStatOK};
};

// By name; made at the first use and never moved.
Function &function(const std::string &name);
void clear_failures();
// Calls of each function since the last time this was asked.
std::map<std::string, long> take_calls();

double seconds();

}  // namespace watch

// The first line of a suite function of that name that returns an OfxStatus.
#define HOST_CALL(name)                                                                                        \
    static watch::Function &function_ = watch::function(name);                                                 \
    if (const OfxStatus injected_ = function_.enter(); injected_ != kOfxStatOK) return injected_

// The same for functions that may be called on any thread, in no action.
#define HOST_CALL_ANYWHERE(name)                                                                               \
    static watch::Function &function_ = watch::function(name);                                                 \
    if (const OfxStatus injected_ = function_.enter(true); injected_ != kOfxStatOK) return injected_
