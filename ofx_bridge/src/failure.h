// What went wrong, in words for the artist: what happened, and the way out.
#pragma once

#include <stdexcept>
#include <string>

namespace vdp {

class Failure : public std::runtime_error {
public:
    // `code`: short and stable, such as "ofx.missing" (protocol.md) or "engine.none".
    Failure(std::string code, const std::string &message) : std::runtime_error(message), code_(std::move(code)) {}
    const std::string &code() const { return code_; }

private:
    std::string code_;
};

// The host does not want the result any more.
class Aborted : public std::exception {
public:
    const char *what() const noexcept override { return "aborted by the host"; }
};

}  // namespace vdp
