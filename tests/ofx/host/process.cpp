#include "process.h"

#include <cfenv>
#include <clocale>
#include <csignal>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

extern char **environ;

namespace {

// What belongs to the calling thread.
struct ThreadState {
    int rounding = fegetround();
    sigset_t blocked{};
    ThreadState() { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); }
    void compare() const {
        const ThreadState now;
        if (now.rounding != rounding) watch::crime("process", "the rounding of the thread was changed");
        for (int number = 1; number < 65; ++number)
            if (sigismember(&now.blocked, number) != sigismember(&blocked, number))
                watch::crime("process", "the blocked signals of the thread were changed: " + std::to_string(number));
    }
};

// What belongs to the process.
struct ProcessState {
    std::map<int, struct sigaction> signals;
    std::string folder, locale, variables;
    std::map<int, std::string> descriptors = inheritable();

    ProcessState() {
        for (int number = 1; number < 65; ++number) {
            struct sigaction now{};
            if (sigaction(number, nullptr, &now) == 0) signals[number] = now;
        }
        char path[4096];
        folder = getcwd(path, sizeof path) ? path : "";
        locale = setlocale(LC_ALL, nullptr);
        for (char **variable = environ; variable && *variable; ++variable) variables += std::string(*variable) + '\n';
    }

    void compare() const {
        const ProcessState now;
        for (const auto &[number, before] : signals)
            if (const struct sigaction &after = now.signals.at(number);
                after.sa_handler != before.sa_handler || after.sa_flags != before.sa_flags)
                watch::crime("process", "the handler of signal " + std::to_string(number) + " was changed");
        if (now.folder != folder) watch::crime("process", "the working directory was changed to " + now.folder);
        if (now.locale != locale) watch::crime("process", "the locale was changed to " + now.locale);
        if (now.variables != variables) watch::crime("process", "the environment was changed");
        for (const auto &[descriptor, target] : now.descriptors)
            if (!descriptors.count(descriptor))
                watch::crime("process", "a descriptor that children inherit was opened: " + target);
    }

    // Open files, but standard input, output and error, that every child of the host gets.
    static std::map<int, std::string> inheritable() {
        std::map<int, std::string> found;
        DIR *folder = opendir("/proc/self/fd");
        if (!folder) return found;
        while (const dirent *entry = readdir(folder)) {
            const int descriptor = std::atoi(entry->d_name);
            const int flags = descriptor > 2 ? fcntl(descriptor, F_GETFD) : -1;
            char target[512] = "";
            if (flags < 0 || flags & FD_CLOEXEC) continue;
            const std::string link = "/proc/self/fd/" + std::string(entry->d_name);
            if (readlink(link.c_str(), target, sizeof target - 1) > 0) found[descriptor] = target;
        }
        closedir(folder);
        return found;
    }
};

std::atomic<bool> several_threads{false};

}  // namespace

SeveralThreads::SeveralThreads() { several_threads = true; }
SeveralThreads::~SeveralThreads() { several_threads = false; }

OfxStatus enter_plugin(OfxPlugin &plugin, watch::Action &action, const void *handle, OfxPropertySetHandle in,
                       OfxPropertySetHandle out) {
    const watch::Inside in_action(action);
    action.began = watch::seconds();
    const auto process = several_threads ? nullptr : std::make_unique<ProcessState>();
    const ThreadState thread;
    OfxStatus status = kOfxStatFailed;
    try {
        status = plugin.mainEntry(action.name.c_str(), handle, in, out);
    } catch (...) {
        watch::crime("exception", "crossed the border of the plug-in");
    }
    thread.compare();
    if (process) process->compare();
    if (status < kOfxStatOK || status > kOfxStatReplyDefault)
        watch::crime("status", "there is no status " + std::to_string(status));
    return status;
}

std::vector<int> children() {
    std::vector<int> found;
    DIR *folder = opendir("/proc");
    if (!folder) return found;
    while (const dirent *entry = readdir(folder)) {
        const int process = std::atoi(entry->d_name);
        std::ifstream in("/proc/" + std::string(entry->d_name) + "/stat");
        std::string line;
        if (process <= 0 || !std::getline(in, line)) continue;
        // "pid (name) state parent …", and a name may hold anything.
        std::istringstream rest(line.substr(line.rfind(')') + 1));
        char state = 0;
        int parent = 0;
        rest >> state >> parent;
        if (parent == getpid() && state != 'Z') found.push_back(process);
    }
    closedir(folder);
    return found;
}

int count_of(const std::string &name) {
    DIR *folder = opendir(("/proc/self/" + name).c_str());
    int count = 0;
    while (folder && readdir(folder)) ++count;
    if (folder) closedir(folder);
    return count;
}

void set_disposition(const std::string &signal_name, const std::string &disposition) {
    const std::map<std::string, int> numbers = {{"CHLD", SIGCHLD}, {"PIPE", SIGPIPE}};
    const auto number = numbers.find(signal_name);
    if (number == numbers.end() || (disposition != "ignore" && disposition != "default"))
        throw std::invalid_argument("signal CHLD or PIPE, as ignore or default");
    std::signal(number->second, disposition == "ignore" ? SIG_IGN : SIG_DFL);
}
