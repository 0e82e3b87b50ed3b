#include "system.h"

#include <random>

#include <windows.h>

#include "failure.h"

namespace vdp {
namespace {

namespace fs = std::filesystem;

std::string narrow(const std::wstring &text) { return fs::path(text).u8string(); }

fs::path file_of(HMODULE module) {
    std::wstring path(32768, L'\0');
    path.resize(GetModuleFileNameW(module, path.data(), static_cast<DWORD>(path.size())));
    return path;
}

}  // namespace

fs::path plugin_file() {
    HMODULE module = nullptr;
    constexpr DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    const auto here = reinterpret_cast<LPCWSTR>(&plugin_file);
    return GetModuleHandleExW(flags, here, &module) ? file_of(module) : fs::path();
}

fs::path program_file() { return file_of(nullptr); }

std::vector<std::string> environment() {
    std::vector<std::string> list;
    wchar_t *const all = GetEnvironmentStringsW();
    // What begins with = are the current folders of drives.
    for (const wchar_t *entry = all; entry != nullptr && *entry != L'\0'; entry += std::wstring(entry).size() + 1)
        if (*entry != L'=') list.push_back(narrow(entry));
    if (all != nullptr) FreeEnvironmentStringsW(all);
    return list;
}

std::string variable(const char *name) {
    const std::wstring wide = fs::u8path(name).wstring();
    std::wstring value(32768, L'\0');
    value.resize(GetEnvironmentVariableW(wide.c_str(), value.data(), static_cast<DWORD>(value.size())));
    return narrow(value);
}

bool is_executable(const fs::path &file) {
    std::error_code error;
    return fs::is_regular_file(file, error);
}

fs::path make_private_folder(const std::string &prefix) {
    // The folder for temporary files is the user's own on Windows.
    std::error_code error;
    const fs::path temporary = fs::temp_directory_path(error);
    std::random_device random;
    for (int attempt = 0; attempt < 100 && !error; attempt++) {
        const fs::path path = temporary / (prefix + std::to_string(random()));
        if (fs::create_directory(path, error)) return path;
    }
    throw Failure("buffer", "No folder for pictures can be made in " + temporary.u8string() +
                                ". Set TMP to a folder that can be written.");
}

}  // namespace vdp
