#include <spdlog/spdlog.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "connectors/kafka/membership.h"
#include "voketag/command_line.h"

int main(int argument_count, char** arguments) {
  using namespace voketag::cli;
  std::ios::sync_with_stdio(false);
  Terminal terminal(std::cout, std::cerr, TerminalTraits::detect());
  Session session(terminal, process_environment());
  const ExitCode code = run_command_line(
      session, std::vector<std::string>(arguments + 1, arguments + argument_count));
  std::cout.flush();
  if (voketag::kafka::clients_left_behind() > 0) {
    spdlog::default_logger()->flush();
    std::_Exit(static_cast<int>(code));
  }
  return static_cast<int>(code);
}
