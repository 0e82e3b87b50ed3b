#include "runtime.h"

namespace vdp {
namespace {

std::mutex mutex;
// Also ends it where the host unloads the plug-in, or itself, without a word.
std::unique_ptr<Runtime> the_runtime;

}  // namespace

Runtime &runtime() {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!the_runtime) the_runtime = std::make_unique<Runtime>();
    return *the_runtime;
}

void end_runtime() {
    const std::lock_guard<std::mutex> lock(mutex);
    the_runtime.reset();
}

}  // namespace vdp
