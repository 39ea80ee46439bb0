#include "voketag/replay/replay_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/unit/projector/fake_log.h"

namespace voketag::cli {
namespace {

using events::Errc;
using ::testing::HasSubstr;

class ReplayStartTest : public ::testing::Test {
 protected:
  static ReplayPartition partition(std::int64_t low, std::int64_t high, std::int64_t live) {
    return {{"topic", 3}, {low, high}, live};
  }
  events::Result<std::vector<runtime::TopicPartitionOffset>> first(const ReplayStart& start,
                                                                   ReplayPartition at) {
    auto fetcher = log_.open_fetcher(runtime::Isolation::kReadCommitted);
    return first_offsets(start, std::span(&at, 1), **fetcher);
  }

  runtime::FakeLog log_;
};

TEST_F(ReplayStartTest, Parses) {
  const auto beginning = parse_replay_start("beginning");
  ASSERT_TRUE(beginning);
  EXPECT_FALSE(beginning->offset || beginning->time);
  EXPECT_FALSE(beginning->available);
  EXPECT_TRUE(parse_replay_start("available")->available);
  EXPECT_EQ(parse_replay_start("offset:17")->offset, 17);
  EXPECT_EQ(parse_replay_start("time:1970-01-01T00:00:01Z")->time->ms, 1'000);
  for (const char* wrong : {"", "offset:", "offset:-1", "offset:1x", "time:", "time:noon", "end"}) {
    EXPECT_EQ(parse_replay_start(wrong).error().code, Errc::kInvalid) << wrong;
  }
}

TEST_F(ReplayStartTest, BeginsWhereItIsToldButNotBehindTheLiveView) {
  EXPECT_EQ(first({}, partition(0, 9, 9))->front().offset, 0);
  EXPECT_EQ(first({.offset = 4}, partition(0, 9, 9))->front().offset, 4);
  EXPECT_EQ(first({.offset = 4}, partition(4, 9, 9))->front().offset, 4);
  EXPECT_EQ(first({.offset = 8}, partition(0, 9, 5))->front().offset, 5)
      << "the live view has yet to read on from there";
  EXPECT_EQ(first({}, partition(0, 9, 0))->front().offset, 0);
}

TEST_F(ReplayStartTest, OutOfRetentionIsRefusedWithWhatIsThere) {
  for (const ReplayStart start : {ReplayStart{}, ReplayStart{.offset = 3}}) {
    const auto refused = first(start, partition(4, 9, 9));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kNotFound);
    EXPECT_THAT(refused.error().message,
                HasSubstr("partition 3 of topic topic begins at offset 4"));
    EXPECT_THAT(refused.error().message, HasSubstr("--from available"));
  }
}

TEST_F(ReplayStartTest, WhatIsAvailableOfEachPartition) {
  auto fetcher = log_.open_fetcher(runtime::Isolation::kReadCommitted);
  const std::array partitions{partition(4, 9, 9), partition(0, 9, 9), partition(2, 9, 6)};
  const auto offsets = first_offsets({.available = true}, partitions, **fetcher);
  ASSERT_TRUE(offsets) << offsets.error().message;
  EXPECT_EQ((*offsets)[0].offset, 4);
  EXPECT_EQ((*offsets)[1].offset, 0);
  EXPECT_EQ((*offsets)[2].offset, 2);
  EXPECT_EQ(first({.available = true}, partition(0, 9, 0))->front().offset, 0);
}

TEST_F(ReplayStartTest, WhatTheLiveViewItselfHasMissedIsNotAvailable) {
  const auto refused = first({.available = true}, partition(4, 9, 3));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kNotFound);
  EXPECT_THAT(refused.error().message, HasSubstr("stands at offset 3, has not read them either"));
}

TEST_F(ReplayStartTest, ATopicThatEndsBeforeTheLiveViewIsNoSource) {
  const auto refused = first({}, partition(0, 5, 6));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("was made anew"));
}

}  // namespace
}  // namespace voketag::cli
