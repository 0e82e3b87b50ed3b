// Pictures from the helper: each is fetched once, however many tiles, threads and nodes ask for it.
#pragma once

#include <list>
#include <unordered_map>

#include "helper.h"
#include "ofx.h"
#include "parameters.h"

namespace vdp {

struct Picture {
    OfxRectI window{};             // in pixels, y up, the origin at the lower left corner of the display window
    int width = 0, height = 0;     // of the display window
    double pixel_aspect = 1;
    int frame = 0;                 // the one that is shown
    bool found = false;
    Buffer pixels;                 // float R G B A over `window`; null where it is empty, or only its place was asked

    std::size_t bytes() const { return pixels ? pixels->size() : 0; }
};

using PicturePointer = std::shared_ptr<const Picture>;

class Pictures {
public:
    explicit Pictures(Helper &helper) : helper_(helper) {}

    // Throws Failure, and what `watch` throws.
    PicturePointer get(const View &view, int frame, Watch &watch);
    // Where it lies, without its pixels.
    PicturePointer outline(const View &view, int frame, Watch &watch);
    void clear();

private:
    struct Entry {
        PicturePointer picture;  // null while somebody fetches it
        std::list<std::string>::iterator place;
    };

    PicturePointer shared(const std::string &key, const std::function<PicturePointer()> &fetch, Watch &watch);
    PicturePointer fetch(const View &view, int frame, Watch &watch);
    void keep(const std::string &key, const PicturePointer &picture);
    void drop(const std::string &key);

    Helper &helper_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::unordered_map<std::string, Entry> entries_;
    std::list<std::string> latest_first_;
    std::size_t expected_bytes_ = std::size_t{1920} * 1080 * 16;
    int era_ = 0;
};

}  // namespace vdp
