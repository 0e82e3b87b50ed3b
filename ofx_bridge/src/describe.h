// What the host is told of the effect before there is any instance of it.
#pragma once

#include "host.h"

namespace vdp {

inline constexpr char kHintClipName[] = "Hint";

void describe(OfxImageEffectHandle effect);
void describe_in_context(OfxImageEffectHandle effect, const std::string &context);

}  // namespace vdp
