#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "connectors/kafka/client.h"
#include "runtime/log.h"

namespace voketag::kafka {

// Reads partitions by librdkafka's simple consumer: no group, so no coordinator, its connection
// and its thread; a partition is started at an offset and stopped, and stopping it voids what is
// still queued for it. Records are not copied: a batch keeps the responses they came in alive, and
// the client with them, even beyond this object.
class KafkaFetcher final : public runtime::Fetcher {
 public:
  static events::Result<std::unique_ptr<KafkaFetcher>> open(const KafkaOptions& options,
                                                            runtime::Isolation isolation);
  ~KafkaFetcher() override;

  events::Status assign(const runtime::TopicPartition& partition, std::int64_t offset) override;
  void unassign(const runtime::TopicPartition& partition) override;
  events::Status poll(runtime::FetchBatch& batch, int timeout_ms, std::size_t records_max) override;

 private:
  struct Topic;
  struct Core;
  class HeldMessages;

  explicit KafkaFetcher(std::shared_ptr<Core> core);

  Topic& topic(const std::string& name);
  events::Status deliver(const rd_kafka_message_t& message, runtime::FetchBatch& batch);
  events::Status deliver_error(const rd_kafka_message_t& message, Topic& from,
                               runtime::FetchBatch& batch);

  std::shared_ptr<Core> core_;
  std::vector<rd_kafka_message_t*> scratch_;
};

}  // namespace voketag::kafka
