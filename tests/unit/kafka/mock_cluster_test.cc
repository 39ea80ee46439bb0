// Error paths against librdkafka's mock cluster: it answers with the errors it is told to answer
// with. It does not keep transactions (what is committed or aborted is for the real broker's
// tests).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <thread>

#include "connectors/kafka/kafka_log.h"
#include "connectors/kafka/membership.h"

namespace voketag::kafka {
namespace {

using runtime::CommitOutcome;
using runtime::CommitResult;
using runtime::TopicPartitionOffset;
using ::testing::HasSubstr;

// Numbers of Kafka's protocol.
constexpr std::int16_t kProduce = 0;
constexpr std::int16_t kInitProducerId = 22;
constexpr std::int16_t kAddPartitionsToTxn = 24;
constexpr std::int16_t kEndTxn = 26;
constexpr std::int16_t kTxnOffsetCommit = 28;

struct Owner final : runtime::RebalanceListener {
  void on_assigned(std::span<const std::int32_t> partitions) override {
    owned.assign(partitions.begin(), partitions.end());
  }
  void on_revoked(std::span<const std::int32_t>) override { owned.clear(); }
  void on_lost(std::span<const std::int32_t>) override { owned.clear(); }
  std::vector<std::int32_t> owned;
};

class MockClusterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Client::Settings settings;
    settings.purpose = "mock-owner";
    KafkaOptions options;
    options.bootstrap_servers = "127.0.0.1:1";
    auto host = Client::open(options, std::move(settings));
    ASSERT_TRUE(host) << host.error().message;
    host_ = std::move(*host);
    cluster_ = rd_kafka_mock_cluster_new(host_->get(), 1);
#if RD_KAFKA_VERSION >= 0x020d00ff
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster_, 0);
#endif
    options_.bootstrap_servers = rd_kafka_mock_cluster_bootstraps(cluster_);
    options_.open_timeout_ms = 5000;
    options_.commit_timeout_ms = 3000;
    options_.request_timeout_ms = 2000;
    for (const char* topic : {"voketag.in", "voketag.out"}) {
      rd_kafka_mock_topic_create(cluster_, topic, 1, 1);
    }
    auto log = KafkaLog::open(options_);
    ASSERT_TRUE(log) << log.error().message;
    log_ = std::move(*log);
  }

  void TearDown() override {
    producer_.reset();
    member_.reset();
    log_.reset();
    if (cluster_ != nullptr) rd_kafka_mock_cluster_destroy(cluster_);
  }

  // A member that owns the partition, and a transaction with one record.
  void begin() {
    auto member = log_->join("group", "in");
    ASSERT_TRUE(member) << member.error().message;
    member_ = std::move(*member);
    const Deadline deadline(20000);
    while (owner_.owned.empty() && !deadline.passed()) {
      ASSERT_TRUE(member_->poll(owner_));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ASSERT_FALSE(owner_.owned.empty());
    auto producer = log_->open_producer("id");
    ASSERT_TRUE(producer) << producer.error().message;
    producer_ = std::move(*producer);
    send_one();
  }

  void send_one() {
    ASSERT_TRUE(producer_->begin());
    ASSERT_TRUE(
        producer_->send({.topic = "out", .partition = 0, .key = "k", .value = "v", .headers = {}}));
  }

  CommitResult commit() {
    const TopicPartitionOffset position{"in", 0, 1};
    return producer_->commit(std::span(&position, 1), *member_);
  }

  void fail_next(std::int16_t request, std::vector<rd_kafka_resp_err_t> errors) {
    rd_kafka_mock_push_request_errors_array(cluster_, request, errors.size(), errors.data());
  }

  std::unique_ptr<Client> host_;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  KafkaOptions options_;
  std::unique_ptr<KafkaLog> log_;
  std::unique_ptr<runtime::Membership> member_;
  std::unique_ptr<runtime::TransactionalProducer> producer_;
  Owner owner_;
};

TEST_F(MockClusterTest, AnUndisturbedCommitAsksForNoReplacement) {
  begin();
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kCommitted) << result.detail;
  EXPECT_FALSE(result.replace_producer);
}

TEST_F(MockClusterTest, ACommitWhoseConnectionBrokeAsksForAnotherProducer) {
  begin();
  fail_next(kEndTxn, {RD_KAFKA_RESP_ERR__TRANSPORT});
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kCommitted) << result.detail;
  EXPECT_TRUE(result.replace_producer);
}

TEST_F(MockClusterTest, PassingErrorsAreRetried) {
  begin();
  fail_next(kEndTxn,
            {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
             RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR});
  fail_next(kTxnOffsetCommit, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kCommitted) << result.detail;
}

TEST_F(MockClusterTest, AFencedCommitIsFenced) {
  begin();
  fail_next(kEndTxn, {RD_KAFKA_RESP_ERR_PRODUCER_FENCED});
  EXPECT_EQ(commit().outcome, CommitOutcome::kFenced);
}

