#include "runtime/memory_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace voketag::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kTopic = "things";
const TopicPartition kThings{kTopic, 3};
constexpr std::int64_t kWeekMs = 7LL * 24 * 3600 * 1000;

events::OutputRecord record(std::string value, std::string topic = kTopic) {
  events::OutputRecord result;
  result.topic = std::move(topic);
  result.partition = 3;
  result.key = "key";
  result.value = std::move(value);
  return result;
}

// Keeps what a member was told, in order: "+1" assigned, "-1" revoked, "!1" lost.
class Listener final : public RebalanceListener {
 public:
  void on_assigned(std::span<const std::int32_t> partitions) override { note('+', partitions); }
  void on_revoked(std::span<const std::int32_t> partitions) override { note('-', partitions); }
  void on_lost(std::span<const std::int32_t> partitions) override { note('!', partitions); }

  std::set<std::int32_t> owned;
  std::string calls;

 private:
  void note(char kind, std::span<const std::int32_t> partitions) {
    calls += kind;
    for (const auto partition : partitions) {
      EXPECT_EQ(kind == '+', owned.insert(partition).second);
      if (kind != '+') owned.erase(partition);
    }
  }
};

class MemoryLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<TransactionalProducer> producer(const std::string& id) {
    return *log_.open_producer(id);
  }

  std::vector<std::string> read(Isolation isolation = Isolation::kReadCommitted,
                                std::int64_t from = 0) {
    auto fetcher = *log_.open_fetcher(isolation);
    EXPECT_TRUE(fetcher->assign(kThings, from));
    FetchBatch batch;
    EXPECT_TRUE(fetcher->poll(batch, 0, 1000));
    std::vector<std::string> values;
    for (const auto& found : batch.records) {
      values.push_back(std::to_string(found.offset) + ":" + std::string(*found.value));
    }
    for (const auto& end : batch.ends) values.push_back("end " + std::to_string(end.offset));
    for (const auto& lost : batch.out_of_range) {
      values.push_back("lost " + std::to_string(lost.offset));
    }
    return values;
  }

  struct Member {
    std::unique_ptr<Membership> membership;
    std::unique_ptr<Listener> listener;
    void poll() { ASSERT_TRUE(membership->poll(*listener)); }
  };
  Member join() { return {*log_.join("group", kTopic), std::make_unique<Listener>()}; }
  static void poll_all(std::vector<Member>& members, int rounds = 6) {
    for (int i = 0; i < rounds; ++i) {
      for (auto& member : members) member.poll();
    }
  }
  std::optional<std::int64_t> group_offset() {
    return log_.committed("group", std::vector{kThings})->offsets.at(0);
  }
  bool unstable() { return log_.committed("group", std::vector{kThings})->unstable; }

  ManualClock clock_;
  MemoryLog log_{clock_};
};

// ---- transactions and readers -------------------------------------------------------------------

TEST_F(MemoryLogTest, AMarkerTakesAnOffsetAndAbortedRecordsAreSkipped) {
  auto writer = producer("a");
  auto member = join();
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("one")));
  EXPECT_EQ(writer->last_offset(kThings), 0);
  EXPECT_EQ(writer->last_time(kThings), clock_.now());
  EXPECT_EQ(writer->commit({}, *member.membership).outcome, CommitOutcome::kCommitted);
  ASSERT_TRUE(writer->begin());
  EXPECT_EQ(writer->last_offset(kThings), std::nullopt);
  EXPECT_EQ(writer->last_time(kThings), std::nullopt);
  ASSERT_TRUE(writer->send(record("two")));
  EXPECT_EQ(writer->abort().outcome, CommitOutcome::kAborted);
  log_.append(record("three"));
  EXPECT_THAT(read(), ElementsAre("0:one", "4:three", "end 5"));
  EXPECT_THAT(read(Isolation::kReadUncommitted), ElementsAre("0:one", "2:two", "4:three", "end 5"));
}

