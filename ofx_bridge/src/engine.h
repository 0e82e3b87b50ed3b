// Where the engine lies, and the environment that it is started in.
#pragma once

#include <string>
#include <vector>

namespace vdp {

// The command that starts the engine, without arguments: what VDP_ENGINE names (the vdp command, a checkout, or an
// environment folder), else what the installer wrote into the bundle, else `vdp` on PATH.
// Throws Failure "engine.none": where it was looked for, and how to get one.
std::vector<std::string> find_engine();

// This process's environment without the host's own Python, libraries and settings.
std::vector<std::string> engine_environment();

}  // namespace vdp
