// One frame of one instance, asked for as a host asks for it, and checked.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "effect.h"

struct RenderOrder {
    double time = 1;
    double scale[2] = {1, 1};
    std::optional<Rect> window;  // pixels; else all of the region of definition
    std::optional<Rect> bounds;  // of the output's memory; else the window, or all of the region where hosts do so
    Layout layout;               // padding, direction and shift of the output; depth and components where not empty
    long abort_after = -1;
    double abort_seconds = -1;
    bool interactive = false, draft = false;
    bool sequence = true;  // Begin- and EndSequenceRender around it
    bool force = false;    // render although IsIdentity says that there is nothing to do
    bool ask = true;       // preferences, regions, frames and identity before, as hosts do at least once a frame
    bool loose = false;    // the window may reach beyond the bounds, as with hosts that round carelessly
    bool without_data = false;  // the output's pointer is null
    std::string out;       // file for the packed pixels of the bounds; none where empty
};

// As JSON: status, rod, window, bounds, depth, components, identity, aborts, fetched.
std::string render(Effect &effect, const RenderOrder &order);
