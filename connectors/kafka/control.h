#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "connectors/kafka/client.h"
#include "runtime/log.h"

namespace voketag::kafka {

// Questions to the cluster about groups and offsets, over one long-lived client. Thread-safe: each
// call has an answer queue of its own. Passing errors are asked again until request_timeout_ms.
class Control {
 public:
  static events::Result<std::shared_ptr<Control>> open(const KafkaOptions& options);

  Client& client() { return *client_; }

  // As Log::committed. Answers at once when the offsets are unstable.
  events::Result<runtime::GroupOffsets> committed(
      std::string_view group, std::span<const runtime::TopicPartition> partitions);
  // Whom the group counts in at the moment; nobody where there is no such group.
  events::Result<std::set<std::string>> member_ids(std::string_view group);
  // As Log::watermarks.
  events::Result<std::vector<runtime::Watermarks>> watermarks(
      std::span<const runtime::TopicPartition> partitions, runtime::Isolation isolation);

  // Sends an admin request and waits for its result, request_timeout_ms unless another time is
  // given. `request` is given the options and the queue to use; `what` is named in errors. The
  // event carries no error.
  events::Result<Event> ask(
      rd_kafka_admin_op_t operation, std::string_view what,
      const std::function<void(rd_kafka_AdminOptions_t*)>& configure,
      const std::function<void(rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& request,
      std::optional<int> timeout_ms = std::nullopt);

 private:
  explicit Control(std::unique_ptr<Client> client) : client_(std::move(client)) {}

  // The earliest or latest offset of each partition, in the order asked.
  events::Result<std::vector<std::int64_t>> list_offsets(
      std::span<const runtime::TopicPartition> partitions, std::int64_t which,
      runtime::Isolation isolation, const Deadline& deadline);

  std::unique_ptr<Client> client_;
};

}  // namespace voketag::kafka
