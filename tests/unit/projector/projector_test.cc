#include "runtime/projector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using ::testing::UnorderedElementsAre;

class ProjectorTest : public ::testing::Test {
 protected:
  using Change = FakeLog::Change;

  void assign(std::vector<std::int32_t> partitions) {
    log_.rebalances.push_back({Change::kAssign, std::move(partitions)});
  }
  events::Status step() { return projector_.step(0); }
  // Steps until all is read and committed: one round reads, the next finds nothing more.
  void drain() {
    for (int round = 0; round < 4; ++round) {
      const auto status = step();
      ASSERT_TRUE(status) << status.error().message;
    }
  }
  std::optional<std::string> letter_header(std::size_t letter, const std::string& name) const {
    for (const auto& [header, value] : log_.written.at(letter).headers) {
      if (header == name) return value;
    }
    return std::nullopt;
  }

  FakeLog log_;
  FakeDatabase database_;
  FakeSink sink_{database_};
  FakeClock clock_;
  Words words_;
  ProjectorOptions options_;
  Projector projector_{log_, words_, sink_, clock_, options_};
};

TEST_F(ProjectorTest, ReadsThePartitionsOfEveryInputFromTheSinksPositions) {
  log_.append("left", 2, "passed over");
  log_.append("left", 2, "one");
  log_.append("right", 2, "two");
  log_.append("right", 3, "not given to us");
  database_.positions[{"left", 2}] = 1;
  assign({2});
  drain();
  EXPECT_EQ(log_.group(), "voketag.projector-words");
  EXPECT_EQ(log_.group_topic(), "left");
  EXPECT_THAT(database_.rows, UnorderedElementsAre("one", "two"));
  EXPECT_EQ((database_.positions[{"left", 2}]), 2);
  EXPECT_EQ((database_.positions[{"right", 2}]), 1);
  EXPECT_TRUE(projector_.settled());
}

TEST_F(ProjectorTest, IsNotSettledBeforeItHasItsPartitions) {
  EXPECT_FALSE(projector_.connected());
  drain();
  EXPECT_TRUE(projector_.connected());
  EXPECT_FALSE(projector_.settled());
  assign({});
  drain();
  EXPECT_TRUE(projector_.settled());
}

// ---- when it commits --------------------------------------------------------------------------

TEST_F(ProjectorTest, CommitsTheFirstRecordAfterAPauseAtOnce) {
  assign({0});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "one");
  ASSERT_TRUE(step());
  EXPECT_THAT(database_.rows, ElementsAre("one"));
}

TEST_F(ProjectorTest, GathersForAnIntervalWhileRecordsKeepComing) {
  assign({0});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "first");
  ASSERT_TRUE(step());
  for (int i = 0; i < 9; ++i) {
    clock_.advance(options_.commit_interval_ms / 10);
    log_.append("left", 0, "next");
    ASSERT_TRUE(step());
  }
  EXPECT_THAT(sink_.committed_rows, ElementsAre(1));
  clock_.advance(options_.commit_interval_ms / 10);
  log_.append("left", 0, "next");
  ASSERT_TRUE(step());
  EXPECT_THAT(sink_.committed_rows, ElementsAre(1, 10));
}

TEST_F(ProjectorTest, CommitsWhenTheBoundsAreReachedInTheMiddleOfABatch) {
  ProjectorOptions small;
  small.transaction_bytes_max = 10;
  Projector projector(log_, words_, sink_, clock_, small);
  for (int i = 0; i < 10; ++i) log_.append("left", 0, "four");
  assign({0});
  ASSERT_TRUE(projector.step(0));
  // Of two records key and value already make 14 bytes.
  EXPECT_THAT(sink_.committed_rows, ElementsAre(2, 2, 2, 2, 2));

  ProjectorOptions few;
  few.transaction_records_max = 4;
  FakeDatabase database;
  FakeSink sink(database);
  Projector other(log_, words_, sink, clock_, few);
  assign({0});
  ASSERT_TRUE(other.step(0));
  EXPECT_THAT(sink.committed_rows, ElementsAre(4, 4));
  ASSERT_TRUE(other.step(0));
  EXPECT_THAT(sink.committed_rows, ElementsAre(4, 4, 2));
}

