#pragma once

#include <functional>
#include <optional>

#include "events/error.h"

namespace voketag::cli {

// Takes a step again and again while it fails in a way that may pass (kUnavailable, kTimeout), with
// growing pauses: what is away may come back, and a process that ended each time would only be
// started again. `say` is told of each such failure.
//
// Each try runs on a thread of its own, since it may wait long for somebody else's answer. `stop`
// does not wait for it. None: `stop` became true; a try that was under way is left behind on its
// thread, so the process must end by _exit, before anything that the step uses is gone.
std::optional<events::Status> patiently(const std::function<events::Status()>& step,
                                        const std::function<bool()>& stop,
                                        const std::function<void(const events::Error&)>& say);

}  // namespace voketag::cli
