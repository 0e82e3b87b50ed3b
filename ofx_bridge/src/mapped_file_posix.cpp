#include "mapped_file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failure.h"

namespace vdp {
namespace {

// An error number, or 0.
int reserve(int file, std::size_t bytes) {
    const auto length = static_cast<off_t>(bytes);
#if !defined(__APPLE__)
    const int error = posix_fallocate(file, 0, length);
    if (error != EOPNOTSUPP && error != EINVAL) return error;
#endif
    return ftruncate(file, length) == 0 ? 0 : errno;
}

}  // namespace

MappedFile::MappedFile(const std::string &path, std::size_t bytes) : path_(path), size_(bytes) {
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int error = file < 0 ? errno : reserve(file, bytes);
    if (error == 0) {
        void *mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (mapped == MAP_FAILED) error = errno;
        else data_ = mapped;
    }
    if (file >= 0) close(file);
    if (error == 0) return;
    if (file >= 0) unlink(path.c_str());
    throw Failure("buffer", "No room for a picture of " + std::to_string(bytes >> 20) + " MB at " + path + ": " +
                                std::strerror(error) + ". Make room, or set TMPDIR to a folder on a larger disk.");
}

MappedFile::~MappedFile() {
    munmap(data_, size_);
    unlink(path_.c_str());
}

}  // namespace vdp
