// What a node shows: pictures of the helper in the host's images.
#pragma once

#include "instance.h"

namespace vdp {

OfxStatus render(Instance &instance, Properties in);
OfxStatus get_region_of_definition(Instance &instance, Properties in, Properties out);

// The frame that a time belongs to.
int frame_at(OfxTime time);

}  // namespace vdp
