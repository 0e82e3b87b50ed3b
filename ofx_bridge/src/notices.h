// What a node says about itself, once and not again with every tile.
#pragma once

#include <mutex>
#include <string>

#include "ofx.h"

namespace vdp {

class Notices {
public:
    explicit Notices(OfxImageEffectHandle effect) : effect_(effect) {}

    // The last render failed with these words; "" where it did not.
    void failure(const std::string &words) { put(failure_, words); }
    // The layers that are shown are not what the settings ask for; "" where they are.
    void warning(const std::string &words) { put(warning_, words); }
    // What goes on, or how it ended.
    void news(const std::string &words) { put(news_, words); }

    // An answer to a button: a dialog in hosts without persistent messages. Not while rendering.
    void answer(const std::string &words);

private:
    void put(std::string &place, const std::string &words);
    void show();

    OfxImageEffectHandle effect_;
    std::mutex mutex_;
    std::string failure_, warning_, news_;
    std::string shown_;
};

}  // namespace vdp
