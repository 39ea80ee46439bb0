#pragma once

#include <string>

// CLI11 is only for those who build the command tree.
#include <CLI/CLI.hpp>

#include "voketag/session.h"

// What the commands share when they add themselves to the command tree. Each command is one file
// with one function, `void add_<command>(CLI::App& parent, Session& session)`.
namespace voketag::cli {

// Lets a command's examples stand under its help.
inline void examples(CLI::App& command, const std::string& text) {
  command.footer("Examples:\n" + text);
}

inline void add_json_flag(CLI::App& command, Session& session) {
  command.add_flag("--json", session.json, "Print JSON, for scripts");
}

}  // namespace voketag::cli
