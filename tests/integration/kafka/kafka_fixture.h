#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "connectors/kafka/kafka_log.h"

namespace voketag::kafka {

// A record that outlives its batch.
struct KeptRecord {
  std::int64_t offset = 0;
  events::Timestamp timestamp;
  std::optional<std::string> key;
  std::optional<std::string> value;
  events::Headers headers;
};

// Writes down what it is told, and what is owned.
struct RecordingListener final : runtime::RebalanceListener {
  void on_assigned(std::span<const std::int32_t> partitions) override;
  void on_revoked(std::span<const std::int32_t> partitions) override;
  void on_lost(std::span<const std::int32_t> partitions) override;

  std::vector<std::string> calls;  // "+0,1" assigned, "-0" revoked, "!0,1" lost
  std::set<std::int32_t> owned;
  std::function<void()> before_revoke;
};

// A log on the cluster that VOKETAG_KAFKA names, under a topic prefix that no other test has.
class KafkaTest : public ::testing::Test {
 protected:
  void SetUp() override;
  // Deletes the topics: a broker is kept busy by those of hundreds of tests.
  void TearDown() override;

  KafkaLog& log() { return *log_; }
  const KafkaOptions& options() const { return options_; }
  std::string unique(const std::string& name) const { return options_.topic_prefix + name; }

  void create_topic(const std::string& name, std::int32_t partitions = 1);
  std::vector<KeptRecord> read_all(const std::string& topic, runtime::Isolation isolation,
                                   std::int32_t partition = 0);
  // Waits until the markers of all transactions are written: a commit returns before they are.
  void settle(const std::string& topic);
  // The values in partition 0 once it is settled.
  std::vector<std::string> values(const std::string& topic, runtime::Isolation isolation);
  // A producer that has begun a transaction.
  std::unique_ptr<runtime::TransactionalProducer> begun_producer(const std::string& id);
  std::unique_ptr<runtime::Membership> join(const std::string& topic, RecordingListener& listener,
                                            std::size_t partitions);
  std::optional<std::int64_t> committed(const std::string& topic);
  std::string group() const { return options_.topic_prefix + "group"; }

  KafkaOptions options_;
  std::unique_ptr<KafkaLog> log_;
};

events::OutputRecord record(const std::string& topic, const std::string& value,
                            std::int32_t partition = 0);
// Polls all members in turn until the condition holds; false after `timeout_ms`.
bool poll_until(std::vector<std::pair<runtime::Membership*, RecordingListener*>> members,
                const std::function<bool()>& condition, int timeout_ms = 30000);

#define ASSERT_OK(expression)                            \
  do {                                                   \
    const auto& ok_status = (expression);                \
    ASSERT_TRUE(ok_status) << ok_status.error().message; \
  } while (false)

}  // namespace voketag::kafka
