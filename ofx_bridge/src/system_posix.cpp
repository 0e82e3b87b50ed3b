#include "system.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <crt_externs.h>
#include <mach-o/dyld.h>
#endif

#include "failure.h"

#if !defined(__APPLE__)
extern "C" char **environ;
#endif

namespace vdp {

namespace fs = std::filesystem;

fs::path plugin_file() {
    Dl_info found{};
    const bool known = dladdr(reinterpret_cast<const void *>(&plugin_file), &found) != 0 && found.dli_fname != nullptr;
    return known ? fs::path(found.dli_fname) : fs::path();
}

fs::path program_file() {
#if defined(__APPLE__)
    char path[4096];
    uint32_t size = sizeof path;
    return _NSGetExecutablePath(path, &size) == 0 ? fs::path(path) : fs::path();
#else
    std::error_code error;
    const fs::path found = fs::read_symlink("/proc/self/exe", error);
    return error ? fs::path() : found;
#endif
}

std::vector<std::string> environment() {
#if defined(__APPLE__)
    char **all = *_NSGetEnviron();
#else
    char **all = environ;
#endif
    std::vector<std::string> list;
    for (char **entry = all; entry != nullptr && *entry != nullptr; entry++) list.emplace_back(*entry);
    return list;
}

std::string variable(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

bool is_executable(const fs::path &file) {
    std::error_code error;
    return fs::is_regular_file(file, error) && access(file.c_str(), X_OK) == 0;
}

fs::path make_private_folder(const std::string &prefix) {
    std::error_code error;
    const fs::path temporary = fs::temp_directory_path(error);
    std::string path = (error ? fs::path("/tmp") : temporary) / (prefix + "XXXXXX");
    if (mkdtemp(path.data()) == nullptr)
        throw Failure("buffer", "No folder for pictures can be made at " + path + ": " + std::strerror(errno) +
                                    ". Set TMPDIR to a folder that can be written.");
    return path;
}

}  // namespace vdp
