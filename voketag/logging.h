#pragma once

#include <string>

#include "voketag/configuration.h"

namespace voketag::cli {

// Sends every log line of the process to standard error: as text for people where that is a
// terminal, else as one JSON object per line with `time`, `level`, `thread` and `message`.
void start_logging(const Configuration& configuration, bool error_is_terminal);

// For commands that a person runs: only what hinders them reaches standard error, as text.
void start_quiet_logging(bool verbose);

}  // namespace voketag::cli
