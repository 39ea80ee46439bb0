#include "voketag/batch_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "events/codec.h"
#include "runtime/memory_log.h"
#include "voketag/dead_letters.h"
#include "voketag/log_search.h"

namespace voketag::cli {
namespace {

using Stage = BatchProgress::Stage;

const events::Uuid kBatch = *events::Uuid::parse("0b64ecbe-27d5-4f4c-a3a1-5f3f1d1f2a10");

class BatchFollowerTest : public ::testing::Test {
 protected:
  template <class Event>
  void tell(const Event& event) {
    append(Event::kTopic, event.batch_id.to_string(), events::encode(event));
  }
  void append(std::string_view topic, const std::string& key, const std::string& value,
              const events::Headers& headers = {}) {
    events::OutputRecord record;
    record.topic = topic;
    record.key = key;
    record.value = value;
    record.headers = headers;
    log_.append(record);
    clock_.advance(1'000);
  }

  static events::BatchAccepted accepted(const events::Uuid& batch_id) {
    events::BatchAccepted event;
    event.batch_id = batch_id;
    event.tenant = "default";
    event.product_count = 10;
    event.chunk_size = 1024;
    event.requested_at = {1'700'000'000'000};
    return event;
  }
  static events::MerkleRootComputed root(const events::Uuid& batch_id) {
    events::MerkleRootComputed event;
    event.batch_id = batch_id;
    event.product_count = 10;
    return event;
  }
  static events::BatchCompleted completed(const events::Uuid& batch_id) {
    events::BatchCompleted event;
    event.batch_id = batch_id;
    event.tenant = "default";
    event.product_count = 10;
    event.network = "mock";
    event.transaction_id = {"0x" + std::string(64, '1')};
    return event;
  }
  // Another batch of the same partition would do as well; every id here has its own.
  static events::Uuid other(int number) {
    events::Uuid id = kBatch;
    id.bytes[15] = static_cast<std::uint8_t>(number);
    return id;
  }

  runtime::ManualClock clock_;
  runtime::MemoryLog log_{clock_};
};

TEST_F(BatchFollowerTest, FindsWhatHappenedLongAgoAmongOthers) {
  for (int i = 0; i < 100; ++i) {
    if (i == 50) {
      tell(accepted(kBatch));
      tell(root(kBatch));
      tell(completed(kBatch));
    }
    tell(accepted(other(i)));
    tell(completed(other(i)));
  }
  auto follower = BatchFollower::find(log_, kBatch);
  ASSERT_TRUE(follower) << follower.error().message;
  ASSERT_TRUE(follower->catch_up());
  EXPECT_EQ(follower->progress().stage(), Stage::kCompleted);
  EXPECT_TRUE(follower->progress().root().has_value());
}

TEST_F(BatchFollowerTest, FollowsWhatComesAfterItBegan) {
  tell(accepted(kBatch));
  auto follower = BatchFollower::find(log_, kBatch);
  ASSERT_TRUE(follower);
  ASSERT_TRUE(follower->catch_up());
  EXPECT_EQ(follower->progress().stage(), Stage::kGenerating);
  tell(root(kBatch));
  ASSERT_TRUE(follower->poll(10));
  EXPECT_EQ(follower->progress().stage(), Stage::kAnchoring);
  tell(completed(kBatch));
  ASSERT_TRUE(follower->poll(10));
  EXPECT_TRUE(follower->progress().ended());
}

TEST_F(BatchFollowerTest, OfABatchThatIsNotThereYetMissesNothing) {
  tell(accepted(other(1)));
  auto follower = BatchFollower::find(log_, kBatch);
  ASSERT_TRUE(follower);
  ASSERT_TRUE(follower->catch_up());
  EXPECT_EQ(follower->progress().stage(), Stage::kUnknown);
  tell(accepted(kBatch));
  tell(completed(kBatch));
  ASSERT_TRUE(follower->poll(10));
  EXPECT_EQ(follower->progress().stage(), Stage::kCompleted);
}

TEST_F(BatchFollowerTest, BeforeARequestOldStoriesAreNotRead) {
  tell(accepted(other(1)));
  auto follower = BatchFollower::before_request(log_, kBatch);
  ASSERT_TRUE(follower);
  ASSERT_TRUE(follower->catch_up());
  tell(accepted(kBatch));
  ASSERT_TRUE(follower->poll(10));
  EXPECT_EQ(follower->progress().stage(), Stage::kGenerating);
}

TEST_F(BatchFollowerTest, SeesThatARequestWasRefused) {
  append("dead-letters", kBatch.to_string(), "{",
         {{"dead_letter_topic", "batch-requested"},
          {"dead_letter_reason", "malformed"},
          {"dead_letter_detail", "no"}});
  auto follower = BatchFollower::find(log_, kBatch);
  ASSERT_TRUE(follower);
  ASSERT_TRUE(follower->catch_up());
  EXPECT_EQ(follower->progress().stage(), Stage::kRefused);
}

TEST_F(BatchFollowerTest, OffsetsAreFoundByTime) {
  const std::string key = "the same partition";
  for (int i = 0; i < 20; ++i) append("some-topic", key, "x");  // one second apart
  const runtime::TopicPartition partition{"some-topic", log_.records("some-topic")[0].partition};
  auto fetcher = log_.open_fetcher(runtime::Isolation::kReadCommitted);
  ASSERT_TRUE(fetcher);
  const auto find = [&](std::int64_t ms) {
    return *offset_before(**fetcher, partition, 0, 20, {1'700'000'000'000 + ms}, 0);
  };
  EXPECT_EQ(find(-5), 0);
  EXPECT_EQ(find(0), 0);
  EXPECT_EQ(find(1), 1);
  EXPECT_EQ(find(7'000), 7);
  EXPECT_EQ(find(18'500), 19);
  EXPECT_EQ(find(19'001), 20);
  EXPECT_EQ(*offset_before(**fetcher, partition, 0, 20, {1'700'000'007'000}), 0);
}

TEST_F(BatchFollowerTest, DeadLettersAreScannedFilteredAndFetched) {
  for (int i = 0; i < 30; ++i) {
    append("dead-letters", "key " + std::to_string(i), "value " + std::to_string(i),
           {{"dead_letter_topic", "batch-requested"},
            {"dead_letter_reason", i % 3 == 0 ? "invalid" : "malformed"},
            {"dead_letter_processor", "ingress"},
            {"dead_letter_partition", "4"},
            {"dead_letter_offset", std::to_string(i)}});
  }
  DeadLetterFilter filter;
  filter.reason = "invalid";
  filter.since = events::Timestamp{1'700'000'020'000};
  std::vector<std::string> found;
  ASSERT_TRUE(scan_dead_letters(log_, filter, [&](const DeadLetter& letter) {
    found.push_back(*letter.value);
    return true;
  }));
  EXPECT_THAT(found, ::testing::UnorderedElementsAre("value 21", "value 24", "value 27"));

  int seen = 0;
  ASSERT_TRUE(scan_dead_letters(log_, {}, [&](const DeadLetter&) { return ++seen < 5; }));
  EXPECT_EQ(seen, 5);

  const auto record = log_.records("dead-letters")[7];
  const auto letter = fetch_dead_letter(log_, {record.partition, record.offset});
  ASSERT_TRUE(letter) << letter.error().message;
  EXPECT_EQ(letter->value, record.value);
  EXPECT_EQ(fetch_dead_letter(log_, {record.partition, 999}).error().code, events::Errc::kNotFound);
  EXPECT_EQ(fetch_dead_letter(log_, {77, 0}).error().code, events::Errc::kNotFound);
}

}  // namespace
}  // namespace voketag::cli
