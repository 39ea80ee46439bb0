#include "connectors/kafka/kafka_log.h"

#include "connectors/kafka/fetcher.h"
#include "connectors/kafka/membership.h"
#include "connectors/kafka/plain_producer.h"
#include "connectors/kafka/transactional_producer.h"

namespace voketag::kafka {
namespace {

using events::Result;

template <class Interface, class Implementation>
Result<std::unique_ptr<Interface>> as(Result<std::unique_ptr<Implementation>> opened) {
  if (!opened) return tl::unexpected(std::move(opened.error()));
  return std::unique_ptr<Interface>(std::move(*opened));
}

}  // namespace

KafkaLog::KafkaLog(KafkaOptions options, std::shared_ptr<Control> control)
    : options_(std::move(options)), control_(std::move(control)), topics_(control_) {}

Result<std::unique_ptr<KafkaLog>> KafkaLog::open(KafkaOptions options) {
  auto control = Control::open(options);
  if (!control) return tl::unexpected(control.error());
  return std::unique_ptr<KafkaLog>(new KafkaLog(std::move(options), std::move(*control)));
}

Result<std::unique_ptr<runtime::Membership>> KafkaLog::join(std::string_view group,
                                                            std::string_view topic) {
  return as<runtime::Membership>(KafkaMembership::join(options_, group, topic));
}

Result<std::unique_ptr<runtime::Membership>> KafkaLog::resume(std::string_view group,
                                                              std::string_view identity) {
  auto former = KafkaFormerMember::of(group, identity);
  if (former == nullptr) return nullptr;
  const auto members = control_->member_ids(group);
  if (!members) return tl::unexpected(members.error());
  if (!members->contains(former->former_id())) return nullptr;
  return former;
}

Result<std::unique_ptr<runtime::Fetcher>> KafkaLog::open_fetcher(runtime::Isolation isolation) {
  return as<runtime::Fetcher>(KafkaFetcher::open(options_, isolation));
}

Result<std::unique_ptr<runtime::TransactionalProducer>> KafkaLog::open_producer(
    std::string_view transactional_id) {
  return as<runtime::TransactionalProducer>(
      KafkaTransactionalProducer::open(options_, transactional_id));
}

Result<std::unique_ptr<runtime::Producer>> KafkaLog::open_plain_producer() {
  return as<runtime::Producer>(KafkaProducer::open(options_));
}

Result<runtime::GroupOffsets> KafkaLog::committed(
    std::string_view group, std::span<const runtime::TopicPartition> partitions) {
  return control_->committed(group, partitions);
}

Result<std::vector<runtime::Watermarks>> KafkaLog::watermarks(
    std::span<const runtime::TopicPartition> partitions, runtime::Isolation isolation) {
  return control_->watermarks(partitions, isolation);
}

events::Status KafkaLog::commit_hint(const runtime::Membership& member,
                                     std::span<const runtime::TopicPartitionOffset> positions) {
  return static_cast<const KafkaMembership&>(member).commit_hint(positions);
}

}  // namespace voketag::kafka
