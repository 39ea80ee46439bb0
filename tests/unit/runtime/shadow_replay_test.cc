#include "runtime/shadow_replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "events/codec.h"
#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/history.h"
#include "runtime/memory_log.h"
#include "runtime/worker.h"

// A processor whose outputs tell in which order its inputs and timers met, on the simulated
// cluster; and shadows of it, of the same code and of changed code.
namespace voketag::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr const char* kFirst = "batch-requested";
constexpr const char* kSecond = "anchor-requested";
constexpr const char* kTold = "batch-accepted";
constexpr const char* kRang = "batch-completed";

// What can be changed about the code.
struct Code {
  std::string greeting = "hello";
  bool sets_timers = true;
  std::string silent_about;  // a key
};

// Emits for each record the story of its key so far, which the record becomes part of.
class Teller final : public processors::Processor {
 public:
  explicit Teller(Code code = {}) : code_(std::move(code)) {}
  std::string_view name() const override { return "teller"; }
  std::vector<std::string_view> inputs() const override { return {kFirst, kSecond}; }

  void on_record(processors::Context& context, const events::RecordView& record) override {
    const std::string key(record.key.value());
    if (*record.value == "bulky") {
      // With its key it is more than a topic takes, and its value alone is not.
      context.emit_json(kTold, std::string(kTooMany / 2, 'k'), std::string(kTooMany - 1, 'x'));
      return;
    }
    if (*record.value == "bad") context.dead_letter("bad", "it says so");
    if (*record.value == "later" && code_.sets_timers) {
      context.set_timer(key, {context.now().ms + 500});
    }
    std::string story = context.store().get("story/" + key).value_or(code_.greeting);
    story += " " + std::string(*record.value);
    context.store().put("story/" + key, story);
    if (key == code_.silent_about) return;
    context.emit_json(kTold, key, "{\"story\":\"" + story + "\"}");
  }

  void on_timer(processors::Context& context, std::string_view name) override {
    std::string story = context.store().get("story/" + std::string(name)).value_or("") + " ring";
    context.store().put("story/" + std::string(name), story);
    context.emit_json(kRang, name, "{\"story\":\"" + story + "\"}");
  }

 private:
  static constexpr std::size_t kTooMany = static_cast<std::size_t>(events::kInputBytesMax) + 1;
  const Code code_;
};

class ShadowReplayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("voketag-shadows-" + std::to_string(::getpid()));
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_ / "scratch");
  }
  void TearDown() override {
    end();
    std::filesystem::remove_all(directory_);
  }

  // Returns when it has claimed its partitions.
  void start(const std::string& instance, const std::string& configuration = "{\"version\":1}") {
    auto opened = state::Database::open(directory_ / instance);
    ASSERT_TRUE(opened) << opened.error().message;
    database_ = *std::move(opened);
    WorkerOptions options;
    options.group = "teller";
    options.transactional_id = "teller." + instance;
    options.configuration_version = configuration;
    worker_ = std::make_unique<Worker>(log_, *database_, *processor_, clock_, options);
    for (int i = 0; i < 200 && !worker_->settled(); ++i) run();
    ASSERT_TRUE(worker_->settled());
  }
  // A crash, as far as the log can tell.
  void end() {
    worker_.reset();
    database_.reset();
  }
  void run(std::int64_t for_ms = 200) {
    for (std::int64_t ms = 0; ms < for_ms; ms += 10) {
      const auto stepped = worker_->step(0);
      ASSERT_TRUE(stepped) << stepped.error().message;
      const auto restored = worker_->restorer().step(0);
      ASSERT_TRUE(restored) << restored.error().message;
      clock_.advance(10);
    }
  }

  void send(const std::string& topic, const std::string& key, const std::string& value,
            const std::string& id = {}) {
    events::OutputRecord record;
    record.topic = topic;
    record.key = key;
    record.value = value;
    if (!id.empty()) record.headers = {{"ce_id", id}};
    log_.append(record);
  }
  // The two topics, a timer, a dead letter, and pauses that decide what meets in a transaction.
  void send_some() {
    if (!worker_) start("one");
    for (int round = 0; round < 4; ++round) {
      send(kFirst, "a", "first");
      send(kSecond, "a", "second");
      send(kFirst, "b", round == 1 ? "later" : "word");
      if (round == 2) send(kSecond, "c", "bad");
      run(round == 3 ? 1'000 : 150);
    }
  }

  events::Result<ShadowReport> replay(const Code& code = {}, ShadowOptions options = {}) {
    options.scratch = directory_ / "scratch";
    options.configuration_version = "{\"version\":1}";
    Teller shadow(code);
    auto report =
        replay_in_shadow(log_, shadow, options, [](const ShadowProgress&) { return true; });
    EXPECT_TRUE(std::filesystem::is_empty(options.scratch)) << "the state was not thrown away";
    return report;
  }
  ShadowReport replay_well(const Code& code = {}, const ShadowOptions& options = {}) {
    auto report = replay(code, options);
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(ShadowReport{});
  }
  void expect_refused(const events::Result<ShadowReport>& report, events::Errc code,
                      const std::string& message) {
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, code);
    EXPECT_THAT(report.error().message, HasSubstr(message));
  }

  std::vector<TransactionRecord> history() {
    std::vector<TransactionRecord> transactions;
    for (const auto& record : log_.records("teller-commits")) {
      EXPECT_EQ(record.partition, kHistoryPartition);
      auto transaction = events::decode<TransactionRecord>(*record.value);
      EXPECT_TRUE(transaction) << transaction.error().message;
      if (transaction) transactions.push_back(*std::move(transaction));
    }
    return transactions;
  }
  std::int64_t all_outputs() {
    return static_cast<std::int64_t>(log_.records(kTold).size() + log_.records(kRang).size() +
                                     log_.records(events::kDeadLetters).size());
  }

  std::filesystem::path directory_;
  ManualClock clock_;
  MemoryLog log_{clock_};
  std::unique_ptr<Teller> processor_ = std::make_unique<Teller>();
  std::unique_ptr<state::Database> database_;
  std::unique_ptr<Worker> worker_;
};

// ---- the history --------------------------------------------------------------------------------

