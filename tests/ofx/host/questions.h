// What a host asks before it renders.
#pragma once

#include <string>
#include <vector>

#include "effect.h"

std::vector<int> corners(const Rect &rect);
std::vector<double> corners(const OfxRectD &rect);
void set_window(PropertySet &in, double time, const double scale[2], const Rect &window);

OfxStatus region_of_definition(Effect &effect, double time, const double scale[2], OfxRectD &region);
// Depth and components of the clips as the plug-in wants them; the answer as JSON.
std::string clip_preferences(Effect &effect);
std::string regions_of_interest(Effect &effect, double time, const double scale[2], const OfxRectD &region);
std::string frames_needed(Effect &effect, double time);
// Name of the clip that is the same as the output at `time`, which becomes that of the clip; "" where none is.
std::string identity(Effect &effect, const double scale[2], const Rect &window, double &time, OfxStatus &status);
