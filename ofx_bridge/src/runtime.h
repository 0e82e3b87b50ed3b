// What all nodes of a host process share, from Load to Unload.
#pragma once

#include "pictures.h"

namespace vdp {

struct Runtime {
    Helper helper;
    Pictures pictures{helper};
};

Runtime &runtime();
void end_runtime();

}  // namespace vdp