TEST_F(MemoryLogTest, AnOpenTransactionHoldsTheLastStableOffset) {
  auto writer = producer("a");
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("open")));
  log_.append(record("behind it"));
  EXPECT_THAT(read(), ElementsAre("end 0"));
  EXPECT_EQ(log_.watermarks(kThings, Isolation::kReadCommitted)->high, 0);
  EXPECT_EQ(log_.watermarks(kThings, Isolation::kReadUncommitted)->high, 2);
  EXPECT_EQ(writer->abort().outcome, CommitOutcome::kAborted);
  EXPECT_THAT(read(), ElementsAre("1:behind it", "end 3"));
}

TEST_F(MemoryLogTest, MarkersReachTopicsAndGroupAtDifferentTimes) {
  std::vector<Member> members;
  members.push_back(join());
  poll_all(members);
  log_.delay_markers(kTopic, 100);
  log_.delay_markers("group", 200);
  auto writer = producer("a");
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("slow")));
  ASSERT_TRUE(writer->send(record("quick", "others")));
  const std::vector<TopicPartitionOffset> positions{{kTopic, 3, 7}};
  EXPECT_EQ(writer->commit(positions, *members[0].membership).outcome, CommitOutcome::kCommitted);

  EXPECT_EQ(log_.records("others").size(), 1U);
  EXPECT_EQ(log_.records(kTopic).size(), 0U);
  EXPECT_TRUE(unstable());
  clock_.advance(100);
  EXPECT_EQ(log_.records(kTopic).size(), 1U);
  EXPECT_TRUE(unstable());
  EXPECT_EQ(group_offset(), std::nullopt);
  EXPECT_FALSE(log_.settled());
  clock_.advance(100);
  EXPECT_FALSE(unstable());
  EXPECT_EQ(group_offset(), 7);
  EXPECT_TRUE(log_.settled());
}

// As a coordinator answers "later" until the last transaction is complete.
TEST_F(MemoryLogTest, AProducersNextTransactionWaitsForTheMarkersOfItsLast) {
  auto member = join();
  log_.delay_markers(kTopic, 100);
  auto writer = producer("a");
  for (const char* value : {"one", "two"}) {
    ASSERT_TRUE(writer->begin());
    ASSERT_TRUE(writer->send(record(value)));
    EXPECT_EQ(writer->commit({}, *member.membership).outcome, CommitOutcome::kCommitted);
  }
  EXPECT_THAT(read(), ElementsAre("0:one", "end 2"));
}

TEST_F(MemoryLogTest, ASuccessorFencesAndAbortsWhatWasOpen) {
  auto member = join();
  auto older = producer("a");
  ASSERT_TRUE(older->begin());
  ASSERT_TRUE(older->send(record("left open")));
  auto newer = producer("a");
  EXPECT_THAT(read(), ElementsAre("end 2"));
  EXPECT_EQ(older->commit({}, *member.membership).outcome, CommitOutcome::kFenced);
  ASSERT_TRUE(newer->begin());
  ASSERT_TRUE(newer->send(record("new")));
  EXPECT_EQ(newer->commit({}, *member.membership).outcome, CommitOutcome::kCommitted);
  EXPECT_THAT(read(), ElementsAre("2:new", "end 4"));
  EXPECT_EQ(log_.epoch("a"), 2);
}

TEST_F(MemoryLogTest, ASuccessorCompletesWhatWasDecided) {
  auto member = join();
  log_.delay_markers(kTopic, 1'000'000);
  auto older = producer("a");
  ASSERT_TRUE(older->begin());
  ASSERT_TRUE(older->send(record("decided")));
  EXPECT_EQ(older->commit({}, *member.membership).outcome, CommitOutcome::kCommitted);
  EXPECT_THAT(read(), ElementsAre("end 0"));
  auto newer = producer("a");
  EXPECT_THAT(read(), ElementsAre("0:decided", "end 2"));
}

