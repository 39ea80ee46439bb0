#include <chrono>
#include <thread>

#include "connectors/kafka/membership.h"
#include "events/partitioner.h"
#include "tests/integration/kafka/kafka_fixture.h"

namespace voketag::kafka {
namespace {

using runtime::CommitOutcome;
using runtime::Isolation;
using runtime::TopicPartitionOffset;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TransactionsTest : public KafkaTest {
 protected:
  void SetUp() override {
    KafkaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    create_topic("in");
    create_topic("out");
  }

  RecordingListener listener_;
};

TEST_F(TransactionsTest, ConsumesProducesAndCommitsExactlyOnce) {
  const auto plain = log().open_plain_producer();
  ASSERT_OK(plain);
  const std::vector<events::OutputRecord> inputs = {record("in", "1"), record("in", "2")};
  ASSERT_OK((*plain)->write(inputs));

  const auto member = join("in", listener_, 1);
  const auto fetcher = log().open_fetcher(Isolation::kReadCommitted);
  ASSERT_OK(fetcher);
  ASSERT_OK((*fetcher)->assign({"in", 0}, 0));
  const auto producer = begun_producer(unique("id"));
  runtime::FetchBatch batch;
  std::int64_t next = 0;
  while (next < 2) {
    ASSERT_OK((*fetcher)->poll(batch, 5000, 10));
    for (const auto& view : batch.records) {
      ASSERT_OK(producer->send(record("out", "got " + std::string(*view.value))));
      next = view.offset + 1;
    }
  }
  const TopicPartitionOffset position{"in", 0, next};
  const auto result = producer->commit(std::span(&position, 1), *member);
  ASSERT_EQ(result.outcome, CommitOutcome::kCommitted) << result.detail;
  EXPECT_FALSE(result.replace_producer);
  EXPECT_EQ(producer->last_offset({"out", 0}), 1);
  EXPECT_EQ(producer->last_offset({"in", 0}), std::nullopt);
  EXPECT_EQ(producer->last_time({"out", 0}),
            read_all("out", Isolation::kReadUncommitted).back().timestamp);
  EXPECT_THAT(values("out", Isolation::kReadCommitted), ElementsAre("got 1", "got 2"));
  EXPECT_EQ(committed("in"), 2);

  ASSERT_OK(producer->begin());
  EXPECT_EQ(producer->last_offset({"out", 0}), std::nullopt) << "of the transaction before";
  EXPECT_EQ(producer->abort().outcome, CommitOutcome::kAborted);
}

TEST_F(TransactionsTest, AnAbortedTransactionIsInvisibleAndTheProducerGoesOn) {
  const auto member = join("in", listener_, 1);
  const auto producer = begun_producer(unique("id"));
  ASSERT_OK(producer->send(record("out", "aborted")));
  ASSERT_EQ(producer->abort().outcome, CommitOutcome::kAborted);
  ASSERT_OK(producer->begin());
  ASSERT_OK(producer->send(record("out", "committed")));
  ASSERT_EQ(producer->commit({}, *member).outcome, CommitOutcome::kCommitted);
  EXPECT_THAT(values("out", Isolation::kReadCommitted), ElementsAre("committed"));
}

TEST_F(TransactionsTest, AnOpenTransactionIsInvisibleToReadCommittedAlone) {
  const auto member = join("in", listener_, 1);
  const auto producer = begun_producer(unique("id"));
  std::vector<events::OutputRecord> many(300, record("out", "x"));
  for (const auto& one : many) ASSERT_OK(producer->send(one));
  const auto uncommitted = log().open_fetcher(Isolation::kReadUncommitted);
  ASSERT_OK((*uncommitted)->assign({"out", 0}, 0));
  std::size_t seen = 0;
  runtime::FetchBatch batch;
  const Deadline deadline(20000);
  while (seen < many.size() && !deadline.passed()) {
    ASSERT_OK((*uncommitted)->poll(batch, 100, 1000));
    seen += batch.records.size();
  }
  EXPECT_EQ(seen, many.size());
  EXPECT_TRUE(read_all("out", Isolation::kReadCommitted).empty());
  ASSERT_EQ(producer->commit({}, *member).outcome, CommitOutcome::kCommitted);
  EXPECT_EQ(values("out", Isolation::kReadCommitted).size(), many.size());
}

TEST_F(TransactionsTest, ASecondProducerOfTheSameIdFencesTheFirst) {
  const auto member = join("in", listener_, 1);
  const auto first = begun_producer(unique("id"));
  ASSERT_OK(first->send(record("out", "first")));
  const auto second = begun_producer(unique("id"));
  const TopicPartitionOffset position{"in", 0, 7};
  const auto zombie = first->commit(std::span(&position, 1), *member);
  EXPECT_EQ(zombie.outcome, CommitOutcome::kFenced) << zombie.detail;
  EXPECT_THAT(zombie.detail, HasSubstr("VOKETAG_INSTANCE"));
  const auto began = first->begin();
  ASSERT_FALSE(began);
  EXPECT_EQ(began.error().code, events::Errc::kFenced) << began.error().message;
  ASSERT_OK(second->send(record("out", "second")));
  ASSERT_EQ(second->commit({}, *member).outcome, CommitOutcome::kCommitted);
  EXPECT_THAT(values("out", Isolation::kReadCommitted), ElementsAre("second"));
  EXPECT_EQ(committed("in"), std::nullopt);
}

// A member that does not poll for max.poll.interval.ms leaves its group by itself; its librdkafka
// then has no member id, and the broker would accept offsets that come without one.
TEST_F(TransactionsTest, AMemberThatWasPutOutCannotCommitOffsets) {
  options_.poll_interval_max_ms = options_.session_timeout_ms;
  auto opened = KafkaLog::open(options_);
  ASSERT_OK(opened);
  log_ = std::move(*opened);
  const auto member = join("in", listener_, 1);
  const auto& kafka_member = static_cast<const KafkaMembership&>(*member);
  const auto producer = begun_producer(unique("id"));
  ASSERT_OK(producer->send(record("out", "zombie")));
  const Deadline deadline(30000);
  while (kafka_member.metadata() != nullptr && !deadline.passed()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const TopicPartitionOffset position{"in", 0, 7};
  const auto result = producer->commit(std::span(&position, 1), *member);
  EXPECT_EQ(result.outcome, CommitOutcome::kFenced) << result.detail;
  EXPECT_THAT(values("out", Isolation::kReadCommitted), IsEmpty());
  EXPECT_EQ(committed("in"), std::nullopt);
  EXPECT_TRUE(poll_until({{member.get(), &listener_}}, [&] { return listener_.owned.empty(); }));
  EXPECT_THAT(listener_.calls, ElementsAre("+0", "!0"));
  // And comes back as another member.
  EXPECT_TRUE(poll_until({{member.get(), &listener_}}, [&] { return !listener_.owned.empty(); }));
  ASSERT_OK(producer->begin());
  EXPECT_EQ(producer->commit(std::span(&position, 1), *member).outcome, CommitOutcome::kCommitted);
  EXPECT_EQ(committed("in"), 7);
}

TEST_F(TransactionsTest, AnOversizedRecordIsRefusedAndTheOthersAreUnharmed) {
  const auto member = join("in", listener_, 1);
  const auto producer = begun_producer(unique("id"));
  ASSERT_OK(producer->send(record("out", "before")));
  const auto refused = producer->send(
      record("out", std::string(static_cast<std::size_t>(options().record_bytes_max) + 1, 'x')));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, events::Errc::kInvalid) << refused.error().message;
  EXPECT_THAT(refused.error().message, HasSubstr(unique("out")));
  ASSERT_OK(producer->send(record("out", "after")));
  ASSERT_EQ(producer->commit({}, *member).outcome, CommitOutcome::kCommitted);
  EXPECT_THAT(values("out", Isolation::kReadCommitted), ElementsAre("before", "after"));
}

TEST_F(TransactionsTest, TheLargestDeadLetterPasses) {
  const auto member = join("in", listener_, 1);
  create_topic("dead-letters");
  const auto producer = begun_producer(unique("id"));
  auto letter = record("dead-letters", std::string(8U << 20, 'x'));
  letter.headers = {{"reason", std::string(200000, 'r')}};
  ASSERT_OK(producer->send(letter));
  ASSERT_EQ(producer->commit({}, *member).outcome, CommitOutcome::kCommitted);
  settle("dead-letters");
  const auto read = read_all("dead-letters", Isolation::kReadCommitted);
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].value, letter.value);
  EXPECT_EQ(read[0].headers, letter.headers);
}

