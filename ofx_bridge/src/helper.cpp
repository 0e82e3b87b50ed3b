#include "helper.h"

#include "engine.h"
#include "system.h"

namespace vdp {
namespace {

constexpr int kMostDeaths = 2;

Milliseconds reply_patience() {
    const int seconds = std::atoi(variable("VDP_OFX_REPLY_SECONDS").c_str());
    return Milliseconds(1000LL * (seconds > 0 ? seconds : 120));
}

}  // namespace

json::Value Helper::ask(const json::Object &request, Watch &watch) {
    return ask([&request](Session &) { return request; }, watch);
}

json::Value Helper::ask(const std::function<json::Object(Session &)> &make, Watch &watch) {
    for (;;) {
        const std::shared_ptr<Session> session = connected();
        try {
            json::Value reply = session->ask(make(*session), reply_patience(), watch);
            if (!reply["ok"].boolean()) throw Refusal(std::move(reply));
            return reply;
        } catch (const Gone &gone) {
            lost(session, gone.what());
        }
    }
}

void Helper::renew() {
    const std::lock_guard<std::mutex> lock(mutex_);
    deaths_ = 0;
}

std::shared_ptr<Session> Helper::connected() {
    // Those who come while it starts wait for that one start.
    const std::lock_guard<std::mutex> one_start(starting_);
    for (;;) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (session_) return session_;
            if (deaths_ >= kMostDeaths)
                throw Failure("engine.ended", "The VDP engine failed twice, the last time because " + last_words_ +
                                                  ". Press Refresh to try again; vdp doctor tells what is wrong.");
        }
        auto session = std::make_shared<Session>(find_engine());
        try {
            session->greet();
            const std::lock_guard<std::mutex> lock(mutex_);
            session_ = session;
        } catch (const Gone &gone) {
            lost(nullptr, gone.what());
        }
    }
}

void Helper::lost(const std::shared_ptr<Session> &session, const std::string &words) {
    std::shared_ptr<Session> last;
    const std::lock_guard<std::mutex> lock(mutex_);
    // Several threads see the same end: it counts once.
    if (session_ != session) return;
    last = std::move(session_);
    session_.reset();
    deaths_++;
    last_words_ = words;
}

}  // namespace vdp