TEST_F(ProjectorTest, TakesThePositionPastTransactionMarkers) {
  log_.append("left", 0, "one");
  log_.append("left", 0, std::nullopt);
  assign({0});
  drain();
  EXPECT_EQ((database_.positions[{"left", 0}]), 2);

  // Markers alone are no reason to write, until a while has passed.
  log_.append("left", 0, std::nullopt);
  drain();
  EXPECT_EQ((database_.positions[{"left", 0}]), 2);
  clock_.advance(options_.idle_advance_interval_ms);
  drain();
  EXPECT_EQ((database_.positions[{"left", 0}]), 3);
}

TEST_F(ProjectorTest, TellsTheGroupWhereItStandsNowAndThen) {
  assign({0});
  log_.append("left", 0, "one");
  drain();
  const std::vector<TopicPartitionOffset> first{{"left", 0, 1}, {"right", 0, 0}};
  EXPECT_EQ(log_.hints, first);
  log_.append("left", 0, "two");
  drain();
  EXPECT_EQ(log_.hints, first);
  clock_.advance(options_.hint_interval_ms);
  log_.append("left", 0, "three");
  drain();
  EXPECT_EQ(log_.hints.front().offset, 3);
}

// ---- dead letters -----------------------------------------------------------------------------

TEST_F(ProjectorTest, WhatTheProjectionRefusesIsADeadLetterAndTheOthersLand) {
  for (const auto* word : {"one", "bad", "throw", "two"}) log_.append("left", 0, word);
  std::size_t rows_when_written = 99;
  log_.before_write = [&] { rows_when_written = database_.rows.size(); };
  assign({0});
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("one", "two"));
  EXPECT_EQ(rows_when_written, 0U);
  ASSERT_THAT(log_.written, SizeIs(2));
  EXPECT_EQ(log_.written[0].topic, "dead-letters");
  EXPECT_EQ(log_.written[0].value, "bad");
  EXPECT_EQ(letter_header(0, "dead_letter_processor"), "projector-words");
  EXPECT_EQ(letter_header(0, "dead_letter_reason"), "invalid");
  EXPECT_EQ(letter_header(0, "dead_letter_detail"), "a bad word");
  EXPECT_EQ(letter_header(0, "dead_letter_offset"), "1");
  EXPECT_EQ(letter_header(1, "dead_letter_detail"), "thrown");
  EXPECT_EQ((database_.positions[{"left", 0}]), 4);
  EXPECT_EQ(projector_.counts().dead_letters, 2);
}

TEST_F(ProjectorTest, ARecordThatMeetsNoMemoryIsNoDeadLetter) {
  for (const auto* word : {"one", "memory", "two"}) log_.append("left", 0, word);
  assign({0});
  EXPECT_THROW(drain(), std::bad_alloc);
  EXPECT_THAT(log_.written, IsEmpty());
  EXPECT_EQ((database_.positions[{"left", 0}]), 0);
}

TEST_F(ProjectorTest, WhatTheDatabaseRefusesIsADeadLetterWithItsRawBytes) {
  sink_.refused = {"two"};
  for (const auto* word : {"one", "two", "three"}) log_.append("right", 5, word);
  assign({5});
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("one", "three"));
  ASSERT_THAT(log_.written, SizeIs(1));
  EXPECT_EQ(log_.written[0].value, "two");
  EXPECT_EQ(letter_header(0, "dead_letter_reason"), "refused_by_view");
  EXPECT_EQ(letter_header(0, "dead_letter_topic"), "right");
  EXPECT_EQ(letter_header(0, "dead_letter_partition"), "5");
}

TEST_F(ProjectorTest, ARefusedRecordIsFoundInAnyOfTheTransactionsBatches) {
  assign({0});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "first");
  ASSERT_TRUE(step());
  for (int i = 0; i < 5; ++i) {
    log_.append("left", 0, "word " + std::to_string(i));
    ASSERT_TRUE(step());
  }
  sink_.refused = {"word 0", "word 4"};
  drain();
  ASSERT_THAT(log_.written, SizeIs(2));
  EXPECT_EQ(log_.written[0].value, "word 0");
  EXPECT_EQ(log_.written[1].value, "word 4");
}

