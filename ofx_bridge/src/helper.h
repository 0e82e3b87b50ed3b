// The helper process of this host process: started when it is first needed, started again once when it dies.
#pragma once

#include "failure.h"
#include "session.h"

namespace vdp {

// The helper understood and said no.
class Refusal : public Failure {
public:
    explicit Refusal(json::Value said)
        : Failure(said["code"].text(), said["message"].text()), reply(std::move(said)) {}
    const json::Value reply;
};

class Helper {
public:
    // The answer to a request. Throws Failure (Refusal where the helper said no), and what `watch` throws.
    json::Value ask(const json::Object &request, Watch &watch);
    // The same for a request that names a buffer of the session it goes to; made anew where it has to be asked again.
    json::Value ask(const std::function<json::Object(Session &)> &make, Watch &watch);
    // The artist asks for another try: forgets that it died.
    void renew();

private:
    std::shared_ptr<Session> connected();
    void lost(const std::shared_ptr<Session> &session, const std::string &words);

    std::mutex starting_;
    std::mutex mutex_;
    std::shared_ptr<Session> session_;
    int deaths_ = 0;
    std::string last_words_;
};

}  // namespace vdp
