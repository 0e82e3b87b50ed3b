// A child process with its stdin and stdout in our hands.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace vdp {

using Milliseconds = std::chrono::milliseconds;

class Process {
public:
    // `environment`: NAME=value; `log`: the file that its stderr is appended to. It gets the default signals, and a
    // process group of its own: Ctrl-C in the host's terminal is not for it. Throws Failure "engine.start".
    Process(const std::vector<std::string> &command, const std::vector<std::string> &environment,
            const std::string &log);
    // Closes its stdin, which tells it to end, and gives it a moment. It is not forced: it may be saving work.
    ~Process();

    // False where it is gone, or has not taken all of it in that time. No signal is raised.
    bool write(const std::string &bytes, Milliseconds patience);

    enum class Read { some, nothing, ended };
    // Appends what has come. One thread at a time.
    Read read(std::string &bytes, Milliseconds patience);

    // For one that does not answer any more.
    void kill();

private:
    struct System;
    std::unique_ptr<System> system_;
};

}  // namespace vdp
