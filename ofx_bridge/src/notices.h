// What a node says about itself, once and not again with every tile.
#pragma once

#include <array>
#include <mutex>
#include <string>

#include "ofx.h"

namespace vdp {

class Notices {
public:
    explicit Notices(OfxImageEffectHandle effect) : effect_(effect) {}

    // Why the last render failed; "" where it did not.
    void render_failure(const std::string &words) { put(Place::render_failure, words); }
    // Why the layers that are shown are not what the settings ask for; "" where they are.
    void warning(const std::string &words) { put(Place::warning, words); }

    // The answer to a button; the one before goes. A dialog in hosts without persistent messages: not while rendering.
    void answer(const std::string &words) { answer(words, Place::news); }
    void answer_failure(const std::string &words) { answer(words, Place::button_failure); }

private:
    // The first that has words is what the node shows.
    enum class Place { render_failure, button_failure, warning, news, count };

    void put(Place place, const std::string &words);
    void answer(const std::string &words, Place place);
    void show(bool dialog);

    OfxImageEffectHandle effect_;
    std::mutex mutex_;
    std::array<std::string, static_cast<std::size_t>(Place::count)> words_;
    std::string shown_;
};

}  // namespace vdp
