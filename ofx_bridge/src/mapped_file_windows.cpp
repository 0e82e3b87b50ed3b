#include "mapped_file.h"

#include <filesystem>

#include <windows.h>

#include "failure.h"

namespace vdp {

MappedFile::MappedFile(const std::string &path, std::size_t bytes) : path_(path), size_(bytes) {
    const std::wstring name = std::filesystem::u8path(path).wstring();
    constexpr DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    const HANDLE file = CreateFileW(name.c_str(), GENERIC_READ | GENERIC_WRITE, shared, nullptr, CREATE_NEW,
                                    FILE_ATTRIBUTE_TEMPORARY, nullptr);
    DWORD error = file == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    if (error == 0) {
        // Makes the file as long as the view, and says so where the disk has no room for it.
        const auto size = static_cast<unsigned long long>(bytes);
        const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READWRITE, static_cast<DWORD>(size >> 32),
                                                  static_cast<DWORD>(size & 0xFFFFFFFFu), nullptr);
        if (mapping != nullptr) data_ = MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, bytes);
        if (data_ == nullptr) error = GetLastError();
        if (mapping != nullptr) CloseHandle(mapping);
        CloseHandle(file);
    }
    if (data_ != nullptr) return;
    if (file != INVALID_HANDLE_VALUE) DeleteFileW(name.c_str());
    throw Failure("buffer", "No room for a picture of " + std::to_string(bytes >> 20) + " MB at " + path +
                                ": Windows error " + std::to_string(error) +
                                ". Make room, or set TMP to a folder on a larger disk.");
}

MappedFile::~MappedFile() {
    UnmapViewOfFile(data_);
    DeleteFileW(std::filesystem::u8path(path_).wstring().c_str());
}

}  // namespace vdp
