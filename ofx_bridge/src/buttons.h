// What the artist does with a node: buttons, and settings that change what the others mean.
#pragma once

#include "instance.h"

namespace vdp {

void instance_changed(Instance &instance, Properties in);

}  // namespace vdp
