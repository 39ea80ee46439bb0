#include "runtime/roll_forward.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "events/codec.h"
#include "state/database.h"

namespace voketag::runtime {
namespace {

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr events::Timestamp kStart{1'700'000'000'000};

events::Timestamp after_days(int days) {
  return {kStart.ms + days * kDayMs};
}

events::RecordView record(std::int64_t offset, std::string_view key,
                          std::optional<std::string_view> value) {
  events::RecordView view;
  view.offset = offset;
  view.key = key;
  view.value = value;
  return view;
}

class RollForwardTest : public ::testing::Test {
 protected:
  RollForwardTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("voketag-roll-forward-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(directory_);
    database_ = *state::Database::open(directory_);
  }
  ~RollForwardTest() override {
    database_.reset();
    std::filesystem::remove_all(directory_);
  }

  RollForward begin(Watermarks all, events::Timestamp now) {
    auto begun = RollForward::begin(store(), "counter partition 3", all, now);
    EXPECT_TRUE(begun) << begun.error().message;
    return *std::move(begun);
  }
  static bool write(RollForward& forward, events::Timestamp now = kStart) {
    const auto written = forward.write(now);
    EXPECT_TRUE(written) << written.error().message;
    return written && *written;
  }
  std::unique_ptr<state::PartitionStore> store() { return database_->open_partition("counter", 3); }

  const std::filesystem::path directory_;
  std::unique_ptr<state::Database> database_;
};

TEST_F(RollForwardTest, GoesOnWhereTheStoreStands) {
  auto first = begin({0, 10}, kStart);
  EXPECT_EQ(first.reached_offset(), 0);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  ASSERT_TRUE(first.apply(record(5, "count/b", "1")));
  ASSERT_TRUE(first.apply(record(6, kClaimKey, events::encode(Claim{"one"}))));
  ASSERT_TRUE(write(first));
  auto second = begin({0, 10}, kStart);
  EXPECT_EQ(second.reached_offset(), 7);
  EXPECT_EQ(second.position().claim->transactional_id, "one");
  ASSERT_TRUE(second.apply(record(4, "count/a", "9"))) << "the store has it already";
  ASSERT_TRUE(second.apply(record(8, "count/b", std::nullopt)));
  ASSERT_TRUE(second.apply(record(9, kClaimKey, std::nullopt)));
  ASSERT_TRUE(write(second));
  EXPECT_EQ(second.records(), 2);
  EXPECT_FALSE(second.position().claim);
  EXPECT_EQ(store()->get("count/a"), "1");
  EXPECT_FALSE(store()->get("count/b"));
}

TEST_F(RollForwardTest, WhatIsNotWrittenIsReadAgain) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  ASSERT_TRUE(write(first));
  ASSERT_TRUE(first.apply(record(5, "count/a", "2")));
  EXPECT_EQ(begin({0, 10}, kStart).reached_offset(), 5);
  EXPECT_EQ(store()->get("count/a"), "1");
}

TEST_F(RollForwardTest, ARebuildThatWasInterruptedGoesOn) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  ASSERT_TRUE(write(first));
  EXPECT_EQ(begin({0, 10}, after_days(5)).reached_offset(), 5);
  EXPECT_EQ(store()->get("count/a"), "1");
}

TEST_F(RollForwardTest, ARebuildThatWasInterruptedForTooLongBeginsAnew) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  ASSERT_TRUE(write(first));
  EXPECT_EQ(begin({0, 10}, after_days(7)).reached_offset(), 0);
  EXPECT_FALSE(store()->get("count/a")) << "its tombstone may be gone";
}

TEST_F(RollForwardTest, AStoreThatWasWholeForTooLongBeginsAnew) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  first.agree(kStart);
  ASSERT_TRUE(write(first));
  EXPECT_EQ(begin({0, 11}, after_days(5)).reached_offset(), 5);
  EXPECT_EQ(begin({0, 11}, after_days(7)).reached_offset(), 0);
  EXPECT_FALSE(store()->get("count/a"));
}

// The clock was wrong when it was written, or is now.
TEST_F(RollForwardTest, AStoreFromATimeThatIsToComeBeginsAnew) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  first.agree(after_days(30));
  ASSERT_TRUE(write(first));
  EXPECT_EQ(begin({0, 11}, after_days(30)).reached_offset(), 5);
  EXPECT_EQ(begin({0, 11}, {after_days(30).ms - kDayMs / 4}).reached_offset(), 5) << "hours do not";
  EXPECT_EQ(begin({0, 11}, after_days(29)).reached_offset(), 0);
  EXPECT_FALSE(store()->get("count/a"));
}

TEST_F(RollForwardTest, WhereNothingIsMissingAStoreMayBeOfAnyAge) {
  auto first = begin({0, 5}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  first.agree(kStart);
  ASSERT_TRUE(write(first));
  auto second = begin({0, 5}, after_days(70));
  EXPECT_EQ(second.reached_offset(), 5);
  second.agree(after_days(70));
  EXPECT_TRUE(write(second, after_days(70)));
}

// It stood still on the way: what it reads now is a changelog that has dropped tombstones since. So
// the store stays where it was, and is found too old.
TEST_F(RollForwardTest, WritesNothingWhenTheWayTookTooLong) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(4, "count/a", "1")));
  first.agree(kStart);
  ASSERT_TRUE(write(first));
  ASSERT_TRUE(first.apply(record(5, "count/b", "1")));
  first.agree(after_days(5));
  EXPECT_TRUE(write(first, after_days(5)));
  ASSERT_TRUE(first.apply(record(9, "count/c", "1")));
  first.agree(after_days(12));
  EXPECT_FALSE(write(first, after_days(12)));
  EXPECT_FALSE(store()->get("count/c"));
  EXPECT_EQ(begin({0, 10}, after_days(12)).reached_offset(), 0);
  EXPECT_FALSE(store()->get("count/a"));
}

TEST_F(RollForwardTest, AStoreOfAnotherLogBeginsAnew) {
  auto first = begin({0, 10}, kStart);
  ASSERT_TRUE(first.apply(record(8, "count/a", "1")));
  first.agree(kStart);
  ASSERT_TRUE(write(first));
  EXPECT_EQ(begin({0, 8}, kStart).reached_offset(), 0) << "ahead of it";
  EXPECT_FALSE(store()->get("count/a"));
  auto second = begin({0, 10}, kStart);
  ASSERT_TRUE(second.apply(record(8, "count/a", "1")));
  ASSERT_TRUE(write(second));
  EXPECT_EQ(begin({20, 30}, kStart).reached_offset(), 20) << "behind its beginning";
  EXPECT_FALSE(store()->get("count/a"));
}

TEST_F(RollForwardTest, IsWarmWhereTheStoreWasWholeAMomentAgo) {
  EXPECT_FALSE(begin({0, 10}, kStart).began_warm());
  auto first = begin({0, 10}, kStart);
  first.agree(kStart);
  ASSERT_TRUE(write(first));
  EXPECT_TRUE(begin({0, 10}, {kStart.ms + 60'000}).began_warm());
  EXPECT_FALSE(begin({0, 10}, {kStart.ms + 600'000}).began_warm());
}

TEST_F(RollForwardTest, ARecordThatNoEngineWritesIsAnError) {
  auto first = begin({0, 10}, kStart);
  EXPECT_FALSE(first.apply(record(4, kClaimKey, "not json")));
  EXPECT_FALSE(first.apply(record(4, kCommitKey, "{}x")));
}

}  // namespace
}  // namespace voketag::runtime
