#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "voketag/configuration.h"
#include "voketag/exit_code.h"
#include "voketag/json_text.h"
#include "voketag/terminal.h"

namespace voketag::cli {

// One invocation of the program: where it writes, what it was told, what it shall do. Commands get
// it instead of the process's globals, so that tests can run them.
class Session {
 public:
  Session(Terminal& terminal, Environment environment)
      : terminal_(terminal), environment_(std::move(environment)) {}

  Terminal& terminal() { return terminal_; }

  // Read at the first call; warnings go to standard error, once. Stays valid as long as the
  // session.
  events::Result<const Configuration*> configuration();

  // Says on standard error what went wrong (and as JSON on standard output, if asked to write JSON)
  // and gives the exit code that means it.
  ExitCode report(const events::Error& error);
  ExitCode report(events::Errc code, std::string message) {
    return report(events::Error{code, std::move(message)});
  }
  // Prints one JSON value as a line.
  void print(const JsonText& json);
  void warn(const std::string& message);

  std::optional<std::filesystem::path> configuration_file;  // --config
  bool json = false;                                        // --json
  bool verbose = false;                                     // --verbose
  // What the parsed command line asks for.
  std::function<ExitCode()> action;

 private:
  Terminal& terminal_;
  Environment environment_;
  std::unique_ptr<Configuration> configuration_;
};

}  // namespace voketag::cli
