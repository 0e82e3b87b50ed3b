// Analyse: Source over the frame range becomes plates, the engine takes them apart, the node shows the layers.
#pragma once

#include "instance.h"
#include "json.h"

namespace vdp {

// Only while InstanceChanged runs. Waits, with progress, where the host can show it or nobody is there to wait; else
// the engine goes on by itself. Throws Failure.
void analyse(Instance &instance, Properties in);

}  // namespace vdp