TEST_F(ProjectorTest, ALetterThatCannotBeWrittenHoldsTheTransactionBack) {
  log_.append("left", 0, "one");
  log_.append("left", 0, "bad");
  log_.append("left", 0, "two");
  log_.write_status = events::fail(events::Errc::kTimeout, "no broker");
  assign({0});
  drain();
  EXPECT_THAT(database_.rows, IsEmpty());
  sink_.refused = {"two"};
  drain();
  EXPECT_THAT(database_.rows, IsEmpty());
  log_.write_status = {};
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("one"));
  EXPECT_THAT(log_.written, SizeIs(2));
}

// ---- when the database fails ------------------------------------------------------------------

TEST_F(ProjectorTest, AfterAnUnknownOutcomeItGoesOnWhereTheDatabaseStands) {
  for (const auto outcome : {FakeSink::Outcome::kAway, FakeSink::Outcome::kAwayButDone}) {
    FakeLog log;
    FakeDatabase database;
    FakeSink sink(database);
    Projector projector(log, words_, sink, clock_, {});
    log.rebalances.push_back({Change::kAssign, {0}});
    log.append("left", 0, "one");
    log.append("left", 0, "two");
    sink.next_outcome = outcome;
    for (int round = 0; round < 4; ++round) ASSERT_TRUE(projector.step(0));
    EXPECT_THAT(database.rows, ElementsAre("one", "two"));
    EXPECT_EQ(projector.counts().reloads, 1);
  }
}

TEST_F(ProjectorTest, ReadsNothingWhileTheDatabaseIsAwayAndKeepsItsMembership) {
  assign({0});
  log_.append("left", 0, "one");
  sink_.next_outcome = FakeSink::Outcome::kAway;
  sink_.positions_status = events::fail(events::Errc::kUnavailable, "away");
  for (int round = 0; round < 10; ++round) {
    ASSERT_TRUE(step());
    EXPECT_THAT(log_.fetched, IsEmpty());
    EXPECT_TRUE(projector_.connected());
    EXPECT_FALSE(projector_.settled());
  }
  EXPECT_EQ(log_.joins, 1);
  sink_.positions_status = {};
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("one"));
}

TEST_F(ProjectorTest, AFencedCommitLeavesTheOthersRowsAlone) {
  assign({0});
  drain();
  clock_.advance(1'000);
  for (int i = 0; i < 3; ++i) log_.append("left", 0, "word " + std::to_string(i));
  // Another projector was faster with the first two.
  sink_.before_commit = [&] {
    sink_.before_commit = nullptr;
    database_.positions[{"left", 0}] = 2;
    database_.rows = {"word 0", "word 1"};
  };
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("word 0", "word 1", "word 2"));
  EXPECT_EQ(projector_.counts().reloads, 1);
}

TEST_F(ProjectorTest, AnErrorThatWillComeAgainStopsIt) {
  assign({0});
  log_.append("left", 0, "one");
  sink_.next_outcome = FakeSink::Outcome::kFatal;
  const auto status = step();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("no such table"));
}

TEST_F(ProjectorTest, APositionThatIsNoLongerInTheLogStopsIt) {
  for (int i = 0; i < 5; ++i) log_.append("left", 0, "word");
  log_.delete_before("left", 0, 3);
  assign({0});
  const auto status = step();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, events::Errc::kCorrupt);
  EXPECT_THAT(status.error().message, HasSubstr("left partition 0 offset 0"));
  EXPECT_THAT(database_.rows, IsEmpty());
}

// ---- rebalances -------------------------------------------------------------------------------

TEST_F(ProjectorTest, CommitsWhatItHasBeforePartitionsAreTaken) {
  assign({0, 1});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "at once");
  ASSERT_TRUE(step());
  log_.append("left", 0, "zero");
  log_.append("left", 1, "one");
  ASSERT_TRUE(step());
  EXPECT_THAT(database_.rows, SizeIs(1));
  log_.rebalances.push_back({Change::kRevoke, {0}});
  log_.append("left", 0, "for the next owner");
  drain();
  EXPECT_THAT(database_.rows, UnorderedElementsAre("at once", "zero", "one"));
  EXPECT_THAT(log_.fetched,
              UnorderedElementsAre(TopicPartition{"left", 1}, TopicPartition{"right", 1}));
}