TEST_F(MemoryLogTest, ATransactionThatStaysOpenIsAbortedAndItsProducerFenced) {
  auto member = join();
  auto writer = producer("a");
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("forgotten")));
  clock_.advance(10'001);
  EXPECT_THAT(read(), ElementsAre("end 2"));
  EXPECT_EQ(writer->commit({}, *member.membership).outcome, CommitOutcome::kFenced);
}

TEST_F(MemoryLogTest, AnUnknownOutcomeHasEitherTruth) {
  auto member = join();
  for (const bool took_effect : {true, false}) {
    auto writer = producer("a");
    log_.script_commit("a", CommitOutcome::kUnknown, took_effect);
    ASSERT_TRUE(writer->begin());
    ASSERT_TRUE(writer->send(record(took_effect ? "kept" : "dropped")));
    EXPECT_EQ(writer->commit({}, *member.membership).outcome, CommitOutcome::kUnknown);
    EXPECT_FALSE(writer->begin()) << "a producer that does not know must be replaced";
  }
  producer("a");
  EXPECT_THAT(read(), ElementsAre("0:kept", "end 4"));
}

TEST_F(MemoryLogTest, ACrashWithinACommitComesBeforeOrAfterItsDecision) {
  auto member = join();
  for (const bool decided : {true, false}) {
    auto writer = producer("a");
    log_.script_crash("a", decided);
    ASSERT_TRUE(writer->begin());
    ASSERT_TRUE(writer->send(record(decided ? "kept" : "dropped")));
    EXPECT_THROW((void)writer->commit({}, *member.membership), SimulatedCrash);
  }
  producer("a");
  EXPECT_THAT(read(), ElementsAre("0:kept", "end 4"));
}

// Why CommitResult::replace_producer is there.
TEST_F(MemoryLogTest, ARepeatedCommitRequestEndsTheNextTransactionOfAProducerThatIsNotReplaced) {
  MemoryLogFaults faults;
  faults.commit_troubled = 1;
  log_.set_faults(faults);
  auto member = join();
  auto writer = producer("a");
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("one")));
  const auto committed = writer->commit({}, *member.membership);
  EXPECT_EQ(committed.outcome, CommitOutcome::kCommitted);
  EXPECT_TRUE(committed.replace_producer);
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("half")));
  ASSERT_TRUE(writer->send(record("other half")));
  EXPECT_EQ(writer->abort().outcome, CommitOutcome::kAborted);
  EXPECT_THAT(read(), ElementsAre("0:one", "2:half", "end 6"));
}

TEST_F(MemoryLogTest, ARecordThatIsTooLargeIsRefusedAndNothingElse) {
  auto member = join();
  auto writer = producer("a");
  ASSERT_TRUE(writer->begin());
  const auto refused = writer->send(record(std::string(7U << 20, 'x'), "batch-requested"));
  EXPECT_EQ(refused.error().code, events::Errc::kInvalid);
  ASSERT_TRUE(writer->send(record("small")));
  EXPECT_EQ(writer->commit({}, *member.membership).outcome, CommitOutcome::kCommitted);
  EXPECT_THAT(read(), ElementsAre("0:small", "end 2"));
}

TEST_F(MemoryLogTest, APlainWriteMayFailAndYetBeThere) {
  MemoryLogFaults faults;
  faults.write_failed = 1;
  log_.set_faults(faults);
  auto writer = *log_.open_plain_producer();
  std::set<std::size_t> written;
  for (int i = 0; i < 20; ++i) {
    const auto before = log_.records(kTopic).size();
    const std::vector records{record("x")};
    EXPECT_FALSE(writer->write(records));
    written.insert(log_.records(kTopic).size() - before);
  }
  EXPECT_THAT(written, ElementsAre(0U, 1U));
}

// ---- groups -------------------------------------------------------------------------------------

