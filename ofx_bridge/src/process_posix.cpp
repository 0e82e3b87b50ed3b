#include "process.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "failure.h"

namespace vdp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Milliseconds kFarewell{2000};

class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    ~Descriptor() { close(); }
    Descriptor(Descriptor &&other) noexcept : number_(other.number_) { other.number_ = -1; }
    Descriptor &operator=(Descriptor &&other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }

    int number() const { return number_; }
    void close() {
        if (number_ >= 0) ::close(number_);
        number_ = -1;
    }

private:
    int number_;
};

[[noreturn]] void refuse(const std::string &what, int error) {
    throw Failure("engine.start", "The VDP engine could not be started: " + what + ": " + std::strerror(error) + '.');
}

// Not among the first three: where a host closed its own, the child's would be put over them.
Descriptor out_of_the_way(int number) {
    const Descriptor low(number);
    const int high = fcntl(low.number(), F_DUPFD_CLOEXEC, 3);
    if (high < 0) refuse("files", errno);
    return Descriptor(high);
}

struct Ends {
    Descriptor ours, theirs;
};

Ends make_stdin() {
    int pair[2];
#if defined(__APPLE__)
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) refuse("a socket", errno);
    const int on = 1;
    setsockopt(pair[0], SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#else
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) refuse("a socket", errno);
#endif
    Ends ends;
    ends.theirs = out_of_the_way(pair[1]);
    ends.ours = out_of_the_way(pair[0]);
    fcntl(ends.ours.number(), F_SETFL, O_NONBLOCK);
    return ends;
}

Ends make_stdout() {
    int pair[2];
#if defined(__APPLE__)
    if (pipe(pair) != 0) refuse("a pipe", errno);
#else
    if (pipe2(pair, O_CLOEXEC) != 0) refuse("a pipe", errno);
#endif
    Ends ends;
    ends.theirs = out_of_the_way(pair[1]);
    ends.ours = out_of_the_way(pair[0]);
    return ends;
}

class SpawnSettings {
public:
    SpawnSettings(int in, int out, const char *log) {
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        posix_spawnattr_init(&attributes);
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes,
                                 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    }
    ~SpawnSettings() {
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnSettings(const SpawnSettings &) = delete;
    SpawnSettings &operator=(const SpawnSettings &) = delete;

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
};

std::vector<char *> pointers(const std::vector<std::string> &texts) {
    std::vector<char *> list;
    for (const std::string &text : texts) list.push_back(const_cast<char *>(text.c_str()));
    list.push_back(nullptr);
    return list;
}

// Milliseconds left for poll, at least 0.
int left(Clock::time_point end) {
    const auto rest = std::chrono::duration_cast<Milliseconds>(end - Clock::now()).count();
    return rest < 0 ? 0 : static_cast<int>(rest);
}

// Whether something can be done with a file before the time is over; hang-ups count, the call that follows tells them.
bool ready(int file, short events, Clock::time_point end) {
    for (;;) {
        pollfd one{file, events, 0};
        const int count = poll(&one, 1, left(end));
        if (count > 0) return true;
        if (count == 0 || errno != EINTR) return false;
    }
}

}  // namespace

struct Process::System {
    Descriptor in, out;
    pid_t pid = -1;
    bool reaped = false;

    // Also where the host ignores SIGCHLD, or waits for all children itself: then it is none of ours any more.
    bool gone() {
        if (!reaped) reaped = waitpid(pid, nullptr, WNOHANG) != 0;
        return reaped;
    }

    bool gone_within(Milliseconds patience) {
        const auto end = Clock::now() + patience;
        while (!gone()) {
            if (Clock::now() >= end) return false;
            std::this_thread::sleep_for(Milliseconds(5));
        }
        return true;
    }
};

Process::Process(const std::vector<std::string> &command, const std::vector<std::string> &environment,
                 const std::string &log)
    : system_(std::make_unique<System>()) {
    Ends in = make_stdin(), out = make_stdout();
    const SpawnSettings settings(in.theirs.number(), out.theirs.number(), log.c_str());
    const int error = posix_spawn(&system_->pid, command.front().c_str(), &settings.files, &settings.attributes,
                                  pointers(command).data(), pointers(environment).data());
    if (error != 0) refuse(command.front(), error);
    system_->in = std::move(in.ours);
    system_->out = std::move(out.ours);
}

Process::~Process() {
    system_->in.close();
    // It may still be writing; with nobody to read it would never come to see that its stdin has ended.
    system_->out.close();
    system_->gone_within(kFarewell);
}

bool Process::write(const std::string &bytes, Milliseconds patience) {
#if defined(MSG_NOSIGNAL)
    constexpr int flags = MSG_NOSIGNAL;
#else
    constexpr int flags = 0;
#endif
    const auto end = Clock::now() + patience;
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = send(system_->in.number(), bytes.data() + done, bytes.size() - done, flags);
        if (count > 0) {
            done += static_cast<std::size_t>(count);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!ready(system_->in.number(), POLLOUT, end)) return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

Process::Read Process::read(std::string &bytes, Milliseconds patience) {
    if (!ready(system_->out.number(), POLLIN, Clock::now() + patience)) return Read::nothing;
    char buffer[16384];
    const ssize_t count = ::read(system_->out.number(), buffer, sizeof buffer);
    if (count > 0) bytes.append(buffer, static_cast<std::size_t>(count));
    if (count < 0 && errno == EINTR) return Read::nothing;
    return count > 0 ? Read::some : Read::ended;
}

void Process::kill() {
    // Its whole group: the command may be a script that started the real one. Not after it was reaped: the number may
    // be another's by then.
    if (!system_->gone()) ::kill(-system_->pid, SIGKILL);
    system_->gone_within(kFarewell);
}

}  // namespace vdp
