#include "runtime/standby.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/memory_log.h"
#include "runtime/position.h"
#include "runtime/restorer.h"
#include "runtime/task.h"
#include "state/database.h"

// A standby and restorers of one process; what other processes would write, the test writes.
namespace voketag::runtime {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr const char* kChangelog = "counter-changelog";
constexpr std::int64_t kHourMs = 3'600'000;

class Counter final : public processors::Processor {
 public:
  std::string_view name() const override { return "counter"; }
  std::vector<std::string_view> inputs() const override { return {"words"}; }
  void on_record(processors::Context&, const events::RecordView&) override {}
  void on_timer(processors::Context&, std::string_view) override {}
};

events::OutputRecord change(std::int32_t partition, const std::string& key,
                            std::optional<std::string> value) {
  events::OutputRecord record;
  record.topic = kChangelog;
  record.partition = partition;
  record.key = key;
  record.value = std::move(value);
  return record;
}

class StandbyTest : public ::testing::Test {
 protected:
  StandbyTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("voketag-standby-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(directory_);
    database_ = *state::Database::open(directory_);
    standby_ = make_standby();
  }
  ~StandbyTest() override {
    standby_.reset();
    database_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::unique_ptr<Standby> make_standby() {
    return std::make_unique<Standby>(log_, *database_, clock_, std::vector<std::string>{"counter"});
  }
  std::unique_ptr<Restorer> make_restorer(const std::string& id) {
    return std::make_unique<Restorer>(log_, *database_, counter_, clock_,
                                      RestorerOptions{"counter", id});
  }

  void append(std::int32_t partition, const std::string& key, std::optional<std::string> value) {
    log_.append(change(partition, key, std::move(value)));
  }
  void follow(std::int64_t for_ms = 50) {
    for (std::int64_t ms = 0; ms < for_ms; ms += 10) {
      const auto stepped = standby_->step(0);
      ASSERT_TRUE(stepped) << stepped.error().message;
      clock_.advance(10);
    }
  }
  // Steps until the partition is restored; none: it is not within so many steps.
  std::optional<RestoredPartition> restore(Restorer& restorer, int steps = 20) {
    for (int i = 0; i < steps; ++i) {
      const auto stepped = restorer.step(0);
      EXPECT_TRUE(stepped) << stepped.error().message;
      clock_.advance(50);
      for (auto& finished : restorer.take_finished()) return std::move(finished.restored);
    }
    return std::nullopt;
  }
  // By another reader of the database.
  std::optional<std::string> local(std::int32_t partition, const std::string& key) {
    return database_->open_partition("counter", partition)->get(key);
  }
  std::optional<StorePosition> position(std::int32_t partition) {
    return read_store_position(*database_->open_partition("counter", partition));
  }
  // What a store that is begun anew has no longer: nothing in the changelog led to it.
  void mark_store(std::int32_t partition) {
    const auto store = database_->open_partition("counter", partition);
    store->apply("mark/of-this-store", "");
    ASSERT_TRUE(store->write_applied(*store->position()));
  }
  bool is_marked(std::int32_t partition) {
    return local(partition, "mark/of-this-store").has_value();
  }

  ManualClock clock_;
  MemoryLog log_{clock_};
  Counter counter_;
  const std::filesystem::path directory_;
  std::unique_ptr<state::Database> database_;
  std::unique_ptr<Standby> standby_;
};

TEST_F(StandbyTest, FollowsWhatNobodyInTheProcessHas) {
  append(3, "count/a", "1");
  append(3, kClaimKey.data(), R"({"transactional_id":"other"})");
  follow();
  EXPECT_THAT(standby_->followed(), SizeIs(12));
  EXPECT_EQ(local(3, "count/a"), "1");
  EXPECT_EQ(position(3)->claim->transactional_id, "other");
  append(3, "count/a", "2");
  append(3, "count/b", "1");
  append(3, "count/b", std::nullopt);
  follow();
  EXPECT_EQ(local(3, "count/a"), "2");
  EXPECT_FALSE(local(3, "count/b"));
  EXPECT_EQ(log_.epoch("other"), 0) << "it fences nobody";
}

TEST_F(StandbyTest, APauseLastsNoLongerWhenTheTimeOfDayIsSetBack) {
  MemoryLogFaults faults;
  faults.call_failed = 1;
  log_.set_faults(faults);
  append(3, "count/a", "1");
  follow();
  log_.set_faults({});
  clock_.set({clock_.now().ms - 3 * kHourMs});
  follow(2'000);
  EXPECT_EQ(local(3, "count/a"), "1");
}

TEST_F(StandbyTest, NeverReadsPastAnOpenTransaction) {
  append(3, "count/a", "1");
  auto owner = *log_.open_producer("other");
  ASSERT_TRUE(owner->begin());
  ASSERT_TRUE(owner->send(change(3, "count/a", "2")));
  append(3, "count/b", "1");
  follow();
  EXPECT_EQ(local(3, "count/a"), "1");
  EXPECT_FALSE(local(3, "count/b")) << "it lies behind the last stable offset";
  owner->abort();
  follow();
  EXPECT_EQ(local(3, "count/a"), "1");
  EXPECT_EQ(local(3, "count/b"), "1");
}

TEST_F(StandbyTest, GivesUpAStoreThatIsWantedAndTakesItBackWhenItIsFree) {
  append(3, "count/a", "1");
  follow();
  const auto restorer = make_restorer("counter.one.0");
  restorer->request(3);
  EXPECT_FALSE(restore(*restorer)) << "the standby has the store still";
  standby_->give_way();
  EXPECT_THAT(standby_->followed(), SizeIs(11));
  auto restored = restore(*restorer);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->store->get("count/a"), "1");
  append(3, "count/a", "2");
  follow();
  EXPECT_THAT(standby_->followed(), Not(Contains(Pair("counter", 3))));
  EXPECT_EQ(local(3, "count/a"), "1") << "nobody touches the store of an owner";
  restored.reset();
  follow();
  EXPECT_THAT(standby_->followed(), Contains(Pair("counter", 3)));
  EXPECT_EQ(local(3, "count/a"), "2");
}

// The changelog has nothing left but what came after the standby's last step.
TEST_F(StandbyTest, ARestoreReadsOnlyWhatTheStandbyHasNotReadYet) {
  for (int i = 0; i < 100; ++i) append(3, "count/" + std::to_string(i), "1");
  follow();
  append(3, "count/late", "1");
  log_.delete_before({kChangelog, 3}, position(3)->changelog_offset);
  const auto restorer = make_restorer("counter.one.0");
  restorer->request(3);
  ASSERT_TRUE(restorer->step(0));
  standby_->give_way();
  const auto restored = restore(*restorer);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->store->get("count/42"), "1");
  EXPECT_EQ(restored->store->get("count/late"), "1");
}

TEST_F(StandbyTest, OneWorkerOfTheProcessHasAStoreAtATime) {
  standby_.reset();
  append(3, "count/a", "1");
  const auto one = make_restorer("counter.one.0");
  const auto two = make_restorer("counter.one.1");
  one->request(3);
  auto restored = restore(*one);
  ASSERT_TRUE(restored);
  two->request(3);
  EXPECT_FALSE(restore(*two)) << "the first has not noticed yet that it is not its own any more";
  restored.reset();
  EXPECT_TRUE(restore(*two));
}

TEST_F(StandbyTest, AWorkerThatWaitsForAStoreCanBeCalledOff) {
  follow();
  const auto restorer = make_restorer("counter.one.0");
  restorer->request(3);
  ASSERT_TRUE(restorer->step(0));
  restorer->cancel(3);
  ASSERT_TRUE(restorer->step(0));
  follow();
  EXPECT_THAT(standby_->followed(), SizeIs(12));
}

// A broker may take half a minute for its answer, and the group waits for the worker.
TEST_F(StandbyTest, ARestoreIsCalledOffWhileItWaitsForAnAnswer) {
  standby_.reset();
  append(3, "count/a", "1");
  const auto restorer = make_restorer("counter.one.0");
  int called_off = 0;
  log_.on_pause([&] {
    ++called_off;
    restorer->cancel(3);
  });
  log_.set_faults({.paused = 1});
  restorer->request(3);
  EXPECT_FALSE(restore(*restorer));
  EXPECT_EQ(called_off, 1);
  log_.set_faults({});
  restorer->request(3);
  EXPECT_TRUE(restore(*restorer));
}

TEST_F(StandbyTest, KeepsAQuietStoreYoung) {
  append(3, "count/a", "1");
  follow();
  mark_store(3);
  for (int hour = 0; hour < 24 * 10; ++hour) {
    clock_.advance(kHourMs);
    follow();
  }
  EXPECT_GT(position(3)->agreed_at_ms, clock_.now().ms - 2 * kHourMs);
  standby_ = make_standby();
  append(3, "count/b", "1");
  follow();
  EXPECT_TRUE(is_marked(3));
  EXPECT_EQ(local(3, "count/b"), "1");
}

// A machine that was suspended, say: the process lives, and the changelog has forgotten tombstones.
TEST_F(StandbyTest, BeginsAnewAfterItStoodStillForLong) {
  append(3, "count/a", "1");
  follow();
  mark_store(3);
  clock_.advance(7 * 24 * kHourMs);
  append(3, "count/b", "1");
  follow(100);
  EXPECT_FALSE(is_marked(3));
  EXPECT_EQ(local(3, "count/a"), "1");
  EXPECT_EQ(local(3, "count/b"), "1");
  EXPECT_GT(position(3)->agreed_at_ms, clock_.now().ms - kHourMs);
}

TEST_F(StandbyTest, BeginsAnewWhereTheChangelogNoLongerReachesBack) {
  append(3, "count/a", "1");
  follow();
  mark_store(3);
  for (int i = 0; i < 5; ++i) append(3, "count/b", std::to_string(i));
  log_.delete_before({kChangelog, 3}, 4);
  follow();
  EXPECT_FALSE(is_marked(3));
  EXPECT_EQ(local(3, "count/b"), "4");
}

// An owner would not get over it either; but this process does not own it.
TEST_F(StandbyTest, WhatIsWrongWithOneChangelogCostsThatPartitionOnly) {
  append(3, "count/a", "1");
  append(3, kClaimKey.data(), "not json");
  append(4, "count/b", "1");
  follow();
  EXPECT_THAT(standby_->followed(), Not(Contains(Pair("counter", 3))));
  EXPECT_EQ(local(4, "count/b"), "1");
  EXPECT_TRUE(database_->leases().request_if_free("counter", 3)) << "it is left to others";
  append(3, kClaimKey.data(), std::nullopt);
  log_.compact(kChangelog);
  clock_.advance(61'000);
  follow();
  EXPECT_EQ(local(3, "count/a"), "1");
}

TEST_F(StandbyTest, WaitsForALogThatDoesNotAnswer) {
  append(3, "count/a", "1");
  MemoryLogFaults faults;
  faults.call_failed = 1;
  log_.set_faults(faults);
  follow(5'000);
  EXPECT_THAT(standby_->followed(), IsEmpty());
  log_.set_faults({});
  follow(2'000);
  EXPECT_EQ(local(3, "count/a"), "1");
}

}  // namespace
}  // namespace voketag::runtime
