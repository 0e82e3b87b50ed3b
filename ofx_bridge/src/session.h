// One helper process, from its start to its end: requests out, replies back to whoever asked, pixels beside them.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "json.h"
#include "mapped_file.h"
#include "process.h"

namespace vdp {

// Asked while waiting, about every 100 ms; throws to give up.
class Watch {
public:
    Watch() = default;
    explicit Watch(std::function<void()> look) : look_(std::move(look)) {}
    // Whether it is time to look again.
    bool due() const { return look_ && std::chrono::steady_clock::now() >= next_; }
    void look() {
        next_ = std::chrono::steady_clock::now() + Milliseconds(100);
        look_();
    }

private:
    std::function<void()> look_;
    std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + Milliseconds(100);
};

// The helper ended, or does not answer: what was asked may be asked again of another one.
class Gone : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

using Buffer = std::shared_ptr<MappedFile>;

// Any thread. There is no thread of its own: the first that waits for a reply reads for all.
class Session : public std::enable_shared_from_this<Session> {
public:
    // Starts the helper. Throws Failure where it cannot be.
    explicit Session(const std::vector<std::string> &command);
    ~Session();

    // Waits until the helper answers at all. Throws Gone, or Failure "engine.version".
    void greet();
    // The reply, whatever it says. Throws Gone, and what `watch` throws.
    json::Value ask(json::Object request, Milliseconds patience, Watch &watch);
    // A file of at least that size, to be used by one request at a time. It comes back when nobody holds it any more.
    Buffer buffer(std::size_t bytes);

private:
    void receive(std::unique_lock<std::mutex> &lock);
    void sort_in(const std::string &line);
    [[noreturn]] void give_up(const std::string &why);
    void take_back(MappedFile *file);

    const std::string folder_, log_;
    std::unique_ptr<Process> process_;

    std::mutex writing_;
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::string unread_;
    std::map<int, json::Value> replies_;
    std::set<int> awaited_;
    int last_id_ = 0;
    bool reading_ = false, gone_ = false;

    std::mutex buffers_mutex_;
    std::vector<std::unique_ptr<MappedFile>> free_buffers_;
    int last_buffer_ = 0;
};

// The buffer of a request. Given up before there was an answer, it is not used again: the helper may still be at it.
class Loan {
public:
    Loan() = default;
    ~Loan() {
        if (buffer_) buffer_->abandon();
    }
    Loan(const Loan &) = delete;
    Loan &operator=(const Loan &) = delete;

    const Buffer &take(Session &session, std::size_t bytes) { return buffer_ = session.buffer(bytes); }
    // The helper answered: the pixels are whoever's asked for them.
    Buffer settled() { return std::exchange(buffer_, nullptr); }

private:
    Buffer buffer_;
};

}  // namespace vdp