// The queue holds 32 MB: more has to wait for acknowledgements, not fail.
TEST_F(TransactionsTest, SendWaitsWhileTheQueueIsFull) {
  const auto member = join("in", listener_, 1);
  const auto producer = begun_producer(unique("id"));
  constexpr std::size_t kRecords = 1600;
  for (std::size_t i = 0; i < kRecords; ++i) {
    ASSERT_OK(producer->send(record("out", std::string(50000, 'x'))));
  }
  ASSERT_EQ(producer->commit({}, *member).outcome, CommitOutcome::kCommitted);
  EXPECT_EQ(producer->last_offset({"out", 0}), kRecords - 1);
}

TEST_F(TransactionsTest, ARecordWithoutPartitionGoesWhereItsKeyBelongs) {
  create_topic("keyed", 12);
  const auto plain = log().open_plain_producer();
  ASSERT_OK(plain);
  const std::string key = "6f1d0f2e-94f7-4d0c-b6c0-3e6c43a1a001";
  auto keyed = record("keyed", "v", -1);
  keyed.key = key;
  ASSERT_OK((*plain)->write(std::span(&keyed, 1)));
  EXPECT_EQ(read_all("keyed", Isolation::kReadCommitted, events::partition_for(key)).size(), 1U);
}

}  // namespace
}  // namespace voketag::kafka
