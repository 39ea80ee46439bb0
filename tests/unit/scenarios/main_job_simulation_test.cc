#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>

#include "runtime/test_driver.h"
#include "tests/scenarios/main_job.h"

namespace voketag::scenarios {
namespace {

// How long seeds are tried in the fast suite, but so many are on any machine; `simulate --seeds
// FROM..TO` goes on from there.
constexpr auto kBudget = std::chrono::seconds(15);
constexpr int kSeedsMin = 10;

std::filesystem::path directory() {
  return std::filesystem::temp_directory_path() / ("voketag-sim-" + std::to_string(::getpid()));
}

// Whatever happens between the steps, everything ends as if nothing had happened: committed events,
// states, views, dead letters; each product once; roots right. A seed that fails is printed with
// the last steps of its run: `simulate --seeds N..N` repeats it.
TEST(MainJobSimulation, AnyCrashAndAnyInterleavingEndsAsIfNothingHadHappened) {
  runtime::silence_log();
  const auto started_at = std::chrono::steady_clock::now();
  int seeds_run = 0;
  EXPECT_TRUE(rc::check([&] {
    const bool over = std::chrono::steady_clock::now() - started_at > kBudget;
    if (over && seeds_run >= kSeedsMin) return;
    const auto seed = *rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>());
    const auto result = simulate(seed, directory());
    ++seeds_run;
    if (!result.problem.empty()) RC_FAIL(result.problem);
  }));
  EXPECT_GE(seeds_run, kSeedsMin) << "of so few nothing can be learned";
  std::cout << "seeds run: " << seeds_run << '\n';
}

// The same for seeds that are always the same, and a look at whether anything was disturbed at all.
TEST(MainJobSimulation, KnownSeedsEndAlikeAndAreDisturbed) {
  runtime::silence_log();
  std::map<std::string, int> disturbances;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const auto result = simulate(seed, directory());
    EXPECT_EQ(result.problem, "");
    for (const auto& [kind, times] : result.disturbances) disturbances[kind] += times;
  }
  for (const char* kind : {"crash",
                           "crash, state lost",
                           "crash, older state",
                           "power failure",
                           "quiet spell",
                           "freeze",
                           "new instance",
                           "stop",
                           "standstill of all",
                           "time of day set",
                           "compaction",
                           "unknown commit, took effect",
                           "unknown commit, took no effect",
                           "aborted commit",
                           "fatal commit",
                           "crash in a commit, took effect",
                           "crash in a commit, took no effect",
                           "fenced commit, took effect",
                           "pause within a call",
                           "crash in turn"}) {
    EXPECT_GT(disturbances[kind], 0) << kind;
  }
}

// A seed is worth nothing if it does not lead to the same run again.
TEST(MainJobSimulation, ASeedGivesTheSameRunAgain) {
  runtime::silence_log();
  const auto first = simulate(17, directory());
  const auto second = simulate(17, directory());
  EXPECT_EQ(first.steps, second.steps);
  EXPECT_EQ(first.disturbances, second.disturbances);
}

}  // namespace
}  // namespace voketag::scenarios
