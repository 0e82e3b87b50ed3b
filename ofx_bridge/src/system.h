// What differs between operating systems and is no process and no file of pixels.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace vdp {

// The file that this plug-in was loaded from, and the program that loaded it; empty where the system does not say.
std::filesystem::path plugin_file();
std::filesystem::path program_file();

// NAME=value.
std::vector<std::string> environment();
// "" where it is not set.
std::string variable(const char *name);

bool is_executable(const std::filesystem::path &file);

// A new folder in that for temporary files, for this user alone. Throws Failure "buffer".
std::filesystem::path make_private_folder(const std::string &prefix);

}  // namespace vdp
