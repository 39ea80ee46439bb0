#include "runtime/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/memory_log.h"
#include "runtime/position.h"

// The engine on the simulated cluster, with a processor so small that every effect is plain.
namespace voketag::runtime {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kWords = "words";
constexpr const char* kMoreWords = "more-words";

// Counts the records of each key and emits each count. What else it does, the value says.
class Counter final : public processors::Processor {
 public:
  std::string_view name() const override { return "counter"; }
  std::vector<std::string_view> inputs() const override { return {kWords, kMoreWords}; }

  void on_record(processors::Context& context, const events::RecordView& record) override {
    ++handled;
    const std::string key(record.key.value_or("none"));
    const std::string value(record.value.value_or(""));
    if (value == "die") throw SimulatedCrash{};
    count(context, key);
    if (value == "throw") throw std::runtime_error("no such word");
    if (value == "refuse") context.dead_letter("impolite", "say please");
    if (value == "corrupt") throw state::Failure("the disk is broken");
    if (value == "bulky") context.store().put("bulk", std::string(kTooMany, 'x'));
    if (value == "refused") {
      context.emit_json("counts", std::string(kTooMany / 2, 'k'), std::string(kTooMany - 1, '1'));
    }
    if (value == "later") context.set_timer(key, {context.now().ms + 5'000});
  }

  void on_timer(processors::Context& context, std::string_view name) override {
    context.emit_json("rings", name, R"({"at":)" + std::to_string(context.now().ms) + "}");
    if (timers_repeat) context.set_timer(name, {context.now().ms + 5'000});
    if (timers_throw) throw std::runtime_error("no bell");
  }

  int handled = 0;
  bool timers_throw = false;
  bool timers_repeat = false;

 private:
  // One more than the state or the value of an event may have.
  static constexpr std::size_t kTooMany = static_cast<std::size_t>(events::kInputBytesMax) + 1;

  static void count(processors::Context& context, const std::string& key) {
    const auto before = context.store().get("count/" + key);
    const std::string now = std::to_string(before ? std::stoi(*before) + 1 : 1);
    context.store().put("count/" + key, now);
    context.emit_json("counts", key, now);
  }
};

// What is logged while it lives, in place of what would be shown.
class LogCapture {
 public:
  LogCapture() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(text_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
  }
  ~LogCapture() { spdlog::set_default_logger(before_); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  // The messages of a level ("info", "warning").
  std::vector<std::string> messages(const std::string& level) const {
    std::vector<std::string> found;
    std::istringstream lines(text_.str());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(level + " ")) found.push_back(line.substr(level.size() + 1));
    }
    return found;
  }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

// One process: a state directory, and a worker while it lives.
class Instance {
 public:
  Instance(MemoryLog& log, const Clock& clock, std::filesystem::path directory, std::string name)
      : log_(&log), clock_(clock), directory_(std::move(directory)), id_("counter." + name) {
    start();
  }

  void start() {
    auto opened = state::Database::open(directory_);
    ASSERT_TRUE(opened) << opened.error().message;
    database_ = *std::move(opened);
    WorkerOptions options;
    options.group = "counter";
    options.transactional_id = id_;
    options.crash_marker_file = directory_ / "handling";
    if (remembers_membership) options.member_file = directory_ / "member";
    options.transaction_bytes_max = transaction_bytes_max;
    worker_ = std::make_unique<Worker>(*log_, *database_, processor, clock_, options);
  }
  void crash() {
    worker_.reset();
    database_.reset();
  }
  bool alive() const { return worker_ != nullptr; }
  void restart() {
    crash();
    start();
  }
  void move_to(MemoryLog& log) { log_ = &log; }

  // One step of worker and restorer; a simulated crash ends the instance.
  events::Status step() {
    if (!alive()) return {};
    try {
      if (auto status = worker_->step(0); !status) return status;
      return worker_->restorer().step(0);
    } catch (const SimulatedCrash&) {
      crash();
      return {};
    }
  }

  Worker& worker() { return *worker_; }
  const std::string& id() const { return id_; }
  const std::filesystem::path& directory() const { return directory_; }
  std::optional<std::string> state_of(const std::string& key) {
    return database_->open_partition("counter", events::partition_for(key))->get("count/" + key);
  }

  StorePosition position_of(const std::string& key) {
    return *read_store_position(*database_->open_partition("counter", events::partition_for(key)));
  }

  Counter processor;
  std::size_t transaction_bytes_max = 16U << 20;  // from the next start on
  bool remembers_membership = false;              // the same

 private:
  MemoryLog* log_;
  const Clock& clock_;
  const std::filesystem::path directory_;
  const std::string id_;
  std::unique_ptr<state::Database> database_;
  std::unique_ptr<Worker> worker_;
};

class WorkerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("voketag-worker-" + std::to_string(::getpid()));
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override {
    instances_.clear();
    std::filesystem::remove_all(directory_);
  }

  Instance& start(const std::string& name) {
    instances_.push_back(std::make_unique<Instance>(log_, machine_, directory_ / name, name));
    return *instances_.back();
  }

  void send(const std::string& key, const std::string& value = "word",
            const std::string& topic = kWords) {
    events::OutputRecord record;
    record.topic = topic;
    record.key = key;
    record.value = value;
    record.headers = {{"from", "test"}};
    log_.append(record);
  }

  // Steps all instances in turn while time passes.
  void run(std::int64_t for_ms = 1'000) {
    for (std::int64_t ms = 0; ms < for_ms; ms += 10) {
      for (auto& instance : instances_) {
        const auto status = instance->step();
        ASSERT_TRUE(status) << status.error().message;
      }
      clock_.advance(10);
    }
  }
  // The same for one instance, the others standing still.
  void run_only(Instance& instance, std::int64_t for_ms = 1'000) {
    for (std::int64_t ms = 0; ms < for_ms; ms += 10) {
      const auto status = instance.step();
      ASSERT_TRUE(status) << status.error().message;
      clock_.advance(10);
    }
  }
  // Until an error, which it must come to.
  events::Error run_to_error(Instance& instance) {
    for (int i = 0; i < 1'000; ++i) {
      if (const auto status = instance.step(); !status) return status.error();
      clock_.advance(10);
    }
    ADD_FAILURE() << "there was no error";
    return {};
  }

  // "a1 a2 b1": every count that was emitted, in order of the log, those of a key in order.
  std::vector<std::string> outputs(const std::string& key, const std::string& topic = "counts") {
    std::vector<std::string> values;
    for (const auto& record : log_.records(topic)) {
      if (record.key == key) values.push_back(*record.value);
    }
    return values;
  }
  void expect_counted(const std::string& key, int times) {
    std::vector<std::string> expected;
    for (int i = 1; i <= times; ++i) expected.push_back(std::to_string(i));
    EXPECT_EQ(outputs(key), expected) << "key " << key;
  }
  std::vector<MemoryLog::Record> dead_letters() { return log_.records(events::kDeadLetters); }

  std::filesystem::path directory_;
  ManualClock clock_;  // the brokers'
  MemoryLog log_{clock_};
  DeviatingClock machine_{clock_};  // of the machine that the instances run on
  std::vector<std::unique_ptr<Instance>> instances_;
};

TEST_F(WorkerTest, CountsEachRecordOnce) {
  Instance& one = start("one");
  for (int i = 0; i < 3; ++i) send("a");
  send("b");
  send("b", "word", kMoreWords);
  run();
  expect_counted("a", 3);
  expect_counted("b", 2);
  EXPECT_EQ(one.processor.handled, 5);
  EXPECT_EQ(one.state_of("a"), "3");
}

// ---- crashes ------------------------------------------------------------------------------------

TEST_F(WorkerTest, ACrashBetweenCommitAndStateIsRolledForwardFromTheChangelog) {
  Instance& one = start("one");
  send("a");
  run();
  log_.script_crash(one.id(), true);
  send("a");
  run();
  ASSERT_FALSE(one.alive());
  one.start();
  EXPECT_EQ(one.state_of("a"), "1") << "the state must lag for this test to mean anything";
  send("a");
  run(10'000);
  expect_counted("a", 3);
  EXPECT_EQ(one.state_of("a"), "3");
  EXPECT_EQ(one.processor.handled, 3) << "what was committed is not handled again";
}

TEST_F(WorkerTest, ACrashBeforeTheCommitLeavesNothingAndIsHandledAgain) {
  Instance& one = start("one");
  send("a");
  run();
  log_.script_crash(one.id(), false);
  send("a");
  run();
  ASSERT_FALSE(one.alive());
  one.start();
  run(10'000);
  expect_counted("a", 2);
  EXPECT_EQ(one.processor.handled, 3);
}

TEST_F(WorkerTest, AnOlderCopyOfTheStateIsRolledForward) {
  Instance& one = start("one");
  send("a");
  send("b");
  run();
  one.crash();
  const auto copy = directory_ / "copy";
  std::filesystem::copy(one.directory(), copy, std::filesystem::copy_options::recursive);
  one.start();
  for (int i = 0; i < 4; ++i) send("a");
  run(10'000);
  one.crash();
  std::filesystem::remove_all(one.directory());
  std::filesystem::rename(copy, one.directory());
  one.start();
  EXPECT_EQ(one.state_of("a"), "1");
  send("a");
  run(10'000);
  expect_counted("a", 6);
  EXPECT_EQ(one.state_of("b"), "1");
}

TEST_F(WorkerTest, LostStateIsRebuiltFromACompactedChangelog) {
  Instance& one = start("one");
  for (int i = 0; i < 3; ++i) {
    send("a");
    send("b");
    run(200);
  }
  one.crash();
  std::filesystem::remove_all(one.directory());
  log_.compact("counter-changelog");
  one.start();
  send("a");
  run(10'000);
  expect_counted("a", 4);
  EXPECT_EQ(one.state_of("b"), "3");
  EXPECT_EQ(one.processor.handled, 7);
}

TEST_F(WorkerTest, AStoreAheadOfTheChangelogBelongsToAnotherLogAndIsWiped) {
  Instance& one = start("one");
  for (int i = 0; i < 5; ++i) {
    send("a");
    run(100);
  }
  one.crash();
  MemoryLog other(clock_);
  one.move_to(other);
  one.start();
  EXPECT_EQ(one.state_of("a"), "5");
  events::OutputRecord record;
  record.topic = kWords;
  record.key = "a";
  record.value = "word";
  other.append(record);
  run();
  EXPECT_EQ(one.state_of("a"), "1");
  one.crash();
}

TEST_F(WorkerTest, ARecordThatKillsTheProcessThreeTimesIsSetAside) {
  Instance& one = start("one");
  send("a");
  send("a", "die");
  send("a");
  int deaths = 0;
  for (int i = 0; i < 6'000; ++i) {
    if (!one.alive()) {
      ++deaths;
      one.start();
    }
    ASSERT_TRUE(one.step());
    clock_.advance(10);
  }
  EXPECT_EQ(deaths, 3);
  expect_counted("a", 2);
  ASSERT_EQ(dead_letters().size(), 1U);
  EXPECT_EQ(dead_letters()[0].header("dead_letter_reason"), "killed_the_process");
  EXPECT_EQ(dead_letters()[0].header("dead_letter_offset"), "1");
}

// ---- how transactions end -----------------------------------------------------------------------

TEST_F(WorkerTest, AnAbortedTransactionIsDoneAgain) {
  Instance& one = start("one");
  run();
  log_.script_commit(one.id(), CommitOutcome::kAborted);
  send("a");
  send("a");
  run();
  expect_counted("a", 2);
  EXPECT_EQ(one.processor.handled, 4);
  EXPECT_EQ(one.state_of("a"), "2");
}

TEST_F(WorkerTest, AfterAFatalErrorTheProducerIsReplacedAndTheWorkDoneAgain) {
  Instance& one = start("one");
  run();
  log_.script_commit(one.id(), CommitOutcome::kFatal);
  send("a");
  run();
  expect_counted("a", 1);
  EXPECT_EQ(log_.epoch(one.id()), 2);
}

TEST_F(WorkerTest, AnUnknownOutcomeIsReadBackFromTheLog) {
  for (const bool took_effect : {true, false}) {
    const std::string key = took_effect ? "kept" : "dropped";
    Instance& one = instances_.empty() ? start("one") : *instances_[0];
    run();
    const int handled_before = one.processor.handled;
    log_.script_commit(one.id(), CommitOutcome::kUnknown, took_effect);
    send(key);
    run();
    send(key);
    run();
    expect_counted(key, 2);
    EXPECT_EQ(one.state_of(key), "2");
    EXPECT_EQ(one.processor.handled - handled_before, took_effect ? 2 : 3);
  }
}

// A commit takes effect, its answer is lost, somebody initialises the id for the sake of another
// partition, and the repeated request is refused: to be fenced says nothing about the first one.
TEST_F(WorkerTest, ACommitThatWasAnsweredWithAFenceIsReadBackFromTheLog) {
  for (const bool took_effect : {true, false}) {
    const std::string key = took_effect ? "kept" : "dropped";
    Instance& one = instances_.empty() ? start("one") : *instances_[0];
    run(10'000);  // so that no rebalance is near
    log_.script_commit(one.id(), CommitOutcome::kFenced, took_effect);
    send(key);
    run();
    send(key);
    run();
    expect_counted(key, 2);
    EXPECT_EQ(one.state_of(key), "2");
  }
}

// What was fetched together with the records that are done again must be done as well.
TEST_F(WorkerTest, ATransactionThatFailsInTheMiddleOfABatchLosesNothingOfOtherPartitions) {
  using Outcome = std::pair<CommitOutcome, bool>;
  int round = 0;
  Instance& one = start("one");
  one.transaction_bytes_max = 1;  // a transaction for each record
  one.restart();
  run(10'000);
  for (const auto& [outcome, took_effect] :
       {Outcome{CommitOutcome::kAborted, false}, Outcome{CommitOutcome::kFatal, false},
        Outcome{CommitOutcome::kUnknown, false}, Outcome{CommitOutcome::kUnknown, true}}) {
    ++round;
    log_.script_commit(one.id(), outcome, took_effect);
    for (char key = 'a'; key <= 'h'; ++key) send(std::string(1, key));
    run();
    for (char key = 'a'; key <= 'h'; ++key) expect_counted(std::string(1, key), round);
  }
}

// A repeated request of a slow commit would end the next transaction half way.
TEST_F(WorkerTest, AProducerIsReplacedAfterACommitThatHadTrouble) {
  MemoryLogFaults faults;
  faults.commit_troubled = 1;
  log_.set_faults(faults);
  Instance& one = start("one");
  for (int i = 0; i < 5; ++i) {
    send("a");
    send("b");
    run(100);
  }
  log_.script_commit(one.id(), CommitOutcome::kAborted);
  send("a");
  run();
  expect_counted("a", 6);
  expect_counted("b", 5);
}

TEST_F(WorkerTest, MarkersThatComeLateDelayOnlyTheReader) {
  log_.delay_markers("counter", 300);
  log_.delay_markers("counter-changelog", 150);
  Instance& one = start("one");
  send("a");
  run();
  send("a");
  run(50);
  one.restart();
  send("a");
  run(10'000);
  expect_counted("a", 3);
  EXPECT_EQ(one.processor.handled, 3);
}

// ---- owners come and go -------------------------------------------------------------------------

TEST_F(WorkerTest, ASuccessorFencesTheClaimAndDoesNotWaitForTheTransactionTimeout) {
  Instance& one = start("one");
  send("a");
  run();
  log_.script_crash(one.id(), false);
  send("a");
  run(100);
  ASSERT_FALSE(one.alive());
  const auto died_at = clock_.now().ms;
  Instance& two = start("two");
  while (outputs("a").size() < 2 && clock_.now().ms - died_at < 30'000) run(10);
  EXPECT_LT(clock_.now().ms - died_at, 7'000) << "6 s are the session timeout";
  expect_counted("a", 2);
  EXPECT_EQ(log_.epoch(one.id()), 2);
  EXPECT_EQ(two.state_of("a"), "2");
}

// ---- coming back after a crash ------------------------------------------------------------------

class ReturnTest : public WorkerTest {
 protected:
  // A member that has owned all partitions, has counted one record, and is dead.
  Instance& start_and_crash(const std::string& name) {
    Instance& one = start(name);
    one.remembers_membership = true;
    one.restart();
    run(8'000);
    send("a");
    run();
    one.crash();
    return one;
  }
};

TEST_F(ReturnTest, GoesOnInTheDeadMembersNameBeforeItsGroupHasNoticed) {
  Instance& one = start_and_crash("one");
  const auto generation = log_.generation("counter");
  one.start();
  send("a");
  run(500);
  expect_counted("a", 2);
  EXPECT_EQ(one.worker().active_partitions().size(), 12U);
  EXPECT_EQ(log_.generation("counter"), generation) << "the group has not noticed anything yet";
  run(8'000);
  EXPECT_GT(log_.generation("counter"), generation);
  send("a");
  run(500);
  expect_counted("a", 3);
}

// It is at work all the time, so that its last transaction is open when its time is over.
TEST_F(ReturnTest, ThatTheGroupHandsOutItsPartitionsAnewIsNoWarning) {
  Instance& one = start_and_crash("one");
  const auto generation = log_.generation("counter");
  const LogCapture log;
  one.start();
  int sent = 1;
  while (log_.generation("counter") == generation && sent < 2'000) {
    send("a");
    ++sent;
    run_only(one, 10);
  }
  run();
  expect_counted("a", sent);
  EXPECT_THAT(log.messages("info"), Contains(HasSubstr("hands out its partitions anew")));
  EXPECT_THAT(log.messages("warning"), IsEmpty());
}

TEST_F(ReturnTest, LeavesToOthersWhatTheyHaveTakenOverMeanwhile) {
  Instance& one = start_and_crash("one");
  Instance& heir = start("heir");
  run_only(heir, 8'000);
  send("a");
  run_only(heir, 500);
  ASSERT_EQ(heir.worker().active_partitions().size(), 12U);
  one.start();
  ASSERT_TRUE(one.step());
  EXPECT_EQ(one.worker().active_partitions().size(), 0U);
  run(8'000);
  send("a");
  run();
  expect_counted("a", 3);
  EXPECT_EQ(heir.worker().active_partitions().size(), 6U);
  EXPECT_EQ(one.worker().active_partitions().size(), 6U);
}

// The group decides while a transaction is open in the dead member's name.
TEST_F(ReturnTest, WhatTheGroupNoLongerGrantsComesToNothing) {
  Instance& one = start_and_crash("one");
  one.start();
  run(300);
  ASSERT_EQ(one.worker().active_partitions().size(), 12U);
  Instance& heir = start("heir");
  run_only(heir, 10'000);  // the returned one stands still, and is expelled with its dead self
  ASSERT_EQ(heir.worker().active_partitions().size(), 12U);
  send("a");
  run_only(heir, 500);
  send("a");
  run_only(one, 100);
  run(15'000);
  send("a");
  run();
  expect_counted("a", 4);
}

// The successor finds the claim of the dead member's id, and fences a process that lives.
TEST_F(ReturnTest, CrashesInTurnAreNoFeud) {
  Instance& one = start_and_crash("one");
  Instance& two = start("two");
  two.remembers_membership = true;
  two.restart();
  one.start();
  run(8'000);
  int sent = 1;
  for (int round = 0; round < 12; ++round) {
    Instance& victim = round % 2 == 0 ? one : two;
    send("a");
    ++sent;
    run(30);
    victim.restart();
    run(700 + 900 * (round % 3));
  }
  run(20'000);
  expect_counted("a", sent);
  EXPECT_EQ(one.worker().active_partitions().size() + two.worker().active_partitions().size(), 12U);
}

TEST_F(ReturnTest, AfterAStopInOrderThereIsNothingToGoOnWith) {
  Instance& one = start("one");
  one.remembers_membership = true;
  one.restart();
  run(8'000);
  ASSERT_TRUE(std::filesystem::exists(one.directory() / "member"));
  ASSERT_TRUE(one.worker().stop());
  EXPECT_FALSE(std::filesystem::exists(one.directory() / "member"));
}

TEST_F(WorkerTest, AStopInOrderLeavesNoClaimAndNothingIsReplayed) {
  Instance& one = start("one");
  send("a");
  run();
  send("a");
  ASSERT_TRUE(one.step());
  ASSERT_TRUE(one.worker().stop());
  one.crash();
  Instance& two = start("two");
  send("a");
  run(1'000);
  expect_counted("a", 3);
  EXPECT_EQ(log_.epoch(one.id()), 1) << "nobody was there to be fenced";
  EXPECT_EQ(one.processor.handled + two.processor.handled, 3);
}

TEST_F(WorkerTest, AStopInOrderLeavesNoClaimEvenOfAWorkerThatWasFenced) {
  Instance& one = start("one");
  send("a");
  run();
  ASSERT_TRUE(log_.open_producer(one.id())) << "somebody finds an old claim, and fences";
  ASSERT_TRUE(one.worker().stop());
  one.crash();
  const auto epoch = log_.epoch(one.id());
  start("two");
  send("a");
  run(1'000);
  expect_counted("a", 2);
  EXPECT_EQ(log_.epoch(one.id()), epoch) << "nobody was there to be fenced";
}

TEST_F(WorkerTest, PartitionsMoveBetweenWorkersWithoutLossOrRepetition) {
  const auto send_all = [&] {
    for (char key = 'a'; key <= 'z'; ++key) send(std::string(1, key));
  };
  Instance& one = start("one");
  send_all();
  run(500);
  Instance& two = start("two");
  send_all();
  run(1'000);
  EXPECT_EQ(one.worker().active_partitions().size(), 6U);
  EXPECT_EQ(two.worker().active_partitions().size(), 6U);
  send_all();
  run(500);
  ASSERT_TRUE(two.worker().stop());
  two.crash();
  send_all();
  run(1'000);
  EXPECT_EQ(one.worker().active_partitions().size(), 12U);
  for (char key = 'a'; key <= 'z'; ++key) expect_counted(std::string(1, key), 4);
  EXPECT_EQ(one.processor.handled + two.processor.handled, 4 * 26);
  EXPECT_EQ(log_.epoch(one.id()), 1);
  EXPECT_EQ(log_.epoch(two.id()), 1);
}

TEST_F(WorkerTest, AZombieChangesNothing) {
  Instance& zombie = start("zombie");
  send("a");
  run();
  send("a");
  ASSERT_TRUE(zombie.step());  // has handled it, has not committed
  Instance& heir = start("heir");
  run_only(heir, 8'000);
  send("a");
  run_only(heir, 500);
  expect_counted("a", 3);
  run(5'000);
  send("a");
  run(15'000);
  expect_counted("a", 4);
  EXPECT_EQ(zombie.worker().active_partitions().size(), 6U) << "it has joined anew";
}

// It stands still between a release of unknown outcome and the next attempt, until others own the
// partitions; its producer is then a new one, and the group alone can tell that it comes too late.
TEST_F(WorkerTest, AReleaseThatComesTooLateDoesNotEraseTheSuccessorsClaim) {
  Instance& late = start("late");
  run();
  Instance& heir = start("heir");
  log_.script_commit(late.id(), CommitOutcome::kUnknown);
  log_.set_faults({.paused = 1});
  int calls = 0;
  log_.on_pause([&] {
    constexpr int kOpensAnotherProducer = 3;  // after two within the commit
    if (++calls == kOpensAnotherProducer) run_only(heir, 10'000);
  });
  for (int i = 0; i < 100 && calls == 0; ++i) {
    ASSERT_TRUE(heir.step());
    calls = 0;
    ASSERT_TRUE(late.step());
    clock_.advance(10);
  }
  log_.set_faults({});
  ASSERT_GT(calls, 0);
  ASSERT_EQ(heir.worker().active_partitions().size(), 12U);
  std::map<std::int32_t, std::string> claims;
  for (const auto& record : log_.records("counter-changelog")) {
    if (record.key == kClaimKey) claims[record.partition] = record.value.value_or("(erased)");
  }
  for (const auto& [partition, claim] : claims) {
    EXPECT_THAT(claim, HasSubstr(heir.id())) << "partition " << partition;
  }
}

// It is told that it lost its partitions, finds that its producer was ended with the transaction,
// and is given partitions anew, all in one breath.
TEST_F(WorkerTest, AWorkerThatWasExpelledAndFencedStaysAMemberAndBeginsAnew) {
  Instance& one = start("one");
  send("a");
  run();
  send("a");
  ASSERT_TRUE(one.step());
  clock_.advance(20'000);  // beyond session and transaction timeout
  ASSERT_TRUE(one.step());
  EXPECT_THAT(one.worker().active_partitions(), IsEmpty()) << "nothing is kept over a loss";
  run(1'000);
  EXPECT_EQ(one.worker().active_partitions().size(), 12U);
  expect_counted("a", 2);
}

TEST_F(WorkerTest, TwoProcessesOfOneNameEndInAnErrorThatNamesTheCause) {
  Instance& one = start("same");
  run();
  instances_.push_back(std::make_unique<Instance>(log_, clock_, directory_ / "other", "same"));
  Instance& two = *instances_.back();
  events::Status status;
  for (int i = 0; i < 30'000 && status; ++i) {
    for (char key = 'a'; i % 50 == 0 && key <= 'z'; ++key) send(std::string(1, key));
    for (Instance* instance : {&one, &two}) {
      if (status) status = instance->step();
    }
    clock_.advance(10);
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, events::Errc::kFenced);
  EXPECT_THAT(status.error().message, HasSubstr("VOKETAG_INSTANCE"));
}

// ---- what a handler may do wrong ----------------------------------------------------------------

TEST_F(WorkerTest, AHandlerThatThrowsThreeTimesCostsItsOwnRecordOnly) {
  Instance& one = start("one");
  send("a");
  send("a", "throw");
  send("a");
  run();
  expect_counted("a", 2);
  EXPECT_EQ(one.processor.handled, 2 + kHandlerAttempts);
  EXPECT_EQ(one.state_of("a"), "2") << "what it wrote before it threw is taken back";
  ASSERT_EQ(dead_letters().size(), 1U);
  EXPECT_EQ(dead_letters()[0].header("dead_letter_reason"), "handler_failed");
  EXPECT_THAT(*dead_letters()[0].header("dead_letter_detail"), HasSubstr("no such word"));
}

TEST_F(WorkerTest, AStateThatIsTooLargeCostsItsOwnRecordOnly) {
  Instance& one = start("one");
  send("a");
  send("a", "bulky");
  send("a");
  run();
  expect_counted("a", 2);
  EXPECT_EQ(one.processor.handled, 3) << "it would be as large the next time";
  EXPECT_EQ(one.state_of("a"), "2") << "what else it wrote is taken back";
  ASSERT_EQ(dead_letters().size(), 1U);
  EXPECT_EQ(dead_letters()[0].value, "bulky");
  EXPECT_EQ(dead_letters()[0].header("dead_letter_reason"), "state_too_large");
  EXPECT_THAT(*dead_letters()[0].header("dead_letter_detail"), HasSubstr("the state of bulk "));
}

TEST_F(WorkerTest, AnOutputThatTheLogRefusesCostsItsOwnRecordOnly) {
  Instance& one = start("one");
  run();
  const LogCapture log;
  send("a");
  send("a", "refused");
  send("a");
  run();
  expect_counted("a", 2);
  EXPECT_EQ(one.state_of("a"), "2") << "what else it wrote is taken back";
  ASSERT_EQ(dead_letters().size(), 1U);
  EXPECT_EQ(dead_letters()[0].value, "refused");
  EXPECT_EQ(dead_letters()[0].header("dead_letter_reason"), "output_refused");
  EXPECT_THAT(*dead_letters()[0].header("dead_letter_detail"), HasSubstr("larger than its topic"));
  // The transaction was aborted once, for a reason that is said once.
  EXPECT_THAT(log.messages("warning"),
              ElementsAre(HasSubstr("aborts its transaction: the record is larger")));
}

TEST_F(WorkerTest, ADeadLetterKeepsTheRecordAndSaysWhereItCameFrom) {
  start("one");
  send("a");
  send("a", "refuse");
  run();
  expect_counted("a", 2);  // what else the handler did stands
  ASSERT_EQ(dead_letters().size(), 1U);
  const auto letter = dead_letters()[0];
  EXPECT_EQ(letter.key, "a");
  EXPECT_EQ(letter.value, "refuse");
  EXPECT_EQ(letter.header("dead_letter_reason"), "impolite");
  EXPECT_EQ(letter.header("dead_letter_detail"), "say please");
  EXPECT_EQ(letter.header("dead_letter_processor"), "counter");
  EXPECT_EQ(letter.header("dead_letter_topic"), kWords);
  EXPECT_EQ(letter.header("dead_letter_partition"), std::to_string(events::partition_for("a")));
  EXPECT_EQ(letter.header("dead_letter_offset"), "1");
  EXPECT_EQ(letter.header("original_from"), "test");
}

// ---- timers -------------------------------------------------------------------------------------

TEST_F(WorkerTest, ATimerFiresOnceAcrossACrash) {
  Instance& one = start("one");
  const auto due_ms = clock_.now().ms + 5'000;
  send("a", "later");
  run();
  one.crash();
  std::filesystem::remove_all(one.directory());
  one.start();
  run(3'000);
  EXPECT_THAT(outputs("a", "rings"), IsEmpty());
  run(10'000);
  ASSERT_EQ(outputs("a", "rings").size(), 1U);
  EXPECT_GE(outputs("a", "rings")[0], "{\"at\":" + std::to_string(due_ms) + "}");
  one.restart();
  run(10'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

TEST_F(WorkerTest, ATimerThatSetsItselfAgainFiresOnceAfterADayWithoutAProcess) {
  Instance& one = start("one");
  one.processor.timers_repeat = true;
  send("a", "later");
  run();
  one.crash();
  clock_.advance(24LL * 3'600'000);
  one.start();
  run(3'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

// Such a transaction moves no offsets: that they agree does not prove that it was read.
TEST_F(WorkerTest, ATransactionOfTimersAloneIsNotOverlookedByTheSuccessor) {
  Instance& one = start("one");
  send("a", "later");
  run(2'000);
  log_.delay_markers("counter-changelog", 400);
  run(3'000);  // the timer is due at 5 s
  for (int i = 0; i < 200 && outputs("a", "rings").empty(); ++i) run(10);
  ASSERT_EQ(outputs("a", "rings").size(), 1U);
  one.restart();  // its last marker is still on the way to the changelog
  run(10'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

// What the answer to a commit says is as old as the question: since then the partition may have
// become another's, with tombstones that the changelog has dropped again.
TEST_F(WorkerTest, AProcessThatStoodStillInACommitDoesNotCallItsStoreYoung) {
  Instance& one = start("one");
  send("a");
  run();
  send("a");
  const auto asked_at_ms = clock_.now().ms;
  int places = 0;  // the third is behind the decision
  log_.on_pause([&] {
    if (++places == 3) clock_.advance(8LL * 24 * 3'600'000);
  });
  log_.set_faults({.paused = 1});
  for (int i = 0; i < 100 && places < 3; ++i) {
    ASSERT_TRUE(one.step());
    if (places < 3) clock_.advance(10);
  }
  ASSERT_EQ(places, 3);
  EXPECT_LE(one.position_of("a").agreed_at_ms, asked_at_ms + 1000);
  expect_counted("a", 2);
}

TEST_F(WorkerTest, AStateThatCannotBeReadMakesNoDeadLetters) {
  Instance& one = start("one");
  send("a", "corrupt");
  for (std::uint32_t start = 0; start <= CrashMarker::kDeathsMax; ++start) {
    EXPECT_THROW(
        {
          for (int i = 0; i < 10'000; ++i) {
            (void)one.step();
            clock_.advance(10);
          }
        },
        state::Failure);
    one.restart();
  }
  EXPECT_TRUE(dead_letters().empty());
}

TEST_F(WorkerTest, ATimerWhoseTransactionIsAbortedFiresAgain) {
  Instance& one = start("one");
  send("a", "later");
  run();
  log_.script_commit(one.id(), CommitOutcome::kAborted);
  run(10'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

// ---- the time of day is set ---------------------------------------------------------------------

constexpr std::int64_t kThreeHoursMs = 3 * 3'600'000;

class TimeOfDayTest : public WorkerTest, public ::testing::WithParamInterface<std::int64_t> {
 protected:
  void set_time_of_day() { machine_.set_ahead(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(BackAndForward, TimeOfDayTest,
                         ::testing::Values(-kThreeHoursMs, kThreeHoursMs),
                         [](const auto& ahead) { return ahead.param < 0 ? "Back" : "Forward"; });

TEST_P(TimeOfDayTest, ATimerFiresWhenItWasMeantTo) {
  Instance& one = start("one");
  const auto due_ms = clock_.now().ms + 5'000;
  send("a", "later");
  run();
  set_time_of_day();
  run(3'000);
  EXPECT_THAT(outputs("a", "rings"), IsEmpty());
  run(2'000);
  EXPECT_THAT(outputs("a", "rings"), ElementsAre("{\"at\":" + std::to_string(due_ms) + "}"));
  machine_.set_ahead(0);
  run(10'000);
  one.restart();
  run(10'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

// Of the records that its timers came from it reads none again: its claim tells what time it is.
TEST_P(TimeOfDayTest, ATimerFiresWhenItWasMeantToAfterARestart) {
  Instance& one = start("one");
  send("a", "later");
  run();
  ASSERT_TRUE(one.worker().stop());
  one.crash();
  set_time_of_day();
  one.start();
  run(3'000);
  EXPECT_THAT(outputs("a", "rings"), IsEmpty());
  run(2'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

TEST_P(TimeOfDayTest, ATimerThatWasMissedFiresAtOnce) {
  Instance& one = start("one");
  send("a", "later");
  run();
  one.crash();
  clock_.advance(3'600'000);
  set_time_of_day();
  one.start();
  run();
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

TEST_P(TimeOfDayTest, WhatWaitsForAnotherTryWaitsNoLonger) {
  Instance& one = start("one");
  run();
  log_.script_commit(one.id(), CommitOutcome::kFenced);  // the producer is opened after a pause
  send("a");
  run(50);
  set_time_of_day();
  run(2'000);
  expect_counted("a", 1);

  MemoryLogFaults faults;
  faults.membership_failed = 1;
  log_.set_faults(faults);
  run(50);
  ASSERT_FALSE(one.worker().connected());
  log_.set_faults({});
  machine_.set_ahead(0);
  run(500);
  EXPECT_FALSE(one.worker().connected()) << "nor less long";
  run(5'000);
  send("a");
  run(2'000);
  expect_counted("a", 2);
}

// A busy transaction stays open for a while, for more of what is on its way.
TEST_P(TimeOfDayTest, AnOpenTransactionIsCommittedInTime) {
  Instance& one = start("one");
  run();
  for (int i = 0; i < 200; ++i) send("a");
  run(20);
  for (int i = 0; i < 200; ++i) send("a");
  ASSERT_TRUE(one.step());
  set_time_of_day();
  run(200);
  expect_counted("a", 400);
}

TEST_P(TimeOfDayTest, ARestoreGoesOn) {
  Instance& one = start("one");
  send("a");
  run();
  one.crash();
  std::filesystem::remove_all(one.directory());
  one.start();
  log_.delay_markers("counter-changelog", 300);
  for (int i = 0; i < 50; ++i) {
    machine_.set_ahead(i % 2 == 0 ? GetParam() : 0);
    run(50);
  }
  send("a");
  run(10'000);
  expect_counted("a", 2);
}

TEST_F(WorkerTest, ATimerThatThrowsIsTriedAgainAndHoldsNothingUp) {
  LogCapture log;
  Instance& one = start("one");
  one.processor.timers_throw = true;
  send("a", "later");
  run(10'000);
  send("b");
  run(1'000);
  expect_counted("b", 1);
  EXPECT_THAT(outputs("a", "rings"), IsEmpty());
  EXPECT_THAT(log.messages("error"), ElementsAre(HasSubstr("3 times: no bell")));
  one.restart();
  run(40'000);
  EXPECT_EQ(log.messages("error").size(), 1U);  // its minute is not over
  one.processor.timers_throw = false;
  run(30'000);
  EXPECT_EQ(outputs("a", "rings").size(), 1U);
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_F(WorkerTest, OffsetsThatWereResetByHandAreRefused) {
  Instance& one = start("one");
  send("a");
  send("a");
  run();
  one.crash();
  log_.set_group_offset("counter", {kWords, events::partition_for("a")}, 0);
  one.start();
  const auto error = run_to_error(one);
  EXPECT_EQ(error.code, events::Errc::kConflict);
  EXPECT_THAT(error.message, HasSubstr("reset them by hand"));
  expect_counted("a", 2);
}

TEST_F(WorkerTest, AnInputThatRetentionHasTakenStopsTheWorkerLoudly) {
  Instance& one = start("one");
  send("a");
  run();
  one.crash();
  for (int i = 0; i < 3; ++i) send("a");
  log_.delete_before({kWords, events::partition_for("a")}, 3);
  one.start();
  const auto error = run_to_error(one);
  EXPECT_EQ(error.code, events::Errc::kCorrupt);
  EXPECT_THAT(error.message, HasSubstr("no longer in the log"));
  expect_counted("a", 1);
}

}  // namespace
}  // namespace voketag::runtime
