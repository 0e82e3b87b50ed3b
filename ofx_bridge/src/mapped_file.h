// A file of pixels that two processes see.
#pragma once

#include <cstddef>
#include <string>

namespace vdp {

class MappedFile {
public:
    // Makes the file and reserves its room, so that a full disk is told here and not by a signal later.
    // Throws Failure "buffer".
    MappedFile(const std::string &path, std::size_t bytes);
    // Removes the file too.
    ~MappedFile();
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;

    const std::string &path() const { return path_; }
    std::size_t size() const { return size_; }
    float *floats() const { return static_cast<float *>(data_); }

    // The other process may still be at it, for a request that nobody waits for any more.
    void abandon() { abandoned_ = true; }
    bool abandoned() const { return abandoned_; }

private:
    std::string path_;
    std::size_t size_;
    void *data_ = nullptr;
    bool abandoned_ = false;
};

}  // namespace vdp
