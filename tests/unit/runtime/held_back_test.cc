#include "runtime/held_back.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/memory_log.h"

namespace voketag::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TopicPartition kPartition{"things", 3};

events::OutputRecord record(std::int32_t partition) {
  events::OutputRecord result;
  result.topic = "things";
  result.partition = partition;
  result.value = "a value";
  return result;
}

class HeldBackTest : public ::testing::Test {
 protected:
  HeldBackTest()
      : log_(clock_, options()), watch_(log_, clock_, "prefix.", {{"things", 2}, kPartition}) {
    log_.append(record(2));
    log_.append(record(3));
    stranger_ = *log_.open_producer("a-stranger");
  }

  static MemoryLogOptions options() {
    MemoryLogOptions options;
    options.transaction_timeout_ms = 15 * 60'000;
    return options;
  }

  void write_in_transaction() {
    EXPECT_TRUE(stranger_->begin());
    EXPECT_TRUE(stranger_->send(record(3)));
  }

  std::vector<HeldBack> look_after(std::int64_t ms) {
    clock_.advance(ms);
    return watch_.look();
  }

  ManualClock clock_;
  MemoryLog log_;
  HeldBackWatch watch_;
  std::unique_ptr<TransactionalProducer> stranger_;
};

TEST_F(HeldBackTest, NamesThePartitionOfAnOldTransactionAndItsStart) {
  write_in_transaction();
  const auto began = clock_.now();
  log_.append(record(3));
  EXPECT_THAT(watch_.look(), IsEmpty());
  const auto warned_of = look_after(kHeldBackMs);
  ASSERT_THAT(warned_of, SizeIs(1));
  EXPECT_EQ(warned_of[0], (HeldBack{kPartition, 1, 2, began}));
}

TEST_F(HeldBackTest, SaysSoOnceAMinuteAsLongAsItLasts) {
  write_in_transaction();
  watch_.look();
  EXPECT_THAT(look_after(kHeldBackMs), SizeIs(1));
  EXPECT_THAT(look_after(30'000), IsEmpty());
  EXPECT_THAT(look_after(30'000), SizeIs(1));
  stranger_->abort();
  EXPECT_THAT(look_after(60'000), IsEmpty());
}

TEST_F(HeldBackTest, KnowsHowOldATransactionIsWhateverTheTimeOfDayIsSetTo) {
  const auto began = clock_.now();
  write_in_transaction();
  watch_.look();
  clock_.set({began.ms + 3 * 3'600'000});
  EXPECT_THAT(look_after(kHeldBackMs - 1), IsEmpty());
  clock_.set({began.ms - 3 * 3'600'000});
  EXPECT_THAT(look_after(1), SizeIs(1));
}

TEST_F(HeldBackTest, KeepsSilentOfYoungTransactionsHoweverManyThereAre) {
  for (int i = 0; i < 20; ++i) {
    write_in_transaction();
    EXPECT_THAT(look_after(kHeldBackMs - 1), IsEmpty());
    stranger_->abort();
    clock_.advance(1'000);
  }
}

TEST_F(HeldBackTest, KeepsSilentWhereTheLogDoesNotAnswer) {
  write_in_transaction();
  watch_.look();
  MemoryLogFaults faults;
  faults.call_failed = 1;
  log_.set_faults(faults);
  EXPECT_THAT(look_after(kHeldBackMs), IsEmpty());
}

TEST_F(HeldBackTest, TellsTheCommandsThatNameAndEndIt) {
  const HeldBack held_back{kPartition, 17, 5, clock_.now()};
  EXPECT_EQ(describe(held_back, "prefix.", 42'000),
            "topic prefix.things partition 3: somebody's transaction has been open for 42 s, from "
            "offset 17 on; whoever reads the partition waits, 5 offsets are not seen");
  const std::string place = " --topic prefix.things --partition 3";
  EXPECT_THAT(cure(held_back, "prefix."), HasSubstr("describe-producers" + place));
  EXPECT_THAT(cure(held_back, "prefix."), HasSubstr("abort" + place + " --start-offset 17"));
}

}  // namespace
}  // namespace voketag::runtime
