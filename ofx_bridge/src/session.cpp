#include "session.h"

#include <algorithm>
#include <fstream>

#include "engine.h"
#include "failure.h"
#include "system.h"

namespace vdp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kProtocol = 1;
constexpr std::size_t kLongestLine = 1 << 20;
constexpr std::size_t kMostFreeBuffers = 4;
constexpr Milliseconds kReadSlice{100};

Milliseconds seconds_from(const char *name, int otherwise) {
    const int seconds = std::atoi(variable(name).c_str());
    return Milliseconds(1000LL * (seconds > 0 ? seconds : otherwise));
}

std::string log_file(const std::string &folder) {
    const std::string chosen = variable("VDP_OFX_LOG");
    return chosen.empty() ? (std::filesystem::u8path(folder) / "serve.log").u8string() : chosen;
}

// Python says last what went wrong.
std::string last_line(const std::string &path) {
    std::ifstream file(std::filesystem::u8path(path), std::ios::binary);
    std::string line, last;
    while (std::getline(file, line))
        if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
    return last.substr(0, 500);
}

}  // namespace

Session::Session(const std::vector<std::string> &command)
    : folder_(make_private_folder("vdp-ofx-").u8string()), log_(log_file(folder_)) {
    // Buffers come back where nothing may be thrown any more.
    free_buffers_.reserve(kMostFreeBuffers + 1);
    std::vector<std::string> whole = command;
    whole.emplace_back("serve");
    try {
        process_ = std::make_unique<Process>(whole, engine_environment(), log_);
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove_all(std::filesystem::u8path(folder_), ignored);
        throw;
    }
}

Session::~Session() {
    process_.reset();
    free_buffers_.clear();
    std::error_code ignored;
    std::filesystem::remove_all(std::filesystem::u8path(folder_), ignored);
}

void Session::greet() {
    Watch nobody;
    const json::Value reply = ask(json::Object().add("op", "hello").add("protocol", kProtocol).add("folder", folder_),
                                  seconds_from("VDP_OFX_START_SECONDS", 120), nobody);
    if (reply["ok"].boolean() && reply["protocol"].integer() == kProtocol) return;
    throw Failure("engine.version", "The VDP engine that was found is of another version than this plug-in (" +
                                        reply["version"].text() + reply["message"].text() +
                                        "). Install both from the same checkout.");
}

json::Value Session::ask(json::Object request, Milliseconds patience, Watch &watch) {
    int id = 0;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        id = ++last_id_;
        awaited_.insert(id);
    }
    const auto end = Clock::now() + patience;
    bool sent = false;
    {
        const std::lock_guard<std::mutex> lock(writing_);
        sent = process_->write(request.add("id", id).str() + '\n', patience);
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (!sent) gone_ = true;
    const auto forget = [&] {
        awaited_.erase(id);
        replies_.erase(id);
    };
    for (;;) {
        if (const auto found = replies_.find(id); found != replies_.end()) {
            json::Value reply = std::move(found->second);
            forget();
            return reply;
        }
        if (gone_) give_up("it ended");
        if (Clock::now() >= end) {
            gone_ = true;
            lock.unlock();
            process_->kill();
            arrived_.notify_all();
            give_up("it did not answer within " + std::to_string(patience.count() / 1000) + " seconds");
        }
        receive(lock);
        if (!watch.due()) continue;
        // The host is asked without the lock: its answer may take a while.
        lock.unlock();
        try {
            watch.look();
        } catch (...) {
            lock.lock();
            forget();
            throw;
        }
        lock.lock();
    }
}

void Session::receive(std::unique_lock<std::mutex> &lock) {
    if (reading_) {
        arrived_.wait_for(lock, kReadSlice);
        return;
    }
    reading_ = true;
    std::string bytes;
    lock.unlock();
    const Process::Read read = process_->read(bytes, kReadSlice);
    lock.lock();
    reading_ = false;
    unread_ += bytes;
    for (std::size_t end; (end = unread_.find('\n')) != std::string::npos; unread_.erase(0, end + 1))
        sort_in(unread_.substr(0, end));
    if (read == Process::Read::ended || unread_.size() > kLongestLine) gone_ = true;
    // Also where nothing came: if this thread has its reply, another one has to take over the reading.
    arrived_.notify_all();
}

void Session::sort_in(const std::string &line) {
    try {
        json::Value reply = json::parse(line);
        const int id = reply["id"].integer();
        if (awaited_.count(id) != 0) replies_.emplace(id, std::move(reply));
    } catch (const json::Malformed &) {
        // A library of the engine that prints where it should not: no reply of ours.
    }
}

void Session::give_up(const std::string &why) {
    const std::string last = last_line(log_);
    throw Gone(why + (last.empty() ? "" : ": " + last));
}

Buffer Session::buffer(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(buffers_mutex_);
    std::unique_ptr<MappedFile> chosen;
    const auto large_enough = std::find_if(free_buffers_.begin(), free_buffers_.end(),
                                           [bytes](const auto &file) { return file->size() >= bytes; });
    if (large_enough != free_buffers_.end()) {
        chosen = std::move(*large_enough);
        free_buffers_.erase(large_enough);
    } else {
        const auto name = "buffer-" + std::to_string(++last_buffer_) + ".raw";
        chosen = std::make_unique<MappedFile>((std::filesystem::u8path(folder_) / name).u8string(), bytes);
    }
    const std::weak_ptr<Session> home = weak_from_this();
    return Buffer(chosen.release(), [home](MappedFile *file) {
        if (const auto session = home.lock()) session->take_back(file);
        else delete file;
    });
}

void Session::take_back(MappedFile *file) {
    std::unique_ptr<MappedFile> returned(file);
    if (returned->abandoned()) return;
    const std::lock_guard<std::mutex> lock(buffers_mutex_);
    free_buffers_.push_back(std::move(returned));
    // The oldest goes: where the format changed, it is the one that fits no more.
    if (free_buffers_.size() > kMostFreeBuffers) free_buffers_.erase(free_buffers_.begin());
}

}  // namespace vdp
