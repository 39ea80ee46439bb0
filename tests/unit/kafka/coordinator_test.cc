// A group's coordinator, or a partition's leader, that moves, leaves the cluster, or is away: what
// is asked of it, and offsets that are sent to it, must reach its successor. Rests on
// dev.d/librdkafka.patch.
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "connectors/kafka/kafka_log.h"

namespace voketag::kafka {
namespace {

constexpr std::int32_t kBrokers = 3;
// Numbers of requests in Kafka's protocol.
constexpr std::int16_t kOffsetFetch = 9;
constexpr std::int16_t kFindCoordinator = 10;
// More than are given within kPatienceMs.
constexpr int kAnswersMax = 5000;
// Answers that a busy machine owes for the longest time; what hangs would use it up.
constexpr int kPatienceMs = 20000;
// More than librdkafka's own repetitions of a search last, and less than kPatienceMs.
constexpr std::chrono::milliseconds kAwhile{1500};

struct Owner final : runtime::RebalanceListener {
  void on_assigned(std::span<const std::int32_t> partitions) override {
    owns = !partitions.empty();
  }
  void on_revoked(std::span<const std::int32_t>) override { owns = false; }
  void on_lost(std::span<const std::int32_t>) override { owns = false; }
  bool owns = false;
};

class CoordinatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    KafkaOptions options;
    options.bootstrap_servers = "127.0.0.1:1";
    auto host = Client::open(options, {.purpose = "mock-owner"});
    ASSERT_TRUE(host) << host.error().message;
    host_ = std::move(*host);
    cluster_ = rd_kafka_mock_cluster_new(host_->get(), kBrokers);
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster_, 0);
    rd_kafka_mock_topic_create(cluster_, "voketag.in", 1, 1);
    rd_kafka_mock_topic_create(cluster_, "voketag.out", 1, 1);
    // Not on the broker that a test takes away.
    for (const char* topic : {"voketag.in", "voketag.out"}) {
      rd_kafka_mock_partition_set_leader(cluster_, topic, 0, 1);
    }
    coordinate(2);
    rd_kafka_mock_coordinator_set(cluster_, "transaction", "id", 1);
    options_.bootstrap_servers = rd_kafka_mock_cluster_bootstraps(cluster_);
    options_.request_timeout_ms = kPatienceMs;
    options_.commit_timeout_ms = kPatienceMs / 10;
    auto log = KafkaLog::open(options_);
    ASSERT_TRUE(log) << log.error().message;
    log_ = std::move(*log);
  }

  void TearDown() override {
    log_.reset();
    if (cluster_ != nullptr) rd_kafka_mock_cluster_destroy(cluster_);
  }

  void coordinate(std::int32_t broker) {
    rd_kafka_mock_coordinator_set(cluster_, "group", "group", broker);
  }

  // Why there was no answer; empty: there was one.
  std::string ask() {
    const runtime::TopicPartition partition{"in", 0};
    const auto answer = log_->committed("group", std::span(&partition, 1));
    return answer ? std::string() : answer.error().message;
  }

  std::unique_ptr<Client> host_;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  KafkaOptions options_;
  std::unique_ptr<KafkaLog> log_;
};

TEST_F(CoordinatorTest, AQuestionToAnotherBrokerIsRefusedAndAskedAgain) {
  EXPECT_EQ(ask(), "");
  rd_kafka_mock_broker_push_request_error_rtts(cluster_, 2, kOffsetFetch, 1,
                                               RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 0);
  EXPECT_EQ(ask(), "");
}

TEST_F(CoordinatorTest, AQuestionFollowsItToABrokerBesideTheFormer) {
  EXPECT_EQ(ask(), "");
  coordinate(3);
  for (int answer = 0; answer < kAnswersMax; ++answer) {
    rd_kafka_mock_broker_push_request_error_rtts(cluster_, 2, kOffsetFetch, 1,
                                                 RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 0);
  }
  EXPECT_EQ(ask(), "");
}

TEST_F(CoordinatorTest, AQuestionFollowsItFromABrokerThatIsGoneForGood) {
  EXPECT_EQ(ask(), "");
  rd_kafka_mock_broker_decommission(cluster_, 2);
  coordinate(3);
  // Whoever asks for the brokers forgets those that are gone.
  const auto brokers = log_->topics().brokers();
  ASSERT_TRUE(brokers) << brokers.error().message;
  ASSERT_EQ(*brokers, kBrokers - 1);
  EXPECT_EQ(ask(), "");
}

TEST_F(CoordinatorTest, AQuestionWaitsUntilSomebodyCoordinates) {
  const std::vector<rd_kafka_resp_err_t> refusals(kAnswersMax,
                                                  RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE);
  rd_kafka_mock_push_request_errors_array(cluster_, kFindCoordinator, refusals.size(),
                                          refusals.data());
  auto answer = std::async(std::launch::async, [&] { return ask(); });
  std::this_thread::sleep_for(kAwhile);
  rd_kafka_mock_clear_request_errors(cluster_, kFindCoordinator);
  EXPECT_EQ(answer.get(), "");
}

TEST_F(CoordinatorTest, WatermarksAreHadFromTheNextLeader) {
  rd_kafka_mock_partition_set_leader(cluster_, "voketag.in", 0, 2);
  const runtime::TopicPartition partition{"in", 0};
  const auto before = log_->watermarks(partition, runtime::Isolation::kReadUncommitted);
  ASSERT_TRUE(before) << before.error().message;
  rd_kafka_mock_broker_set_down(cluster_, 2);
  rd_kafka_mock_partition_set_leader(cluster_, "voketag.in", 0, 3);
  const auto after = log_->watermarks(partition, runtime::Isolation::kReadUncommitted);
  EXPECT_TRUE(after) << after.error().message;
}

TEST_F(CoordinatorTest, ACommitWithoutOneIsAbortedInBoundedTime) {
  auto member = log_->join("group", "in");
  ASSERT_TRUE(member) << member.error().message;
  Owner owner;
  const Deadline deadline(kPatienceMs);
  while (!owner.owns && !deadline.passed()) {
    ASSERT_TRUE((*member)->poll(owner));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_TRUE(owner.owns);
  auto producer = log_->open_producer("id");
  ASSERT_TRUE(producer) << producer.error().message;
  const runtime::TopicPartitionOffset position{"in", 0, 1};
  const auto commit = [&](std::size_t positions) {
    EXPECT_TRUE((*producer)->begin());
    EXPECT_TRUE((*producer)->send(
        {.topic = "out", .partition = 0, .key = "k", .value = "v", .headers = {}}));
    return (*producer)->commit(std::span(&position, positions), **member);
  };
  const auto before = commit(1);
  ASSERT_EQ(before.outcome, runtime::CommitOutcome::kCommitted) << before.detail;

  rd_kafka_mock_broker_set_down(cluster_, 2);
  auto meanwhile = std::async(std::launch::async, commit, 1);
  EXPECT_EQ(meanwhile.wait_for(std::chrono::milliseconds(kPatienceMs)), std::future_status::ready);
  rd_kafka_mock_broker_set_up(cluster_, 2);
  const auto refused = meanwhile.get();
  EXPECT_EQ(refused.outcome, runtime::CommitOutcome::kAborted) << refused.detail;

  // Of offsets the group may know no member any more.
  const auto after = commit(0);
  EXPECT_EQ(after.outcome, runtime::CommitOutcome::kCommitted) << after.detail;
}

}  // namespace
}  // namespace voketag::kafka
