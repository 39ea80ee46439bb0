#include "voketag/patience.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace voketag::cli {
namespace {

using events::Errc;
using events::Error;
using events::fail;
using events::Status;

const auto kNever = [] { return false; };
const auto kSilent = [](const Error&) {};

TEST(PatienceTest, TriesAgainWhatMayPassAndSaysSo) {
  int tries = 0;
  std::vector<std::string> said;
  const auto done = patiently(
      [&]() -> Status {
        return ++tries == 1 ? Status(fail(Errc::kUnavailable, "away")) : Status();
      },
      kNever, [&](const Error& error) { said.push_back(error.message); });
  ASSERT_TRUE(done.has_value());
  EXPECT_TRUE(done->has_value());
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(said, std::vector<std::string>{"away"});
}

TEST(PatienceTest, WhatDoesNotPassIsReturnedAtOnce) {
  int tries = 0;
  const auto done = patiently(
      [&]() -> Status {
        ++tries;
        return fail(Errc::kConflict, "of a newer version");
      },
      kNever, kSilent);
  ASSERT_TRUE(done.has_value());
  ASSERT_FALSE(done->has_value());
  EXPECT_EQ(done->error().code, Errc::kConflict);
  EXPECT_EQ(tries, 1);
}

TEST(PatienceTest, AStopEndsAPause) {
  std::atomic<bool> stopped = false;
  const auto done =
      patiently([]() -> Status { return fail(Errc::kUnavailable, "away"); },
                [&] { return stopped.load(); }, [&](const Error&) { stopped = true; });
  EXPECT_FALSE(done.has_value());
}

TEST(PatienceTest, AStopDoesNotWaitForATry) {
  // Outlive this test, as the try that it leaves behind does.
  const auto begun = std::make_shared<std::atomic<bool>>(false);
  const auto released = std::make_shared<std::atomic<bool>>(false);
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  const auto done = patiently(
      [=]() -> Status {
        *begun = true;
        while (!*released) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        *ended = true;
        return {};
      },
      [=] { return begun->load(); }, kSilent);
  EXPECT_FALSE(done.has_value());
  EXPECT_FALSE(*ended);
  *released = true;
  while (!*ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace
}  // namespace voketag::cli