TEST_F(MemoryLogTest, WhatMovesIsRevokedFirstAndAssignedOneGenerationLater) {
  std::vector<Member> members;
  members.push_back(join());
  poll_all(members);
  EXPECT_EQ(members[0].listener->owned.size(), 12U);
  EXPECT_EQ(log_.generation("group"), 1);

  members.push_back(join());
  members[0].poll();
  members[1].poll();  // generation 2: nothing for the new one yet
  EXPECT_THAT(members[1].listener->owned, IsEmpty());
  EXPECT_EQ(members[0].listener->owned.size(), 12U) << "it has not been told";
  members[0].poll();
  EXPECT_EQ(members[0].listener->owned.size(), 6U);
  EXPECT_THAT(members[1].listener->owned, IsEmpty());
  poll_all(members);
  EXPECT_EQ(members[1].listener->owned.size(), 6U);
  EXPECT_EQ(members[0].listener->calls, "+-") << "what stays is not touched";
  EXPECT_EQ(log_.generation("group"), 3);
}

TEST_F(MemoryLogTest, NoPartitionHasTwoOwnersWhileMembersComeAndGo) {
  std::vector<Member> members;
  for (int round = 0; round < 40; ++round) {
    if (round % 5 == 0 && members.size() < 4) members.push_back(join());
    if (round % 13 == 12) {
      members[0].membership->leave(*members[0].listener);
      EXPECT_THAT(members[0].listener->owned, IsEmpty());
      members.erase(members.begin());
    }
    members[static_cast<std::size_t>(round) % members.size()].poll();
    std::multiset<std::int32_t> owned;
    for (const auto& member : members) {
      owned.insert(member.listener->owned.begin(), member.listener->owned.end());
    }
    EXPECT_EQ(owned.size(), std::set(owned.begin(), owned.end()).size());
  }
  poll_all(members, 10);
  std::size_t total = 0;
  for (const auto& member : members) total += member.listener->owned.size();
  EXPECT_EQ(total, 12U);
}

