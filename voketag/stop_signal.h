#pragma once

#include <atomic>

namespace voketag::cli {

// From now on SIGTERM and SIGINT ask for an orderly stop: stop_requested() becomes true, and the
// work that watches it keeps what it has committed and removes what it has made for itself. Whoever
// signals twice does not want to wait: the process ends at once with 128 and the signal's number.
void catch_stop_signals();

// False before the first signal. Lives as long as the process; any thread may read it.
const std::atomic<bool>& stop_requested();

}  // namespace voketag::cli
