#include "notices.h"

#include "host.h"

namespace vdp {

void Notices::put(Place place, const std::string &words) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::string &kept = words_[static_cast<std::size_t>(place)];
        if (kept == words) return;
        kept = words;
    }
    show(false);
}

void Notices::answer(const std::string &words, Place place) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        words_[static_cast<std::size_t>(Place::news)].clear();
        words_[static_cast<std::size_t>(Place::button_failure)].clear();
        words_[static_cast<std::size_t>(place)] = words;
    }
    show(true);
}

void Notices::show(bool dialog) {
    static const char *const types[] = {kOfxMessageError, kOfxMessageError, kOfxMessageWarning, kOfxMessageMessage};
    std::string words;
    const char *type = kOfxMessageMessage;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (std::size_t place = 0; place < words_.size() && words.empty(); place++) {
            words = words_[place];
            type = types[place];
        }
        if (words == shown_) return;
        shown_ = words;
    }
    // Not under the lock: a host may call back, to draw the node again.
    const OfxMessageSuiteV2 *suite = host().message;
    if (suite == nullptr) return;
    if (host().message_persists) {
        if (words.empty())
            suite->clearPersistentMessage(effect_);
        else
            suite->setPersistentMessage(effect_, type, "vdp", "%s", words.c_str());
    } else if (!words.empty() && suite->message != nullptr) {
        suite->message(effect_, dialog ? type : kOfxMessageLog, "vdp", "%s", words.c_str());
    }
}

}  // namespace vdp
