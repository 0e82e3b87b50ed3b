#include "watch.h"

#include <chrono>
#include <utility>

namespace watch {

namespace {

std::mutex crimes_lock;
std::vector<std::string> crimes;

std::mutex functions_lock;
std::map<std::string, std::unique_ptr<Function>> &functions() {
    static std::map<std::string, std::unique_ptr<Function>> all;
    return all;
}

thread_local Action *action_of_thread = nullptr;

constexpr size_t kMostCrimes = 200;

}  // namespace

void crime(const std::string &kind, const std::string &what) {
    const Action *action = current();
    const std::string told = kind + ": " + what + (action ? " [in " + action->name + "]" : " [in no action]");
    const std::lock_guard<std::mutex> hold(crimes_lock);
    if (crimes.size() < kMostCrimes) crimes.push_back(told);
}

std::vector<std::string> take_crimes() {
    const std::lock_guard<std::mutex> hold(crimes_lock);
    return std::exchange(crimes, {});
}

Action *current() { return action_of_thread; }

Inside::Inside(Action &action) : before_(action_of_thread) { action_of_thread = &action; }
Inside::~Inside() { action_of_thread = before_; }

OfxStatus Function::enter(bool anywhere) {
    calls_.fetch_add(1, std::memory_order_relaxed);
    if (!anywhere && !current()) crime("thread", name_ + " on a thread that is in no action");
    if (left_.load(std::memory_order_relaxed) <= 0) return kOfxStatOK;
    if (until_.fetch_sub(1, std::memory_order_relaxed) > 0) return kOfxStatOK;
    left_.fetch_sub(1, std::memory_order_relaxed);
    return status_.load(std::memory_order_relaxed);
}

void Function::fail(OfxStatus status, long after, long count) {
    status_.store(status, std::memory_order_relaxed);
    until_.store(after, std::memory_order_relaxed);
    left_.store(count, std::memory_order_relaxed);
}

Function &function(const std::string &name) {
    const std::lock_guard<std::mutex> hold(functions_lock);
    auto &made = functions()[name];
    if (!made) made = std::make_unique<Function>(name);
    return *made;
}

void clear_failures() {
    const std::lock_guard<std::mutex> hold(functions_lock);
    for (auto &[name, one] : functions()) one->fail(kOfxStatOK, 0, 0);
}

std::map<std::string, long> take_calls() {
    const std::lock_guard<std::mutex> hold(functions_lock);
    std::map<std::string, long> taken;
    for (auto &[name, one] : functions())
        if (const long calls = one->take_calls()) taken[name] = calls;
    return taken;
}

double seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

}  // namespace watch
