#include "process.h"

#include <algorithm>
#include <filesystem>
#include <thread>

#include <windows.h>

#include "failure.h"

namespace vdp {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Milliseconds kFarewell{2000};

[[noreturn]] void refuse(const std::string &what) {
    throw Failure("engine.start", "The VDP engine could not be started: " + what + ": Windows error " +
                                      std::to_string(GetLastError()) + '.');
}

class Handle {
public:
    Handle() = default;
    ~Handle() { close(); }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;

    HANDLE get() const { return handle_; }
    HANDLE *place() { return &handle_; }
    void close() {
        if (handle_ != nullptr && handle_ != INVALID_HANDLE_VALUE) CloseHandle(handle_);
        handle_ = nullptr;
    }

private:
    HANDLE handle_ = nullptr;
};

void make_pipe(Handle &reading, Handle &writing, Handle &childs) {
    constexpr DWORD room = 1 << 20;  // no request or reply is longer, so that writing does not block
    if (!CreatePipe(reading.place(), writing.place(), nullptr, room)) refuse("a pipe");
    if (!SetHandleInformation(childs.get(), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)) refuse("a pipe");
}

std::wstring wide(const std::string &text) { return std::filesystem::u8path(text).wstring(); }

// As the C runtime of the child takes it apart again.
std::wstring quoted(const std::wstring &argument) {
    std::wstring text = L"\"";
    std::size_t backslashes = 0;
    for (const wchar_t c : argument) {
        if (c == L'\\') {
            backslashes++;
            continue;
        }
        text.append(c == L'"' ? 2 * backslashes + 1 : backslashes, L'\\');
        text += c;
        backslashes = 0;
    }
    text.append(2 * backslashes, L'\\');
    return text + L'"';
}

std::wstring command_line(const std::vector<std::string> &command) {
    std::wstring line;
    for (const std::string &argument : command) line += (line.empty() ? L"" : L" ") + quoted(wide(argument));
    return line;
}

std::wstring environment_block(std::vector<std::string> environment) {
    std::sort(environment.begin(), environment.end());
    std::wstring block;
    for (const std::string &entry : environment) (block += wide(entry)) += L'\0';
    return block + L'\0';
}

// The child gets these files of ours and no others, whatever else the host has open.
class Inherited {
public:
    explicit Inherited(std::vector<HANDLE> handles) : handles_(std::move(handles)) {
        SIZE_T size = 0;
        InitializeProcThreadAttributeList(nullptr, 1, 0, &size);
        memory_.resize(size);
        if (!InitializeProcThreadAttributeList(list(), 1, 0, &size)) refuse("attributes");
        if (!UpdateProcThreadAttribute(list(), 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles_.data(),
                                       handles_.size() * sizeof(HANDLE), nullptr, nullptr))
            refuse("attributes");
    }
    ~Inherited() { DeleteProcThreadAttributeList(list()); }
    Inherited(const Inherited &) = delete;
    Inherited &operator=(const Inherited &) = delete;

    LPPROC_THREAD_ATTRIBUTE_LIST list() { return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.data()); }

private:
    std::vector<HANDLE> handles_;
    std::vector<char> memory_;
};

}  // namespace

struct Process::System {
    Handle in, out, process, job;

    bool gone_within(Milliseconds patience) {
        return WaitForSingleObject(process.get(), static_cast<DWORD>(patience.count())) != WAIT_TIMEOUT;
    }
};

Process::Process(const std::vector<std::string> &command, const std::vector<std::string> &environment,
                 const std::string &log)
    : system_(std::make_unique<System>()) {
    Handle childs_in, childs_out, childs_log;
    make_pipe(childs_in, system_->in, childs_in);
    make_pipe(system_->out, childs_out, childs_out);
    SECURITY_ATTRIBUTES inheritable{sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
    constexpr DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    *childs_log.place() = CreateFileW(wide(log).c_str(), FILE_APPEND_DATA, shared, &inheritable, OPEN_ALWAYS,
                                      FILE_ATTRIBUTE_NORMAL, nullptr);
    if (childs_log.get() == INVALID_HANDLE_VALUE) refuse(log);

    Inherited inherited({childs_in.get(), childs_out.get(), childs_log.get()});
    STARTUPINFOEXW start{};
    start.StartupInfo.cb = sizeof start;
    start.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    start.StartupInfo.hStdInput = childs_in.get();
    start.StartupInfo.hStdOutput = childs_out.get();
    start.StartupInfo.hStdError = childs_log.get();
    start.lpAttributeList = inherited.list();

    std::wstring line = command_line(command), block = environment_block(environment);
    PROCESS_INFORMATION made{};
    constexpr DWORD flags = CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED |
                            CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
    if (!CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, flags, block.data(), nullptr,
                        &start.StartupInfo, &made))
        refuse(command.front());
    *system_->process.place() = made.hProcess;
    // All that it starts is in the job with it: ended together, where it has to be.
    *system_->job.place() = CreateJobObjectW(nullptr, nullptr);
    AssignProcessToJobObject(system_->job.get(), made.hProcess);
    ResumeThread(made.hThread);
    CloseHandle(made.hThread);
}

Process::~Process() {
    system_->in.close();
    system_->out.close();
    system_->gone_within(kFarewell);
}

bool Process::write(const std::string &bytes, Milliseconds) {
    DWORD count = 0;
    const auto size = static_cast<DWORD>(bytes.size());
    return WriteFile(system_->in.get(), bytes.data(), size, &count, nullptr) && count == size;
}

Process::Read Process::read(std::string &bytes, Milliseconds patience) {
    const auto end = Clock::now() + patience;
    for (;;) {
        DWORD waiting = 0;
        if (!PeekNamedPipe(system_->out.get(), nullptr, 0, nullptr, &waiting, nullptr)) return Read::ended;
        if (waiting > 0) break;
        if (Clock::now() >= end) return Read::nothing;
        // An anonymous pipe cannot be waited for.
        std::this_thread::sleep_for(Milliseconds(1));
    }
    char buffer[16384];
    DWORD count = 0;
    if (!ReadFile(system_->out.get(), buffer, sizeof buffer, &count, nullptr) || count == 0) return Read::ended;
    bytes.append(buffer, count);
    return Read::some;
}

void Process::kill() {
    TerminateJobObject(system_->job.get(), 1);
    system_->gone_within(kFarewell);
}

}  // namespace vdp
