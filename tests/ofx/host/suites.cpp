#include "suites.h"

#include <atomic>
#include <cmath>
#include <cstdarg>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "effect.h"
#include "watch.h"

namespace {

const Personality *current_host = nullptr;
PropertySet *current_properties = nullptr;

// Messages.

std::mutex messages_lock;
std::vector<Message> messages;

std::string formatted(const char *format, va_list values) {
    char text[8192];
    std::vsnprintf(text, sizeof text, format, values);
    return text;
}

OfxStatus note_message(const char *kind, void *handle, const char *type, const char *identifier, const char *format,
                       va_list values) {
    static const std::set<std::string> types = {"OfxMessageFatal", "OfxMessageError", "OfxMessageWarning",
                                                "OfxMessageMessage", "OfxMessageLog", "OfxMessageQuestion"};
    if (!type || !types.count(type) || !format) {
        watch::crime("message", "of no type, or without a format");
        return kOfxStatErrValue;
    }
    Effect *effect = handle ? Effect::of(handle) : nullptr;
    const Message told{kind, type, identifier ? identifier : "", formatted(format, values)};
    const bool lasting = told.kind == "persistent";
    const bool can_last = current_host && current_host->has("OfxMessageSuite", 2) && !current_host->null_messages;
    const watch::Action *action = watch::current();
    if (!lasting && can_last && told.type != "OfxMessageLog" && action && action->name == "OfxImageEffectActionRender")
        watch::crime("forbidden call", "a dialog during a render: " + told.text);
    if (told.text.empty()) watch::crime("message", "without a text");
    const std::lock_guard<std::mutex> hold(messages_lock);
    if (lasting && effect) effect->persistent_message = told.text;
    messages.push_back(told);
    return kOfxStatOK;
}

OfxStatus message(void *handle, const char *type, const char *identifier, const char *format, ...) {
    HOST_CALL("message");
    va_list values;
    va_start(values, format);
    const OfxStatus status = note_message("message", handle, type, identifier, format, values);
    va_end(values);
    return status;
}

OfxStatus set_persistent_message(void *handle, const char *type, const char *identifier, const char *format, ...) {
    HOST_CALL("setPersistentMessage");
    va_list values;
    va_start(values, format);
    const OfxStatus status = note_message("persistent", handle, type, identifier, format, values);
    va_end(values);
    return status;
}

OfxStatus clear_persistent_message(void *handle) {
    HOST_CALL("clearPersistentMessage");
    Effect *effect = Effect::of(handle);
    if (!effect) return kOfxStatErrBadHandle;
    const std::lock_guard<std::mutex> hold(messages_lock);
    effect->persistent_message.clear();
    messages.push_back({"clear", "", "", ""});
    return kOfxStatOK;
}

const OfxMessageSuiteV1 message_suite_1 = {message};
const OfxMessageSuiteV2 message_suite_2 = {message, set_persistent_message, clear_persistent_message};
const OfxMessageSuiteV2 message_suite_null = {message, nullptr, nullptr};

// Progress.

std::mutex progress_lock;
std::vector<Progress> progresses;
long cancel_after = -1;
long work_at = -1;
std::function<void()> work_during;

OfxStatus start_progress(void *handle, std::vector<std::string> labels) {
    if (!Effect::of(handle)) return kOfxStatErrBadHandle;
    const std::lock_guard<std::mutex> hold(progress_lock);
    if (!progresses.empty() && !progresses.back().ended) watch::crime("progress", "started while another is under way");
    Progress started;
    started.labels = std::move(labels);
    progresses.push_back(started);
    return kOfxStatOK;
}

OfxStatus progress_start_1(void *handle, const char *label) {
    HOST_CALL("progressStart");
    return start_progress(handle, {label ? label : "(null)"});
}

OfxStatus progress_start_2(void *handle, const char *text, const char *identifier) {
    HOST_CALL("progressStart");
    return start_progress(handle, {text ? text : "(null)", identifier ? identifier : ""});
}

OfxStatus progress_update(void *handle, double part) {
    HOST_CALL("progressUpdate");
    if (!Effect::of(handle)) return kOfxStatErrBadHandle;
    std::unique_lock<std::mutex> hold(progress_lock);
    if (progresses.empty() || progresses.back().ended) watch::crime("progress", "updated, but not started");
    if (!(part >= 0 && part <= 1)) watch::crime("progress", "updated to " + std::to_string(part));
    if (progresses.empty()) return kOfxStatFailed;
    Progress &now = progresses.back();
    now.last = part;
    const long count = ++now.updates;
    const bool cancelled = cancel_after >= 0 && count > cancel_after;
    const auto work = count == work_at ? std::exchange(work_during, nullptr) : nullptr;
    hold.unlock();
    if (work) work();
    return cancelled ? kOfxStatReplyNo : kOfxStatReplyYes;
}

OfxStatus progress_end(void *handle) {
    HOST_CALL("progressEnd");
    if (!Effect::of(handle)) return kOfxStatErrBadHandle;
    const std::lock_guard<std::mutex> hold(progress_lock);
    if (progresses.empty() || progresses.back().ended) watch::crime("progress", "ended, but not started");
    else progresses.back().ended = true;
    return kOfxStatOK;
}

const OfxProgressSuiteV1 progress_suite_1 = {progress_start_1, progress_update, progress_end};
const OfxProgressSuiteV2 progress_suite_2 = {progress_start_2, progress_update, progress_end};

// Time line.

std::atomic<double> now_time{1}, first_time{1}, last_time{100};

OfxStatus get_time(void *, double *time) {
    HOST_CALL("getTime");
    *time = now_time;
    return kOfxStatOK;
}

OfxStatus goto_time(void *, double time) {
    HOST_CALL("gotoTime");
    now_time = time;
    return kOfxStatOK;
}

OfxStatus get_time_bounds(void *, double *first, double *last) {
    HOST_CALL("getTimeBounds");
    *first = first_time;
    *last = last_time;
    return kOfxStatOK;
}

const OfxTimeLineSuiteV1 timeline_suite = {get_time, goto_time, get_time_bounds};

// Memory.

std::atomic<long> blocks{0};

OfxStatus memory_alloc(void *, size_t bytes, void **data) {
    HOST_CALL_ANYWHERE("memoryAlloc");
    *data = std::malloc(bytes ? bytes : 1);
    if (!*data) return kOfxStatErrMemory;
    ++blocks;
    return kOfxStatOK;
}

OfxStatus memory_free(void *data) {
    HOST_CALL_ANYWHERE("memoryFree");
    if (!data) return kOfxStatOK;
    std::free(data);
    --blocks;
    return kOfxStatOK;
}

const OfxMemorySuiteV1 memory_suite = {memory_alloc, memory_free};

// Threads.

constexpr unsigned int kCores = 2;
thread_local unsigned int thread_index = 0;
thread_local bool spawned = false;

OfxStatus multi_thread(OfxThreadFunctionV1 *function, unsigned int count, void *argument) {
    HOST_CALL("multiThread");
    if (!function) return kOfxStatFailed;
    if (spawned) return kOfxStatErrExists;
    const unsigned int threads = count ? count : kCores;
    watch::Action *action = watch::current();
    std::vector<std::thread> running;
    for (unsigned int i = 0; i < threads; ++i)
        running.emplace_back([=] {
            const watch::Inside inside(*action);
            thread_index = i;
            spawned = true;
            try {
                function(i, threads, argument);
            } catch (...) {
                watch::crime("exception", "crossed the border of the plug-in on a thread of the host");
            }
        });
    for (std::thread &one : running) one.join();
    return kOfxStatOK;
}

OfxStatus number_of_cpus(unsigned int *count) {
    HOST_CALL_ANYWHERE("multiThreadNumCPUs");
    *count = kCores;
    return kOfxStatOK;
}

OfxStatus index_of_thread(unsigned int *index) {
    HOST_CALL_ANYWHERE("multiThreadIndex");
    *index = thread_index;
    return kOfxStatOK;
}

int is_spawned() { return spawned; }

std::recursive_mutex *mutex_of(OfxMutexHandle handle) { return reinterpret_cast<std::recursive_mutex *>(handle); }

OfxStatus mutex_create(OfxMutexHandle *mutex, int) {
    HOST_CALL_ANYWHERE("mutexCreate");
    *mutex = reinterpret_cast<OfxMutexHandle>(new std::recursive_mutex);
    return kOfxStatOK;
}

OfxStatus mutex_destroy(OfxMutexHandle mutex) {
    HOST_CALL_ANYWHERE("mutexDestroy");
    delete mutex_of(mutex);
    return kOfxStatOK;
}

OfxStatus mutex_lock(OfxMutexHandle mutex) {
    HOST_CALL_ANYWHERE("mutexLock");
    mutex_of(mutex)->lock();
    return kOfxStatOK;
}

OfxStatus mutex_unlock(OfxMutexHandle mutex) {
    HOST_CALL_ANYWHERE("mutexUnLock");
    mutex_of(mutex)->unlock();
    return kOfxStatOK;
}

OfxStatus mutex_try_lock(OfxMutexHandle mutex) {
    HOST_CALL_ANYWHERE("mutexTryLock");
    return mutex_of(mutex)->try_lock() ? kOfxStatOK : kOfxStatFailed;
}

const OfxMultiThreadSuiteV1 multi_thread_suite = {
    multi_thread, number_of_cpus, index_of_thread, is_spawned, mutex_create, mutex_destroy, mutex_lock, mutex_unlock,
    mutex_try_lock,
};

const void *fetch_suite(OfxPropertySetHandle host, const char *name, int version) {
    static watch::Function &function = watch::function("fetchSuite");
    if (function.enter() != kOfxStatOK || !name || !current_host) return nullptr;
    if (PropertySet::of(host, "suites") != current_properties) return nullptr;
    const std::string suite = std::string(name) + ' ' + std::to_string(version);
    if (!current_host->suites.count(suite)) return nullptr;
    if (suite == "OfxMessageSuite 2" && current_host->null_messages) return &message_suite_null;
    const std::map<std::string, const void *> suites = {
        {"OfxPropertySuite 1", &property_suite}, {"OfxImageEffectSuite 1", &image_effect_suite},
        {"OfxParameterSuite 1", &parameter_suite}, {"OfxMessageSuite 1", &message_suite_1},
        {"OfxMessageSuite 2", &message_suite_2}, {"OfxProgressSuite 1", &progress_suite_1},
        {"OfxProgressSuite 2", &progress_suite_2}, {"OfxTimeLineSuite 1", &timeline_suite},
        {"OfxMemorySuite 1", &memory_suite}, {"OfxMultiThreadSuite 1", &multi_thread_suite},
    };
    return suites.at(suite);
}

}  // namespace

std::vector<Message> take_messages() {
    const std::lock_guard<std::mutex> hold(messages_lock);
    return std::exchange(messages, {});
}

std::vector<Progress> take_progress() {
    const std::lock_guard<std::mutex> hold(progress_lock);
    for (const Progress &one : progresses)
        if (!one.ended) watch::crime("progress", "started, but not ended");
    return std::exchange(progresses, {});
}

void cancel_progress_after(long updates) {
    const std::lock_guard<std::mutex> hold(progress_lock);
    cancel_after = updates;
}

void during_progress(long update, std::function<void()> work) {
    const std::lock_guard<std::mutex> hold(progress_lock);
    work_at = update;
    work_during = std::move(work);
}

void set_timeline(double time, double first, double last) {
    now_time = time;
    first_time = first;
    last_time = last;
}

double timeline_time() { return now_time; }

long open_blocks() { return blocks; }

OfxHost *host_of(const Personality &personality, PropertySet &properties) {
    static OfxHost host;
    current_host = &personality;
    current_properties = &properties;
    host = {properties.handle(), fetch_suite};
    return &host;
}