TEST_F(MemoryLogTest, AMemberThatIsNotPolledIsExpelledAndLearnsSoLate) {
  std::vector<Member> members;
  members.push_back(join());
  members.push_back(join());
  poll_all(members);
  auto zombie = std::move(members[0]);
  members.erase(members.begin());
  clock_.advance(4'000);
  poll_all(members);
  EXPECT_EQ(members[0].listener->owned.size(), 6U);
  clock_.advance(4'000);
  poll_all(members);
  EXPECT_EQ(members[0].listener->owned.size(), 12U);
  EXPECT_EQ(zombie.listener->owned.size(), 6U) << "it does not know";

  auto writer = producer("zombie");
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->send(record("from the dead")));
  const std::vector<TopicPartitionOffset> positions{{kTopic, 3, 99}};
  EXPECT_EQ(writer->commit(positions, *zombie.membership).outcome, CommitOutcome::kFenced);
  EXPECT_EQ(group_offset(), std::nullopt);
  EXPECT_THAT(read(), ElementsAre("end 2"));

  zombie.poll();
  EXPECT_EQ(zombie.listener->calls, "+!");
}

TEST_F(MemoryLogTest, ACrashedMemberKeepsItsPartitionsUntilItsSessionEnds) {
  std::vector<Member> members;
  members.push_back(join());
  poll_all(members);
  members[0].membership.reset();
  members[0] = join();
  clock_.advance(5'000);
  poll_all(members);
  EXPECT_THAT(members[0].listener->owned, IsEmpty());
  clock_.advance(1'500);
  poll_all(members);
  EXPECT_EQ(members[0].listener->owned.size(), 12U);
}

TEST_F(MemoryLogTest, OffsetsOfAnAbortedTransactionNeverCount) {
  std::vector<Member> members;
  members.push_back(join());
  poll_all(members);
  log_.script_commit("a", CommitOutcome::kUnknown, false);
  auto writer = producer("a");
  ASSERT_TRUE(writer->begin());
  const std::vector<TopicPartitionOffset> positions{{kTopic, 3, 5}};
  EXPECT_EQ(writer->commit(positions, *members[0].membership).outcome, CommitOutcome::kUnknown);
  EXPECT_TRUE(unstable());
  producer("a");
  EXPECT_FALSE(unstable());
  EXPECT_EQ(group_offset(), std::nullopt);
}

// ---- compaction and retention -------------------------------------------------------------------

TEST_F(MemoryLogTest, CompactionKeepsTheLastValueOfEachKey) {
  auto other = record("other");
  other.key = "other key";
  log_.append(record("old"));
  log_.append(other);
  log_.append(record("new"));
  log_.append(record("newest"));
  log_.compact(kTopic);
  EXPECT_THAT(read(), ElementsAre("1:other", "3:newest", "end 4"));
  EXPECT_THAT(read(Isolation::kReadCommitted, 0), ElementsAre("1:other", "3:newest", "end 4"));
}

TEST_F(MemoryLogTest, CompactionDropsTombstonesThatAreAWeekOldButTheLastRecord) {
  auto erased = record("");
  erased.value.reset();
  log_.append(record("old"));
  log_.append(erased);
  auto other = record("other");
  other.key = "other key";
  log_.append(other);
  const auto offsets = [&] {
    return std::pair(log_.next_record(kThings, 0), log_.next_record(kThings, 2));
  };
  clock_.advance(kWeekMs - 1);
  log_.compact(kTopic);
  EXPECT_EQ(offsets(), std::pair(std::optional<std::int64_t>(1), std::optional<std::int64_t>(2)));
  clock_.advance(1);
  log_.compact(kTopic);
  EXPECT_EQ(offsets(), std::pair(std::optional<std::int64_t>(2), std::optional<std::int64_t>(2)));
  erased.key = "other key";
  log_.append(erased);
  clock_.advance(kWeekMs);
  log_.compact(kTopic);
  EXPECT_EQ(log_.next_record(kThings, 0), 3) << "the last record stays";
  EXPECT_EQ(log_.next_record(kThings, 4), std::nullopt);
}

TEST_F(MemoryLogTest, AGroupWithoutMembersForgetsItsOffsetsAfterAWeek) {
  log_.set_group_offset("group", kThings, 5);
  {
    auto member = join();
    member.poll();
    clock_.advance(2 * kWeekMs);
    log_.keep_members();
    member.poll();
    EXPECT_EQ(group_offset(), 5);
    EXPECT_EQ(member.listener->owned.size(), 12U) << "it polled all the while";
  }
  clock_.advance(kWeekMs);
  log_.keep_members();
  EXPECT_EQ(group_offset(), 5) << "its session has ended just now";
  clock_.advance(kWeekMs - 1);
  EXPECT_EQ(group_offset(), 5);
  clock_.advance(1);
  EXPECT_EQ(group_offset(), std::nullopt);
}

TEST_F(MemoryLogTest, APositionThatRetentionHasPassedIsOutOfRange) {
  for (int i = 0; i < 3; ++i) log_.append(record("x"));
  log_.delete_before(kThings, 2);
  EXPECT_THAT(read(Isolation::kReadCommitted, 1), ElementsAre("lost 1"));
  EXPECT_THAT(read(Isolation::kReadCommitted, 2), ElementsAre("2:x", "end 3"));
  EXPECT_THAT(read(Isolation::kReadCommitted, 4), ElementsAre("lost 4"));
  EXPECT_EQ(log_.watermarks(kThings, Isolation::kReadCommitted)->low, 2);
}

TEST_F(MemoryLogTest, TheSameSeedGivesTheSameFaults) {
  const auto run = [](std::uint64_t seed) {
    ManualClock clock;
    MemoryLogOptions options;
    options.seed = seed;
    options.faults.commit_unknown = 0.3;
    options.faults.commit_aborted = 0.3;
    MemoryLog log(clock, options);
    auto member = *log.join("group", kTopic);
    std::string outcomes;
    for (int i = 0; i < 50; ++i) {
      auto writer = *log.open_producer("a");
      EXPECT_TRUE(writer->begin());
      EXPECT_TRUE(writer->send(record("x")));
      outcomes += static_cast<char>('0' + static_cast<int>(writer->commit({}, *member).outcome));
    }
    return outcomes;
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace voketag::runtime