TEST_F(ProjectorTest, DropsWhatItHasWhenPartitionsAreLost) {
  assign({0, 1});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "at once");
  ASSERT_TRUE(step());
  log_.append("left", 0, "of the lost one");
  log_.append("left", 1, "of the one kept");
  ASSERT_TRUE(step());
  log_.rebalances.push_back({Change::kLose, {0}});
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("at once", "of the one kept"));
  EXPECT_EQ((database_.positions[{"left", 0}]), 1);
}

TEST_F(ProjectorTest, ARevocationWhileTheDatabaseIsAwayLosesNothing) {
  assign({0, 1});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "at once");
  ASSERT_TRUE(step());
  log_.append("left", 0, "zero");
  log_.append("left", 1, "one");
  ASSERT_TRUE(step());
  sink_.next_outcome = FakeSink::Outcome::kAway;
  log_.rebalances.push_back({Change::kRevoke, {0}});
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("at once", "one"));
  assign({0});
  drain();
  EXPECT_THAT(database_.rows, ElementsAre("at once", "one", "zero"));
}

TEST_F(ProjectorTest, NewPartitionsComeToThoseBeingRead) {
  assign({0});
  log_.append("left", 0, "zero");
  log_.append("left", 1, "one");
  drain();
  assign({1});
  log_.append("left", 0, "zero again");
  drain();
  EXPECT_THAT(database_.rows, UnorderedElementsAre("zero", "one", "zero again"));
}

TEST_F(ProjectorTest, JoinsAgainAfterItsMembershipFailed) {
  assign({0});
  log_.append("left", 0, "one");
  drain();
  log_.membership_status = events::fail(events::Errc::kUnavailable, "no coordinator");
  ASSERT_TRUE(step());
  EXPECT_FALSE(projector_.connected());
  log_.membership_status = {};
  log_.append("left", 0, "two");
  ASSERT_TRUE(step());
  EXPECT_FALSE(projector_.connected());
  clock_.advance(10'000);
  assign({0});
  drain();
  EXPECT_EQ(log_.joins, 2);
  EXPECT_THAT(database_.rows, ElementsAre("one", "two"));
}

TEST_F(ProjectorTest, JoinsAgainInTimeWhateverTheTimeOfDayIsSetTo) {
  for (const std::int64_t hours : {-3, 3}) {
    log_.membership_status = events::fail(events::Errc::kUnavailable, "no coordinator");
    ASSERT_TRUE(step());
    log_.membership_status = {};
    EXPECT_FALSE(projector_.connected());
    clock_.set({clock_.now().ms + hours * 3'600'000});
    ASSERT_TRUE(step());
    EXPECT_FALSE(projector_.connected());
    clock_.advance(1'000);
    ASSERT_TRUE(step());
    EXPECT_TRUE(projector_.connected());
  }
}

TEST_F(ProjectorTest, CommitsInTimeWhateverTimeOfDayIsSet) {
  assign({0});
  drain();
  for (const std::int64_t hours : {-3, 3}) {
    clock_.advance(1'000);
    const auto before = sink_.committed_rows.size();
    log_.append("left", 0, "first");
    ASSERT_TRUE(step());
    log_.append("left", 0, "next");
    ASSERT_TRUE(step());
    clock_.set({clock_.now().ms + hours * 3'600'000});
    log_.append("left", 0, "next");
    ASSERT_TRUE(step());
    EXPECT_EQ(sink_.committed_rows.size(), before + 1);
    clock_.advance(options_.commit_interval_ms);
    log_.append("left", 0, "next");
    ASSERT_TRUE(step());
    EXPECT_EQ(sink_.committed_rows.size(), before + 2);
  }
}

TEST_F(ProjectorTest, StopsWithEverythingCommittedAndTheGroupLeft) {
  assign({0});
  drain();
  clock_.advance(1'000);
  log_.append("left", 0, "one");
  ASSERT_TRUE(step());
  log_.append("left", 0, "two");
  ASSERT_TRUE(step());
  EXPECT_THAT(database_.rows, SizeIs(1));
  ASSERT_TRUE(projector_.stop());
  EXPECT_THAT(database_.rows, ElementsAre("one", "two"));
  EXPECT_TRUE(log_.left);
  EXPECT_EQ(log_.hints.front().offset, 2);
  EXPECT_TRUE(projector_.stop());
}

}  // namespace
}  // namespace voketag::runtime
