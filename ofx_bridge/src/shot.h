// The folder of a shot's layers, as a node has it.
#pragma once

#include "instance.h"
#include "json.h"

namespace vdp {

// Throws Failure where none was chosen.
std::string require_shot(const Instance &instance);
// What the helper's answer to `status` means to the artist; "" where all is well.
std::string words_for_status(const json::Value &status, const std::string &shot);
// The layers on the disk are others: nothing that is cached of them, here or in the host, is right any more.
// Only while InstanceChanged runs.
void show_layers_anew(Instance &instance);

}  // namespace vdp
