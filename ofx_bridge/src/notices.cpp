#include "notices.h"

#include "host.h"

namespace vdp {

void Notices::put(std::string &place, const std::string &words) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (place == words) return;
        place = words;
    }
    show();
}

void Notices::show() {
    std::string words;
    const char *type = kOfxMessageMessage;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failure_.empty()) {
            words = failure_;
            type = kOfxMessageError;
        } else if (!warning_.empty()) {
            words = warning_;
            type = kOfxMessageWarning;
        } else {
            words = news_;
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
        suite->message(effect_, kOfxMessageLog, "vdp", "%s", words.c_str());
    }
}

void Notices::answer(const std::string &words) {
    news(words);
    const OfxMessageSuiteV2 *suite = host().message;
    if (words.empty() || host().message_persists || suite == nullptr || suite->message == nullptr) return;
    suite->message(effect_, kOfxMessageMessage, "vdp", "%s", words.c_str());
}

}  // namespace vdp
