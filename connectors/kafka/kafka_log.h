#pragma once

#include <memory>

#include "connectors/kafka/control.h"
#include "connectors/kafka/options.h"
#include "connectors/kafka/topic_admin.h"
#include "runtime/log.h"

namespace voketag::kafka {

// The log on an Apache Kafka cluster (4.0.1 or later). Thread-safe. What it hands out are clients
// of their own and may outlive it.
class KafkaLog final : public runtime::Log {
 public:
  // kInvalid: the options are refused. Does not connect: topics().brokers() tells whether the
  // cluster answers.
  static events::Result<std::unique_ptr<KafkaLog>> open(KafkaOptions options);

  TopicAdmin& topics() { return topics_; }
  const KafkaOptions& options() const { return options_; }

  events::Result<std::unique_ptr<runtime::Membership>> join(std::string_view group,
                                                            std::string_view topic) override;
  events::Result<std::unique_ptr<runtime::Membership>> resume(std::string_view group,
                                                              std::string_view identity) override;
  events::Result<std::unique_ptr<runtime::Fetcher>> open_fetcher(
      runtime::Isolation isolation) override;
  events::Result<std::unique_ptr<runtime::TransactionalProducer>> open_producer(
      std::string_view transactional_id) override;
  events::Result<std::unique_ptr<runtime::Producer>> open_plain_producer() override;
  events::Result<runtime::GroupOffsets> committed(
      std::string_view group, std::span<const runtime::TopicPartition> partitions) override;
  using runtime::Log::watermarks;
  events::Result<std::vector<runtime::Watermarks>> watermarks(
      std::span<const runtime::TopicPartition> partitions, runtime::Isolation isolation) override;
  events::Status commit_hint(const runtime::Membership& member,
                             std::span<const runtime::TopicPartitionOffset> positions) override;

 private:
  KafkaLog(KafkaOptions options, std::shared_ptr<Control> control);

  const KafkaOptions options_;
  const std::shared_ptr<Control> control_;
  TopicAdmin topics_;
};

}  // namespace voketag::kafka