TEST_F(MockClusterTest, AMemberThatTheGroupDoesNotKnowIsFencedAndItsProducerLives) {
  begin();
  fail_next(kTxnOffsetCommit, {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID});
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kFenced) << result.detail;
  send_one();
  EXPECT_EQ(producer_->commit({}, *member_).outcome, CommitOutcome::kCommitted);
}

TEST_F(MockClusterTest, AMemberThatIsAGenerationBehindIsNotFenced) {
  begin();
  fail_next(kTxnOffsetCommit, {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION});
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kAborted) << result.detail;
  send_one();
  EXPECT_EQ(commit().outcome, CommitOutcome::kCommitted);
}

TEST_F(MockClusterTest, ACommitWithoutAnAnswerIsUnknownInBoundedTime) {
  begin();
  // Let everything but the end of the transaction pass.
  for (int i = 0; i < 200; ++i)
    fail_next(kEndTxn, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS});
  const std::int64_t started_ms = monotonic_ms();
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kUnknown) << result.detail;
  EXPECT_LT(monotonic_ms() - started_ms, 2 * options_.commit_timeout_ms);
  EXPECT_THAT(result.detail, HasSubstr(options_.bootstrap_servers));
  EXPECT_THAT(result.detail, HasSubstr("commit of transactional id id"));
}

TEST_F(MockClusterTest, ARecordThatTheBrokerRefusesAbortsTheTransactionAndIsNamed) {
  begin();
  EXPECT_EQ(producer_->abort().outcome, CommitOutcome::kAborted);
  fail_next(kProduce, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
  send_one();
  const auto result = commit();
  EXPECT_EQ(result.outcome, CommitOutcome::kAborted) << result.detail;
  EXPECT_THAT(result.detail, HasSubstr("voketag.out [0]"));
  EXPECT_THAT(result.detail, HasSubstr("Grant"));
}

TEST_F(MockClusterTest, PartitionsAreRegisteredAgainWhileTheCoordinatorIsBusy) {
  begin();
  EXPECT_EQ(producer_->abort().outcome, CommitOutcome::kAborted);
  fail_next(kAddPartitionsToTxn,
            {RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS});
  send_one();
  EXPECT_EQ(commit().outcome, CommitOutcome::kCommitted);
}

TEST_F(MockClusterTest, APredecessorsTransactionIsSettledWithoutHalfSecondWaits) {
  fail_next(kInitProducerId,
            {RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS});
  const std::int64_t started_ms = monotonic_ms();
  const auto producer = log_->open_producer("id");
  ASSERT_TRUE(producer) << producer.error().message;
  EXPECT_LT(monotonic_ms() - started_ms, 900);
}

TEST_F(MockClusterTest, APredecessorThatIsNeverSettledIsATimeout) {
  options_.open_timeout_ms = 1500;
  auto log = KafkaLog::open(options_);
  ASSERT_TRUE(log);
  fail_next(kInitProducerId,
            std::vector<rd_kafka_resp_err_t>(200, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS));
  const std::int64_t started_ms = monotonic_ms();
  const auto producer = (*log)->open_producer("id");
  ASSERT_FALSE(producer);
  EXPECT_LT(monotonic_ms() - started_ms, 5000);
  EXPECT_NE(producer.error().code, events::Errc::kFenced) << producer.error().message;
}

TEST_F(MockClusterTest, AnUnreachableBrokerIsNamedWithItsTroubleAndCure) {
  KafkaOptions options;
  options.bootstrap_servers = "127.0.0.1:1";
  options.request_timeout_ms = 1000;
  options.open_timeout_ms = 1000;
  const auto log = KafkaLog::open(options);
  ASSERT_TRUE(log);
  const auto brokers = (*log)->topics().brokers();
  const auto producer = (*log)->open_producer("id");
  const runtime::TopicPartition partition{"in", 0};
  const auto committed = (*log)->committed("group", std::span(&partition, 1));
  const auto watermarks = (*log)->watermarks(partition, runtime::Isolation::kReadCommitted);
  for (const auto& error :
       {brokers.error(), producer.error(), committed.error(), watermarks.error()}) {
    EXPECT_TRUE(error.code == events::Errc::kUnavailable || error.code == events::Errc::kTimeout)
        << error.message;
    EXPECT_THAT(error.message, HasSubstr("Kafka at 127.0.0.1:1"));
    EXPECT_THAT(error.message, HasSubstr("Connection refused"));
    EXPECT_THAT(error.message, HasSubstr("VOKETAG_KAFKA"));
  }
}

TEST_F(MockClusterTest, ARefusedPropertyIsNamed) {
  options_.properties["compression.type"] = "rot13";
  const auto log = KafkaLog::open(options_);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, events::Errc::kInvalid);
  EXPECT_THAT(log.error().message, HasSubstr("compression.type"));
}

TEST_F(MockClusterTest, AMemberOfABrokenClusterLeavesInBoundedTime) {
  begin();
  producer_.reset();
  rd_kafka_mock_broker_set_down(cluster_, 1);
  const std::int64_t started_ms = monotonic_ms();
  member_->leave(owner_);
  EXPECT_TRUE(owner_.owned.empty());
  EXPECT_LT(monotonic_ms() - started_ms, 15000);
}

}  // namespace
}  // namespace voketag::kafka
