#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "connectors/kafka/client.h"
#include "events/record.h"

namespace voketag::kafka {

// A topic that a producer writes to.
struct SendTopic {
  std::string full_name;
  TopicHandle handle;
  std::int64_t record_bytes_max = 0;
  // By partition: the last record acknowledged, or none (-1). For transactional producers; written
  // from the delivery callback, which runs on the producer's own thread.
  struct Acknowledged {
    std::int64_t offset = -1;
    std::int64_t time_ms = -1;  // as the broker stamped it
  };
  std::vector<Acknowledged> acknowledged;
  std::string delivery_error;  // why the first record that was not accepted was not

  void acknowledge(std::int32_t partition, Acknowledged last);
  // Null: none of that partition was.
  const Acknowledged* last(std::int32_t partition) const;
};

// What both producers share: topics, and turning a record into librdkafka's. Thread-safe.
class Sender {
 public:
  explicit Sender(Client& client) : client_(client) {}

  // Valid as long as this sender.
  SendTopic& topic(const std::string& name);
  const SendTopic* find(const std::string& name) const;
  // Forgets acknowledged offsets and delivery errors. For transactional producers, as is
  // first_delivery_error: their callbacks run on the thread that calls this.
  void forget();
  std::string first_delivery_error() const;

  // Whether the value is copied into the send queue, or stays where it is until it is delivered.
  enum class Value { kCopied, kLent };
  // Puts the record into the send queue. A partition of -1 is chosen from the key as
  // events::partition_for chooses it. `opaque` comes back with the delivery report.
  // MSG_SIZE_TOO_LARGE before anything is queued, when the record is over its topic's limit.
  rd_kafka_resp_err_t enqueue(const events::OutputRecord& record, void* opaque,
                              Value value = Value::kCopied);

 private:
  Client& client_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<SendTopic>> topics_;
};

// The bytes of a record that a topic's limit counts: key, value, headers.
std::int64_t record_bytes(const events::OutputRecord& record);

// The limit of a topic as the brokers hold it (max.message.bytes): what the catalogue promises for
// its values, and room for key, headers and the batch around them. A topic that the catalogue does
// not know has the cluster-wide limit.
std::int64_t topic_bytes_max(std::string_view topic, const KafkaOptions& options);
std::int64_t limit_with_envelope(std::int64_t value_bytes_max, const KafkaOptions& options);

// "voketag.scans [3]"
std::string describe(const Client& client, const events::OutputRecord& record);

}  // namespace voketag::kafka
