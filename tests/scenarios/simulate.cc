#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/test_driver.h"
#include "tests/scenarios/main_job.h"

// simulate --seeds FROM..TO: runs the main job once per seed, undisturbed and disturbed, and says
// which seeds did not end alike, and how to run each again. Exit code 1 when one did not.
namespace {

constexpr auto kProgressInterval = std::chrono::seconds(60);

struct Range {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

std::optional<Range> parse_range(std::string_view text) {
  Range range;
  const char* const end = text.data() + text.size();
  const auto from = std::from_chars(text.data(), end, range.from);
  if (from.ec != std::errc() || !std::string_view(from.ptr, end).starts_with("..")) return {};
  const auto to = std::from_chars(from.ptr + 2, end, range.to);
  if (to.ec != std::errc() || to.ptr != end || range.to < range.from) return {};
  return range;
}

// The state of the instances is written and removed thousands of times: in memory where that can
// be.
std::filesystem::path directory() {
  const std::filesystem::path memory = "/dev/shm";
  const bool has_memory = ::access(memory.c_str(), W_OK) == 0;
  return (has_memory ? memory : std::filesystem::temp_directory_path()) /
         ("voketag-simulate-" + std::to_string(::getpid()));
}

struct Totals {
  std::uint64_t seeds = 0;
  std::uint64_t failed = 0;
  std::int64_t steps = 0;
  std::int64_t simulated_ms = 0;
  std::map<std::string, int> disturbances;
  std::chrono::steady_clock::time_point began_at = std::chrono::steady_clock::now();
};

void add(const voketag::scenarios::Simulation& result, Totals& totals) {
  ++totals.seeds;
  totals.steps += result.steps;
  totals.simulated_ms += result.simulated_ms;
  for (const auto& [kind, times] : result.disturbances) totals.disturbances[kind] += times;
}

void print(const Totals& totals) {
  const std::chrono::duration<double, std::ratio<60>> minutes =
      std::chrono::steady_clock::now() - totals.began_at;
  const double hours = static_cast<double>(totals.simulated_ms) / 3'600'000;
  std::cout << totals.seeds << " seeds, " << totals.steps << " steps, " << totals.failed
            << " failed; " << std::fixed << std::setprecision(1) << hours
            << " simulated hours under faults in " << minutes.count() << " minutes, "
            << hours / minutes.count() << " a minute" << std::endl;
}

}  // namespace

int main(int count, char** arguments) {
  const auto range = count == 3 && std::string_view(arguments[1]) == "--seeds"
                         ? parse_range(arguments[2])
                         : std::nullopt;
  if (!range) {
    std::cerr << "usage: simulate --seeds FROM..TO\n";
    return 2;
  }
  voketag::runtime::silence_log();
  Totals totals;
  auto said_at = totals.began_at;
  for (std::uint64_t seed = range->from;; ++seed) {
    const auto result = voketag::scenarios::simulate(seed, directory());
    add(result, totals);
    if (!result.problem.empty()) {
      ++totals.failed;
      std::cout << result.problem << "again: " << arguments[0] << " --seeds " << seed << ".."
                << seed << std::endl;
    }
    if (std::chrono::steady_clock::now() - said_at > kProgressInterval) {
      said_at = std::chrono::steady_clock::now();
      std::cout << "up to seed " << seed << ": ";
      print(totals);
    }
    if (seed == range->to) break;
  }
  print(totals);
  for (const auto& [kind, times] : totals.disturbances) {
    std::cout << "  " << kind << ": " << times << "\n";
  }
  return totals.failed == 0 ? 0 : 1;
}
