#include "engine.h"

#include <algorithm>
#include <fstream>
#include <optional>

#include "failure.h"
#include "system.h"

namespace vdp {
namespace {

namespace fs = std::filesystem;
using Command = std::vector<std::string>;

#if defined(_WIN32)
constexpr bool kWindows = true;
constexpr char kPathSeparator = ';';
constexpr char kCommandName[] = "vdp.exe";
#else
constexpr bool kWindows = false;
constexpr char kPathSeparator = ':';
constexpr char kCommandName[] = "vdp";
#endif

constexpr char kMayBe[] =
    "the vdp command (install/vdp, bin/vdp or vdp.exe), a checkout of vdp, or the environment folder it lies in";

bool begins_with(const std::string &text, const std::string &start) { return text.rfind(start, 0) == 0; }

// The engine's own Python is not the host's, nor are its libraries. What it reads itself (VDP_, OCIO, CUDA_) stays.
bool is_the_hosts(const std::string &entry) {
    for (const char *name : {"VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "QT_PLUGIN_PATH", "__PYVENV_LAUNCHER__"})
        if (begins_with(entry, std::string(name) + '=')) return true;
    for (const char *prefix : {"PYTHON", "CONDA_", "DYLD_", "QT_QPA_", "NUKE_", "FN_"})
        if (begins_with(entry, prefix)) return true;
    return false;
}

std::vector<std::string> split(const std::string &list) {
    std::vector<std::string> parts;
    std::size_t start = 0;
    for (std::size_t end; (end = list.find(kPathSeparator, start)) != std::string::npos; start = end + 1)
        parts.push_back(list.substr(start, end - start));
    parts.push_back(list.substr(start));
    return parts;
}

// A host that brings a Python of its own puts its folder first on PATH; one among the system's programs does not.
bool is_own_folder(const fs::path &folder) {
    for (const char *shared : {"/usr/bin", "/bin", "/usr/local/bin", "/opt/homebrew/bin"})
        if (folder == shared) return false;
    return !folder.empty();
}

bool lies_in(const fs::path &entry, const fs::path &folder) {
    const fs::path plain = entry.lexically_normal();
    return std::mismatch(folder.begin(), folder.end(), plain.begin(), plain.end()).first == folder.end();
}

std::string without_the_hosts(const std::string &path) {
    const fs::path folder = program_file().parent_path().lexically_normal();
    if (!is_own_folder(folder)) return path;
    std::string kept;
    for (const std::string &entry : split(path)) {
        if (entry.empty() || lies_in(fs::u8path(entry), folder)) continue;
        kept += (kept.empty() ? "" : std::string(1, kPathSeparator)) + entry;
    }
    return kept;
}

std::optional<fs::path> on_path(const std::string &name) {
    for (const std::string &folder : split(without_the_hosts(variable("PATH")))) {
        const fs::path file = fs::u8path(folder) / name;
        if (!folder.empty() && is_executable(file)) return file;
    }
    return std::nullopt;
}

std::optional<Command> checkout(const fs::path &place) {
    const fs::path script = place / "install" / "vdp", bootstrap = place / "install" / "bootstrap.py";
    if (!kWindows) {
        if (is_executable(script)) return Command{fs::absolute(script).u8string()};
        return std::nullopt;
    }
    std::error_code error;
    auto python = on_path("py.exe");
    if (!python) python = on_path("python.exe");
    if (!python || !fs::is_regular_file(bootstrap, error)) return std::nullopt;
    return Command{python->u8string(), fs::absolute(bootstrap).u8string()};
}

std::optional<Command> engine_at(const fs::path &place) {
    if (is_executable(place)) return Command{fs::absolute(place).u8string()};
    if (auto command = checkout(place)) return command;
    for (const char *relative : {"Scripts/vdp.exe", "bin/vdp"})
        if (is_executable(place / relative)) return Command{fs::absolute(place / relative).u8string()};
    return std::nullopt;
}

fs::path expand_home(const std::string &named) {
    const std::string home = variable(kWindows ? "USERPROFILE" : "HOME");
    const bool from_home = named == "~" || begins_with(named, "~/");
    return fs::u8path(from_home && !home.empty() ? home + named.substr(1) : named);
}

std::string trimmed(const std::string &text) {
    const char *space = " \t\r\n";
    const auto first = text.find_first_not_of(space);
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(space) - first + 1);
}

// VDP.ofx.bundle/Contents/Linux-x86-64/VDP.ofx: the note lies in VDP.ofx.bundle/Contents/Resources.
fs::path installers_note() { return plugin_file().parent_path().parent_path() / "Resources" / "engine.txt"; }

Command require_engine_at(const std::string &named, const std::string &by, const std::string &way_out) {
    std::error_code error;
    const fs::path place = expand_home(named);
    if (auto command = engine_at(place)) return *command;
    const char *what = fs::exists(place, error) ? ", which is no engine" : "";
    throw Failure("engine.none",
                  "The VDP engine was not found at " + named + what + " (named by " + by + "). " + way_out);
}

}  // namespace

Command find_engine() {
    const std::string named = trimmed(variable("VDP_ENGINE"));
    if (!named.empty())
        return require_engine_at(named, "VDP_ENGINE", std::string("Set VDP_ENGINE to ") + kMayBe + '.');
    const fs::path note = installers_note();
    std::string noted;
    std::getline(std::ifstream(note), noted);
    noted = trimmed(noted);
    if (!noted.empty())
        return require_engine_at(noted, note.u8string(),
                                 std::string("Install the plug-in again from the checkout that is in use now, or set "
                                             "VDP_ENGINE to ") + kMayBe + '.');
    if (const auto found = on_path(kCommandName)) return Command{found->u8string()};
    throw Failure("engine.none", "The VDP engine was not found: VDP_ENGINE is not set, " + note.u8string() +
                                     " is not there, and there is no vdp on PATH. Run install/vdp ofx --install in a "
                                     "checkout of vdp, or set VDP_ENGINE to " + kMayBe + '.');
}

std::vector<std::string> engine_environment() {
    std::vector<std::string> kept;
    for (const std::string &entry : environment()) {
        if (is_the_hosts(entry)) continue;
        kept.push_back(begins_with(entry, "PATH=") ? "PATH=" + without_the_hosts(entry.substr(5)) : entry);
    }
    return kept;
}

}  // namespace vdp
