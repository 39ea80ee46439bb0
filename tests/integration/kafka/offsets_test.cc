#include "connectors/kafka/membership.h"
#include "tests/integration/kafka/kafka_fixture.h"

namespace voketag::kafka {
namespace {

using runtime::CommitOutcome;
using runtime::Isolation;
using runtime::TopicPartition;
using runtime::TopicPartitionOffset;

class OffsetsTest : public KafkaTest {
 protected:
  void SetUp() override {
    KafkaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    create_topic("in", 2);
  }

  // What kill -9 between the offsets and the end of a transaction leaves behind.
  void leave_unstable_offsets(const std::string& id, const KafkaMembership& member) {
    Client::Settings settings;
    settings.purpose = "dying";
    settings.fixed = {{"transactional.id", id}};
    auto client = Client::open(options_, std::move(settings));
    ASSERT_OK(client);
    rd_kafka_t* handle = (*client)->get();
    ASSERT_EQ(ErrorObject(rd_kafka_init_transactions(handle, 20000)), nullptr);
    ASSERT_EQ(ErrorObject(rd_kafka_begin_transaction(handle)), nullptr);
    const PartitionList list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), unique("in").c_str(), 0)->offset = 5;
    const auto metadata = member.metadata();
    ASSERT_NE(metadata, nullptr);
    const ErrorObject error(
        rd_kafka_send_offsets_to_transaction(handle, list.get(), metadata.get(), 10000));
    ASSERT_EQ(error, nullptr) << rd_kafka_error_string(error.get());
  }

  events::Result<runtime::GroupOffsets> ask() {
    const std::vector<TopicPartition> partitions = {{"in", 0}, {"in", 1}};
    return log().committed(group(), partitions);
  }

  RecordingListener listener_;
};

TEST_F(OffsetsTest, AGroupWithoutOffsetsHasNone) {
  const auto answer = ask();
  ASSERT_OK(answer);
  EXPECT_FALSE(answer->unstable);
  EXPECT_EQ(answer->offsets, (std::vector<std::optional<std::int64_t>>{{}, {}}));
}

TEST_F(OffsetsTest, UnstableOffsetsAreSeenAtOnceAndInitialisingTheClaimedIdSettlesThem) {
  const auto member = join("in", listener_, 2);
  const std::string id = unique("claimed");
  leave_unstable_offsets(id, static_cast<const KafkaMembership&>(*member));
  const std::int64_t asked_ms = monotonic_ms();
  const auto unstable = ask();
  ASSERT_OK(unstable);
  EXPECT_TRUE(unstable->unstable);
  const std::int64_t answered_ms = monotonic_ms();
  EXPECT_LT(answered_ms - asked_ms, 1000) << "an answer, not a timeout";

  ASSERT_OK(log().open_producer(id));
  const auto stable = ask();
  ASSERT_OK(stable);
  EXPECT_FALSE(stable->unstable);
  EXPECT_EQ(stable->offsets.at(0), std::nullopt);
  const auto settled_ms = monotonic_ms() - answered_ms;
  RecordProperty("settled_ms", std::to_string(settled_ms));
  std::printf("unstable seen in %ld ms, settled in %ld ms\n",
              static_cast<long>(answered_ms - asked_ms), static_cast<long>(settled_ms));
  EXPECT_LT(settled_ms, 5000);
}

TEST_F(OffsetsTest, ReadCommittedWatermarksEndAtTheLastStableOffset) {
  const auto member = join("in", listener_, 2);
  const auto producer = begun_producer(unique("id"));
  ASSERT_OK(producer->send(record("in", "1")));
  ASSERT_EQ(producer->commit({}, *member).outcome, CommitOutcome::kCommitted);
  settle("in");
  ASSERT_OK(producer->begin());
  for (int i = 0; i < 300; ++i) ASSERT_OK(producer->send(record("in", "open")));

  // One record and its marker are stable. What is open arrives in its own time.
  const Deadline deadline(20000);
  auto uncommitted = log().watermarks({"in", 0}, Isolation::kReadUncommitted);
  ASSERT_OK(uncommitted);
  while (uncommitted->high < 302 && !deadline.passed()) {
    uncommitted = log().watermarks({"in", 0}, Isolation::kReadUncommitted);
    ASSERT_OK(uncommitted);
  }
  EXPECT_EQ(uncommitted->high, 302);
  const auto stable = log().watermarks({"in", 0}, Isolation::kReadCommitted);
  ASSERT_OK(stable);
  EXPECT_EQ(stable->low, 0);
  EXPECT_EQ(stable->high, 2);
  EXPECT_EQ(producer->abort().outcome, CommitOutcome::kAborted);
  settle("in");
  EXPECT_EQ(log().watermarks({"in", 0}, Isolation::kReadCommitted)->high, 303);
}

TEST_F(OffsetsTest, WatermarksOfAMissingTopicSayWhatToDo) {
  options_.request_timeout_ms = 2000;
  auto opened = KafkaLog::open(options_);
  ASSERT_OK(opened);
  const auto answer = (*opened)->watermarks({"missing", 0}, Isolation::kReadCommitted);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, events::Errc::kNotFound) << answer.error().message;
  EXPECT_THAT(answer.error().message, ::testing::HasSubstr(unique("missing")));
  EXPECT_THAT(answer.error().message, ::testing::HasSubstr("voketag topics create"));
}

TEST_F(OffsetsTest, AHintBecomesTheGroupsOffset) {
  const auto member = join("in", listener_, 2);
  const TopicPartitionOffset position{"in", 1, 4};
  ASSERT_OK(log().commit_hint(*member, std::span(&position, 1)));
  const Deadline deadline(20000);
  auto answer = ask();
  while (answer && !answer->offsets.at(1) && !deadline.passed()) answer = ask();
  ASSERT_OK(answer);
  EXPECT_EQ(answer->offsets.at(1), 4);
}

}  // namespace
}  // namespace voketag::kafka