TEST_F(ShadowReplayTest, EachTransactionIsOneRecordThatNamesItsTasksInOrder) {
  start("one");
  send(kFirst, "a", "first");
  run();
  send(kSecond, "a", "second");
  send(kFirst, "b", "later");
  run(1'000);
  std::map<std::int64_t, std::vector<std::int64_t>> sequences;
  int claims = 0;
  for (const auto& transaction : history()) {
    for (const auto& task : transaction.tasks) {
      sequences[task.partition].push_back(task.sequence);
      claims += task.positions ? 1 : 0;
      EXPECT_NE(task.positions.has_value(), !task.work.empty()) << "either a claim or work";
    }
  }
  EXPECT_EQ(claims, events::kPartitionCount);
  EXPECT_THAT(sequences[events::partition_for("a")], ElementsAre(1, 2, 3));
  EXPECT_THAT(sequences[events::partition_for("b")], ElementsAre(1, 2, 3)) << "its timer";
  EXPECT_THAT(history().back().emitted_to, ElementsAre(kRang));
  EXPECT_EQ(history().back().tasks.front().work.front().timer, "b");
  // The changelog says where it stands, and no more.
  for (const auto& record : log_.records("teller-changelog")) {
    if (record.key != kCommitKey) continue;
    const auto commit = events::decode<CommitRecord>(*record.value);
    ASSERT_TRUE(commit);
    EXPECT_TRUE(commit->sequence);
    EXPECT_THAT(commit->work, IsEmpty());
  }
}

TEST_F(ShadowReplayTest, WhatWasAbortedIsNotInTheHistoryAndTheCountGoesOnOverOwners) {
  start("one");
  log_.script_commit("teller.one", CommitOutcome::kAborted);
  send(kFirst, "a", "first");
  run();
  end();
  start("two");
  send(kFirst, "a", "second");
  run();
  std::vector<std::int64_t> sequences;
  for (const auto& transaction : history()) {
    for (const auto& task : transaction.tasks) {
      if (task.partition == events::partition_for("a")) sequences.push_back(task.sequence);
    }
  }
  EXPECT_THAT(sequences, ElementsAre(1, 2, 2, 3)) << "claim, work, the second one's claim, work";
  EXPECT_TRUE(replay_well().is_equal());
}

// The answer to a claim was lost, so it is made again: nothing has been done twice.
TEST_F(ShadowReplayTest, AClaimThatIsMadeAgainIsNoSecondTransaction) {
  log_.script_commit("teller.one", CommitOutcome::kUnknown, true);
  start("one");
  int claims = 0;
  for (const auto& transaction : history()) {
    for (const auto& task : transaction.tasks) {
      EXPECT_EQ(task.sequence, kFirstSequence);
      ++claims;
    }
  }
  EXPECT_EQ(claims, 2 * events::kPartitionCount);
  send_some();
  EXPECT_TRUE(replay_well().is_equal());
}

// ---- the same code ------------------------------------------------------------------------------

TEST_F(ShadowReplayTest, TheSameCodeEmitsTheSameBytes) {
  send_some();
  const auto report = replay_well();
  EXPECT_TRUE(report.is_equal());
  EXPECT_EQ(report.equal, all_outputs());
  EXPECT_EQ(report.records, 13);
  EXPECT_EQ(report.timers, 1);
  EXPECT_EQ(report.extra, 0);
  EXPECT_THAT(report.configurations, SizeIs(1));
}

// In which order the records of two topics met decides what came of them: what the log alone, read
// topic by topic, does not tell.
TEST_F(ShadowReplayTest, RecordsOfSeveralTopicsMeetAsTheyMetThen) {
  start("one");
  for (const char* topic : {kSecond, kFirst, kFirst, kSecond, kFirst}) {
    send(topic, "a", topic);
    run(100);
  }
  ASSERT_THAT(*log_.records(kTold).back().value,
              HasSubstr("hello anchor-requested batch-requested batch-requested anchor-requested "
                        "batch-requested"));
  EXPECT_TRUE(replay_well().is_equal());
}

// A request that came twice, into two partitions, under one id: two outputs of one id.
TEST_F(ShadowReplayTest, SeveralOutputsOfOneIdAreHeldAgainstEachOtherAsASet) {
  start("one");
  send(kFirst, "a", "word", "the-same-id");
  send(kFirst, "b", "word", "the-same-id");
  send(kFirst, "a", "word", "the-same-id");
  run();
  std::set<std::string> ids;
  for (const auto& record : log_.records(kTold)) ids.insert(record.header("ce_id").value());
  ASSERT_THAT(ids, SizeIs(1));
  const auto report = replay_well();
  EXPECT_TRUE(report.is_equal());
  EXPECT_EQ(report.equal, 3);
}

// No handler's doing: the history has it, so that the shadow does not run into it.
TEST_F(ShadowReplayTest, ARecordThatWasSetAsideIsSetAsideAgain) {
  send_some();
  send(kFirst, "d", "bulky");
  run();
  std::vector<std::string> reasons;
  for (const auto& letter : log_.records(events::kDeadLetters)) {
    reasons.push_back(letter.header("dead_letter_reason").value());
  }
  ASSERT_THAT(reasons, UnorderedElementsAre("bad", "output_refused"));
  send(kFirst, "d", "word");
  run();
  EXPECT_TRUE(replay_well().is_equal());
}

// `voketag dlq retry` sends a record as it was: whoever emitted it did so once.
TEST_F(ShadowReplayTest, WhatWasSentAgainByHandIsNobodysOutput) {
  send_some();
  const auto emitted = log_.records(kTold).front();
  events::OutputRecord again{kTold, emitted.partition, emitted.key, emitted.value, emitted.headers};
  again.headers.emplace_back("retry_of", "dead-letters/0/0");
  log_.append(again);
  EXPECT_TRUE(replay_well().is_equal());
  again.headers.pop_back();
  log_.append(again);
  EXPECT_EQ(replay_well().extra, 1);
}

// ---- changed code -------------------------------------------------------------------------------

TEST_F(ShadowReplayTest, OtherBytesAreFoundAndShown) {
  send_some();
  const auto report = replay_well({.greeting = "good morning"});
  EXPECT_FALSE(report.is_equal());
  EXPECT_EQ(report.different, all_outputs() - 1) << "all but the dead letter";
  EXPECT_EQ(report.equal, 1);
  EXPECT_EQ(report.missing, 0);
  EXPECT_EQ(report.extra, 0);
  ASSERT_FALSE(report.differences.empty());
  const auto& first = report.differences.front();
  EXPECT_EQ(first.kind, OutputDifferenceKind::kDifferent);
  EXPECT_TRUE(first.offset);
  EXPECT_THAT(first.detail, HasSubstr("value from byte 10 on: then 'hello"));
  EXPECT_THAT(first.detail, HasSubstr("now 'good morning"));
}

TEST_F(ShadowReplayTest, WhatIsEmittedNoMoreIsExtra) {
  send_some();
  const auto report = replay_well({.silent_about = "c"});
  EXPECT_EQ(report.extra, 1);
  EXPECT_EQ(report.different + report.missing, 0);
  ASSERT_THAT(report.differences, SizeIs(1));
  EXPECT_EQ(report.differences.front().kind, OutputDifferenceKind::kExtra);
  EXPECT_EQ(report.differences.front().topic, kTold);
  EXPECT_TRUE(report.differences.front().offset);
  EXPECT_FALSE(report.is_equal());
}

TEST_F(ShadowReplayTest, WhatIsEmittedNowAloneIsMissing) {
  processor_ = std::make_unique<Teller>(Code{.silent_about = "c"});
  send_some();
  const auto report = replay_well();
  EXPECT_EQ(report.missing, 1);
  EXPECT_EQ(report.different + report.extra.value(), 0);
  ASSERT_THAT(report.differences, SizeIs(1));
  EXPECT_EQ(report.differences.front().kind, OutputDifferenceKind::kMissing);
  EXPECT_THAT(report.differences.front().detail, HasSubstr("hello bad"));
}

TEST_F(ShadowReplayTest, ATimerThatIsNotSetNowIsADifference) {
  send_some();
  const auto report = replay_well({.sets_timers = false});
  EXPECT_EQ(report.unset_timers, 1);
  ASSERT_THAT(report.unset_timers_shown, SizeIs(1));
  EXPECT_EQ(report.unset_timers_shown.front().name, "b");
  EXPECT_EQ(report.unset_timers_shown.front().partition, events::partition_for("b"));
  EXPECT_FALSE(report.is_equal());
}

TEST_F(ShadowReplayTest, AChangeOfConfigurationIsSeen) {
  send_some();
  end();
  start("one", "{\"version\":2}");
  send_some();
  const auto report = replay_well();
  EXPECT_TRUE(report.is_equal());
  ASSERT_THAT(report.configurations, SizeIs(2));
  EXPECT_GT(report.configurations.at("{\"version\":1}"), 0);
  EXPECT_GT(report.configurations.at("{\"version\":2}"), 0);
}

// ---- where it begins ----------------------------------------------------------------------------

// Outputs of other partitions lie in the same topics: which of them are too many, nobody can tell.
TEST_F(ShadowReplayTest, OfOnePartitionWhatIsExtraIsNotTold) {
  send_some();
  const auto report = replay_well({}, {.partition = events::partition_for("b")});
  EXPECT_TRUE(report.is_equal());
  EXPECT_EQ(report.equal, 5) << "four words and a ring";
  EXPECT_FALSE(report.extra);
  EXPECT_THAT(report.partitions, SizeIs(1));
}

TEST_F(ShadowReplayTest, AHistoryThatDoesNotReachBackNeedsAStateToBeginAt) {
  send_some();
  end();
  std::filesystem::copy(directory_ / "one", directory_ / "copy",
                        std::filesystem::copy_options::recursive);
  const auto marks = log_.watermarks({"teller-commits", 0}, Isolation::kReadCommitted);
  start("one");
  send_some();
  log_.delete_before({"teller-commits", 0}, marks->high);
  expect_refused(replay(), events::Errc::kInvalid,
                 "Begin at a checkpoint of the state with --state");

  auto state = state::Database::open(directory_ / "copy");
  ASSERT_TRUE(state) << state.error().message;
  const auto report = replay_well({}, {.state = state->get()});
  EXPECT_TRUE(report.is_equal());
  EXPECT_EQ(report.records, 13);
  EXPECT_FALSE(report.extra);
  EXPECT_TRUE(report.partitions.front().from_state);
  // The stories go on from those in the state: how one begins is not asked.
  EXPECT_TRUE(replay_well({.greeting = "unused"}, {.state = state->get()}).is_equal());
}

TEST_F(ShadowReplayTest, AStateThatIsOlderThanTheHistoryIsRefused) {
  start("one");
  end();
  std::filesystem::copy(directory_ / "one", directory_ / "copy",
                        std::filesystem::copy_options::recursive);
  start("one");
  send_some();
  const auto marks = log_.watermarks({"teller-commits", 0}, Isolation::kReadCommitted);
  send_some();
  log_.delete_before({"teller-commits", 0}, marks->high);
  auto state = state::Database::open(directory_ / "copy");
  ASSERT_TRUE(state) << state.error().message;
  expect_refused(replay({}, {.state = state->get()}), events::Errc::kInvalid,
                 "has a state that stands before transaction");
}

// Commit records of before have no number, and their transactions are in no history.
TEST_F(ShadowReplayTest, ProgramsThatKeptNoHistoryLeaveAGapThatIsSeen) {
  const std::int32_t partition = events::partition_for("a");
  send(kFirst, "a", "unrecorded");
  log_.append({"teller-changelog",
               partition,
               std::string(kCommitKey),
               R"({"positions":[{"topic":"batch-requested","next_offset":1},)"
               R"({"topic":"anchor-requested","next_offset":0}],"work":[{"topic":)"
               R"("batch-requested","from_offset":0,"to_offset":0}],"now_ms":1,)"
               R"("configuration_version":""})",
               {}});
  log_.set_group_offset("teller", {kFirst, partition}, 1);
  log_.set_group_offset("teller", {kSecond, partition}, 0);
  send_some();
  ASSERT_FALSE(log_.records(kTold).empty());
  expect_refused(replay(), events::Errc::kInvalid,
                 "partition " + std::to_string(partition) +
                     " would have to begin at transaction 2, and all are there only from 3 on");
  EXPECT_TRUE(replay_well({}, {.partition = events::partition_for("b")}).is_equal());
}

// ---- what ends it -------------------------------------------------------------------------------

TEST_F(ShadowReplayTest, WithoutAHistoryThereIsNothingToReplay) {
  expect_refused(replay(), events::Errc::kInvalid, "there is no history of teller");
}

TEST_F(ShadowReplayTest, AStateAtTheEndOfTheHistoryLeavesNothingToCompare) {
  send_some();
  end();
  auto state = state::Database::open(directory_ / "one");
  ASSERT_TRUE(state) << state.error().message;
  const auto report = replay_well({.greeting = "other"}, {.state = state->get()});
  EXPECT_TRUE(report.is_empty());
  EXPECT_FALSE(report.is_equal()) << "nothing was compared";
}

TEST_F(ShadowReplayTest, AnInputThatWasDeletedIsNamed) {
  send_some();
  const std::int32_t partition = events::partition_for("a");
  log_.delete_before({kSecond, partition}, 2);
  expect_refused(replay(), events::Errc::kNotFound,
                 "anchor-requested partition " + std::to_string(partition) + " offset 0");
}

TEST_F(ShadowReplayTest, EndsWhenItIsToldTo) {
  send_some();
  Teller shadow;
  const auto report =
      replay_in_shadow(log_, shadow, {.scratch = directory_ / "scratch"},
                       [](const ShadowProgress& progress) { return progress.stage != "shadow"; });
  expect_refused(report, events::Errc::kConflict, "ended before everything was compared");
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "scratch"));
}

// It reads, and that is all.
TEST_F(ShadowReplayTest, TouchesNothing) {
  send_some();
  std::map<std::string, std::size_t> before;
  for (const auto& topic : log_.topics()) before[topic] = log_.records(topic).size();
  const auto generation = log_.generation("teller");
  const auto epoch = log_.epoch("teller.one");
  replay_well({.greeting = "other"});
  for (const auto& [topic, count] : before) EXPECT_EQ(log_.records(topic).size(), count) << topic;
  EXPECT_EQ(log_.generation("teller"), generation);
  EXPECT_EQ(log_.epoch("teller.one"), epoch);
}

}  // namespace
}  // namespace voketag::runtime
