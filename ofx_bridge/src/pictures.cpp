#include "pictures.h"

#include <algorithm>
#include <cmath>

namespace vdp {
namespace {

constexpr std::size_t kMostBytes = std::size_t{512} << 20;
constexpr std::size_t kMostEntries = 4096;
constexpr Milliseconds kWaitSlice{100};

json::Object request_for(const View &view, int frame) {
    return json::Object()
        .add("op", "frame")
        .add("shot", view.shot)
        .add("frame", frame)
        .add("output", view.output)
        .add("alpha", view.alpha)
        .add("haze", view.haze)
        .add("mix", view.mix)
        // "plate" is done here: the helper does not have Source.
        .add("missing", view.missing == "plate" ? "error" : view.missing);
}

[[noreturn]] void refuse(const char *what) {
    throw Failure("protocol", std::string("The VDP engine gave a picture that makes no sense (") + what +
                                  "). Install the engine and the plug-in from the same checkout.");
}

OfxRectI window_of(const json::Value &reply) {
    const auto &values = reply["window"].items();
    if (values.size() != 4) refuse("no window");
    const OfxRectI window{values[0].integer(), values[1].integer(), values[2].integer(), values[3].integer()};
    constexpr int most = 1 << 20;
    for (const int edge : {window.x1, window.y1, window.x2, window.y2})
        if (edge < -most || edge > most) refuse("window");
    if (window.x2 < window.x1 || window.y2 < window.y1) refuse("window");
    return window;
}

std::size_t bytes_of(const OfxRectI &window) {
    return static_cast<std::size_t>(window.x2 - window.x1) * static_cast<std::size_t>(window.y2 - window.y1) * 16;
}

Picture described(const json::Value &reply) {
    Picture picture;
    picture.window = window_of(reply);
    const auto &display = reply["display"].items();
    if (display.size() == 2) {
        picture.width = std::max(0, display[0].integer());
        picture.height = std::max(0, display[1].integer());
    }
    picture.pixel_aspect = reply["pixel_aspect"].number(1);
    if (!(picture.pixel_aspect > 1e-3 && picture.pixel_aspect < 1e3)) refuse("pixel aspect");
    picture.frame = reply["frame"].integer();
    picture.found = reply["found"].boolean(true);
    return picture;
}

}  // namespace

PicturePointer Pictures::get(const View &view, int frame, Watch &watch) {
    return shared(request_for(view, frame).add("generation", view.generation).str(),
                  [&] { return fetch(view, frame, watch); }, watch);
}

PicturePointer Pictures::outline(const View &view, int frame, Watch &watch) {
    const json::Object request = request_for(view, frame);
    return shared("outline " + json::Object(request).add("generation", view.generation).str(),
                  [&] { return std::make_shared<Picture>(described(helper_.ask(request, watch))); }, watch);
}

PicturePointer Pictures::fetch(const View &view, int frame, Watch &watch) {
    std::size_t bytes;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        bytes = expected_bytes_;
    }
    for (;;) {
        Loan loan;
        try {
            const json::Value reply = helper_.ask(
                [&](Session &session) {
                    return request_for(view, frame).add("buffer", loan.take(session, bytes)->path());
                },
                watch);
            const Buffer buffer = loan.settled();
            Picture picture = described(reply);
            const std::size_t needed = bytes_of(picture.window);
            if (needed > buffer->size()) refuse("larger than its buffer");
            if (picture.found && needed > 0) picture.pixels = buffer;
            const std::lock_guard<std::mutex> lock(mutex_);
            if (needed > 0) expected_bytes_ = needed;
            return std::make_shared<Picture>(std::move(picture));
        } catch (const Refusal &refusal) {
            loan.settled();
            const double needed = refusal.reply["needed"].number();
            if (refusal.code() != "buffer" || !(needed > static_cast<double>(bytes) && needed < 1e11)) throw;
            bytes = static_cast<std::size_t>(needed);
        }
    }
}

PicturePointer Pictures::shared(const std::string &key, const std::function<PicturePointer()> &fetch,
                                Watch &watch) {
    int era;
    {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            const auto found = entries_.find(key);
            if (found == entries_.end()) break;
            if (const PicturePointer picture = found->second.picture) {
                latest_first_.splice(latest_first_.begin(), latest_first_, found->second.place);
                return picture;
            }
            // Somebody else fetches it. Where that fails, the next one tries for itself.
            changed_.wait_for(lock, kWaitSlice);
            if (!watch.due()) continue;
            lock.unlock();
            watch.look();
            lock.lock();
        }
        latest_first_.push_front(key);
        entries_[key] = Entry{nullptr, latest_first_.begin()};
        era = era_;
    }
    PicturePointer picture;
    const auto settle = [&] {
        const std::lock_guard<std::mutex> lock(mutex_);
        // What was cleared in the meantime belongs to somebody else by now.
        if (era != era_) return;
        // Black is not kept: it costs nothing, and the frame may be there the next time.
        if (picture && picture->found) keep(key, picture);
        else drop(key);
        changed_.notify_all();
    };
    try {
        picture = fetch();
    } catch (...) {
        settle();
        throw;
    }
    settle();
    return picture;
}

void Pictures::keep(const std::string &key, const PicturePointer &picture) {
    entries_.at(key).picture = picture;
    std::size_t bytes = 0;
    for (const auto &[name, entry] : entries_) bytes += entry.picture ? entry.picture->bytes() : 0;
    for (auto place = std::prev(latest_first_.end()); place != latest_first_.begin();) {
        if (bytes <= kMostBytes && entries_.size() <= kMostEntries) break;
        const auto oldest = place--;
        const auto entry = entries_.find(*oldest);
        if (!entry->second.picture || *oldest == key) continue;
        bytes -= entry->second.picture->bytes();
        entries_.erase(entry);
        latest_first_.erase(oldest);
    }
}

void Pictures::drop(const std::string &key) {
    const auto entry = entries_.find(key);
    latest_first_.erase(entry->second.place);
    entries_.erase(entry);
}

void Pictures::clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_.clear();
    latest_first_.clear();
    era_++;
    changed_.notify_all();
}

}  // namespace vdp
