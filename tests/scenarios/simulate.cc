#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>

#include "runtime/test_driver.h"
#include "tests/scenarios/main_job.h"

// simulate --seeds FROM..TO: runs the main job once per seed, undisturbed and disturbed, and says
// which seeds did not end alike. Exit code 1 when one did not.
namespace {

int usage() {
  std::cerr << "usage: simulate --seeds FROM..TO\n";
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3 || std::string(arguments[1]) != "--seeds") return usage();
  const std::string range = arguments[2];
  const auto dots = range.find("..");
  if (dots == std::string::npos) return usage();
  const std::uint64_t from = std::strtoull(range.c_str(), nullptr, 10);
  const std::uint64_t to = std::strtoull(range.c_str() + dots + 2, nullptr, 10);
  voketag::runtime::silence_log();
  const auto directory =
      std::filesystem::temp_directory_path() / ("voketag-simulate-" + std::to_string(::getpid()));
  std::uint64_t failed = 0;
  std::int64_t steps = 0;
  std::map<std::string, int> disturbances;
  for (std::uint64_t seed = from; seed <= to; ++seed) {
    const auto result = voketag::scenarios::simulate(seed, directory);
    steps += result.steps;
    for (const auto& [kind, times] : result.disturbances) disturbances[kind] += times;
    if (result.problem.empty()) continue;
    ++failed;
    std::cout << result.problem << std::flush;
  }
  std::cout << to - from + 1 << " seeds, " << steps << " steps, " << failed << " failed\n";
  for (const auto& [kind, times] : disturbances) std::cout << "  " << kind << ": " << times << "\n";
  return failed == 0 ? 0 : 1;
}
