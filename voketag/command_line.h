#pragma once

#include <string>
#include <vector>

#include "voketag/exit_code.h"
#include "voketag/session.h"

namespace voketag::cli {

// Understands the arguments (without the program's name) and does what they ask. Never throws.
ExitCode run_command_line(Session& session, std::vector<std::string> arguments);

}  // namespace voketag::cli
