#include "runtime/replayer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/unit/projector/fake_log.h"
#include "tests/unit/projector/fake_projection.h"
#include "tests/unit/projector/fake_sink.h"

namespace voketag::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class List final : public ReplayRejectList {
 public:
  events::Status status;
  std::vector<ReplayReject> rejects;
  events::Status add(std::span<const ReplayReject> added) override {
    if (!status) return status;
    rejects.insert(rejects.end(), added.begin(), added.end());
    return {};
  }
};

class ReplayerTest : public ::testing::Test {
 protected:
  const std::vector<TopicPartition> kPartitions{{"left", 0}, {"right", 0}};

  void append(const std::vector<std::string>& values, const std::string& topic = "left") {
    for (const auto& value : values) log_.append(topic, 0, value);
  }
  events::Result<bool> run(std::int64_t left, std::int64_t right = 0) {
    const std::array targets{left, right};
    return replayer_.run_to(targets, [this] { return ++asked_ <= asks_max_; });
  }
  void place() {
    const auto placed = replayer_.place(kPartitions);
    ASSERT_TRUE(placed) << placed.error().message;
  }
  static ReplayerOptions options() {
    ReplayerOptions options;
    options.transaction_records_max = 3;
    options.records_per_poll_max = 2;
    return options;
  }

  FakeLog log_;
  FakeClock clock_;
  FakeDatabase database_;
  FakeSink sink_{database_};
  Words projection_;
  List list_;
  int asked_ = 0;
  int asks_max_ = 1'000;
  Replayer replayer_{log_, projection_, sink_, list_, clock_, options()};
};

TEST_F(ReplayerTest, StandsExactlyAtItsTargetsAndGoesNoFurther) {
  append({"a", "b", "c", "d", "e"});
  append({"x", "y"}, "right");
  place();
  EXPECT_TRUE(*run(3, 1));
  EXPECT_THAT(replayer_.positions(), ElementsAre(3, 1));
  EXPECT_THAT(database_.rows, testing::UnorderedElementsAre("a", "b", "c", "x"));
  EXPECT_EQ(database_.positions[kPartitions[0]], 3);
  EXPECT_THAT(log_.fetched, IsEmpty()) << "a partition that has arrived is not read on";

  EXPECT_TRUE(*run(5, 2));
  EXPECT_THAT(database_.rows, testing::UnorderedElementsAre("a", "b", "c", "x", "d", "e", "y"));
  EXPECT_THAT(replayer_.positions(), ElementsAre(5, 2));
}

TEST_F(ReplayerTest, ATargetBehindMarkersIsReached) {
  append({"a"});
  log_.append("left", 0, std::nullopt);
  place();
  EXPECT_TRUE(*run(2));
  log_.append("left", 0, std::nullopt);
  append({"b"});
  // Before the target there is but a marker, behind it a record.
  EXPECT_TRUE(*run(3));
  EXPECT_THAT(replayer_.positions(), ElementsAre(3, 0));
  EXPECT_THAT(database_.rows, ElementsAre("a"));
  EXPECT_TRUE(*run(4));
  EXPECT_THAT(database_.rows, ElementsAre("a", "b"));
}

TEST_F(ReplayerTest, GoesOnWhereAnotherStopped) {
  append({"a", "b", "c", "d", "e", "f", "g"});
  asks_max_ = 0;
  place();
  EXPECT_FALSE(*run(7));
  const auto at = replayer_.positions().front();
  EXPECT_GT(at, 0);
  EXPECT_LT(at, 7);
  EXPECT_EQ(static_cast<std::int64_t>(database_.rows.size()), at);

  Replayer second(log_, projection_, sink_, list_, clock_, options());
  ASSERT_TRUE(second.place(kPartitions));
  const std::array<std::int64_t, 2> targets{7, 0};
  EXPECT_TRUE(*second.run_to(targets, [] { return true; }));
  EXPECT_THAT(database_.rows, ElementsAre("a", "b", "c", "d", "e", "f", "g"));
}

TEST_F(ReplayerTest, RejectsAreListedBeforeTheCommitAndNothingIsEmitted) {
  append({"a", "bad", "throw", "refused", "b"});
  sink_.refused = {"refused"};
  sink_.before_commit = [this] {
    // What the projection refused; what the database refuses it tells in its commit.
    EXPECT_THAT(list_.rejects, SizeIs(2));
  };
  place();
  EXPECT_TRUE(*run(5));
  EXPECT_THAT(database_.rows, ElementsAre("a", "b"));
  ASSERT_THAT(list_.rejects, SizeIs(3));
  EXPECT_EQ(list_.rejects[0].offset, 1);
  EXPECT_EQ(list_.rejects[0].reason, "invalid");
  EXPECT_EQ(list_.rejects[1].reason, "internal");
  EXPECT_EQ(list_.rejects[2].offset, 3);
  EXPECT_EQ(list_.rejects[2].reason, "refused_by_view");
  EXPECT_EQ(replayer_.counts().rejects, 3);
  EXPECT_THAT(log_.written, IsEmpty());
  EXPECT_EQ(log_.joins, 0) << "a replay belongs to no group";
}

TEST_F(ReplayerTest, ARecordThatMeetsNoMemoryIsNoReject) {
  append({"a", "memory"});
  place();
  EXPECT_THROW(run(2), std::bad_alloc);
  EXPECT_THAT(list_.rejects, IsEmpty());
  EXPECT_EQ(database_.positions[kPartitions[0]], 0);
}

TEST_F(ReplayerTest, ARejectThatCannotBeListedStopsIt) {
  append({"bad"});
  list_.status = events::fail(events::Errc::kUnavailable, "away");
  place();
  const auto done = run(1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kUnavailable);
  EXPECT_EQ(database_.positions[kPartitions[0]], 0);
}

TEST_F(ReplayerTest, RecordsThatAreGoneStopIt) {
  append({"a", "b"});
  log_.delete_before("left", 0, 1);
  place();
  const auto done = run(2);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kNotFound);
  EXPECT_THAT(done.error().message, HasSubstr("partition 0 of topic left"));
  EXPECT_THAT(database_.rows, IsEmpty());
}

TEST_F(ReplayerTest, AFencedCommitStopsIt) {
  append({"a", "b"});
  place();
  sink_.before_commit = [this] { database_.positions[kPartitions[0]] = 1; };
  const auto done = run(2);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kFenced);
  EXPECT_THAT(database_.rows, IsEmpty());
}

TEST_F(ReplayerTest, ATargetBeforeThePositionIsRefused) {
  append({"a", "b"});
  place();
  EXPECT_TRUE(*run(2));
  const auto back = run(1);
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, events::Errc::kInternal);
}

}  // namespace
}  // namespace voketag::runtime
