#include "connectors/kafka/fetcher.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace voketag::kafka {
namespace {

using events::Result;
using events::Status;

constexpr std::int64_t kNotAssigned = -1;
constexpr std::size_t kPollRecordsMax = 100000;

Client::Settings settings_for(const KafkaOptions& options, runtime::Isolation isolation) {
  Client::Settings settings;
  settings.consumer = true;
  const bool committed = isolation == runtime::Isolation::kReadCommitted;
  settings.purpose = committed ? "fetcher" : "fetcher-uncommitted";
  settings.defaults = {
      {"fetch.wait.max.ms", std::to_string(options.fetch_wait_ms)},
      {"fetch.error.backoff.ms", "50"},
      // Once the queue has room again, go on at once: the default of 1 s would halt a restore.
      {"fetch.queue.backoff.ms", "2"},
      {"queued.min.messages", "1000000"},
      {"queued.max.messages.kbytes", std::to_string(options.fetch_queue_bytes_max / 1024)},
      {"fetch.max.bytes", std::to_string(options.record_bytes_max)},
      {"fetch.message.max.bytes", "1048576"},
  };
  settings.fixed = {
      {"isolation.level", committed ? "read_committed" : "read_uncommitted"},
      {"enable.partition.eof", "true"},
      {"auto.offset.reset", "error"},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"allow.auto.create.topics", "false"},
  };
  return settings;
}

void read_headers(const rd_kafka_message_t& message, events::HeaderViews& headers) {
  rd_kafka_headers_t* list = nullptr;
  if (rd_kafka_message_headers(&message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const std::size_t count = rd_kafka_header_cnt(list);
  headers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    if (rd_kafka_header_get_all(list, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      break;
    }
    headers.emplace_back(name, std::string_view(static_cast<const char*>(value), size));
  }
}

std::optional<std::string_view> bytes(const void* data, std::size_t size) {
  if (data == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(data), size);
}

}  // namespace

struct KafkaFetcher::Topic {
  std::string name;  // without the prefix; records' views point here
  TopicHandle handle;
  std::vector<std::int64_t> next;  // by partition: the smallest offset that may come, or none
};

// What outlives the fetcher as long as a batch has views into it. The order of members is that of
// destruction, backwards: topics and the queue before the client.
struct KafkaFetcher::Core {
  std::unique_ptr<Client> client;
  Queue queue;
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics;
};

class KafkaFetcher::HeldMessages {
 public:
  HeldMessages(std::shared_ptr<Core> core, std::vector<rd_kafka_message_t*> messages)
      : core_(std::move(core)), messages_(std::move(messages)) {}
  ~HeldMessages() {
    for (rd_kafka_message_t* message : messages_) rd_kafka_message_destroy(message);
  }
  HeldMessages(const HeldMessages&) = delete;
  HeldMessages& operator=(const HeldMessages&) = delete;

 private:
  std::shared_ptr<Core> core_;
  std::vector<rd_kafka_message_t*> messages_;
};

KafkaFetcher::KafkaFetcher(std::shared_ptr<Core> core) : core_(std::move(core)) {}

Result<std::unique_ptr<KafkaFetcher>> KafkaFetcher::open(const KafkaOptions& options,
                                                         runtime::Isolation isolation) {
  auto client = Client::open(options, settings_for(options, isolation));
  if (!client) return tl::unexpected(client.error());
  auto core = std::make_shared<Core>();
  core->client = std::move(*client);
  core->queue.reset(rd_kafka_queue_new(core->client->get()));
  return std::unique_ptr<KafkaFetcher>(new KafkaFetcher(std::move(core)));
}

KafkaFetcher::~KafkaFetcher() {
  for (auto& [name, topic] : core_->topics) {
    for (std::size_t partition = 0; partition < topic->next.size(); ++partition) {
      if (topic->next[partition] == kNotAssigned) continue;
      rd_kafka_consume_stop(topic->handle.get(), static_cast<std::int32_t>(partition));
    }
  }
}

KafkaFetcher::Topic& KafkaFetcher::topic(const std::string& name) {
  auto& known = core_->topics[name];
  if (known == nullptr) {
    known = std::make_unique<Topic>();
    known->name = name;
    rd_kafka_topic_conf_t* conf = rd_kafka_default_topic_conf_dup(core_->client->get());
    rd_kafka_topic_conf_set_opaque(conf, known.get());
    known->handle.reset(
        rd_kafka_topic_new(core_->client->get(), core_->client->full_topic(name).c_str(), conf));
  }
  return *known;
}

Status KafkaFetcher::assign(const runtime::TopicPartition& partition, std::int64_t offset) {
  if (offset < 0 || partition.partition < 0) {
    return events::fail(events::Errc::kInternal, "Reading " + partition.topic + " [" +
                                                     std::to_string(partition.partition) +
                                                     "] from offset " + std::to_string(offset) +
                                                     ": neither may be negative.");
  }
  unassign(partition);
  Topic& from = topic(partition.topic);
  const auto index = static_cast<std::size_t>(partition.partition);
  if (from.next.size() <= index) from.next.resize(index + 1, kNotAssigned);
  if (rd_kafka_consume_start_queue(from.handle.get(), partition.partition, offset,
                                   core_->queue.get()) != 0) {
    return tl::unexpected(core_->client->error(
        rd_kafka_last_error(), "reading " + core_->client->full_topic(partition.topic) + " [" +
                                   std::to_string(partition.partition) + "] from offset " +
                                   std::to_string(offset)));
  }
  from.next[index] = offset;
  return {};
}

void KafkaFetcher::unassign(const runtime::TopicPartition& partition) {
  const auto found = core_->topics.find(partition.topic);
  if (found == core_->topics.end()) return;
  Topic& from = *found->second;
  const auto index = static_cast<std::size_t>(partition.partition);
  if (index >= from.next.size() || from.next[index] == kNotAssigned) return;
  // Returns when the partition is stopped. What was fetched for it stays queued, and librdkafka
  // discards it by its version when it comes up.
  rd_kafka_consume_stop(from.handle.get(), partition.partition);
  from.next[index] = kNotAssigned;
}

Status KafkaFetcher::poll(runtime::FetchBatch& batch, int timeout_ms, std::size_t records_max) {
  batch.clear();
  rd_kafka_poll(core_->client->get(), 0);
  const std::size_t limit = std::clamp<std::size_t>(records_max, 1, kPollRecordsMax);
  scratch_.resize(limit);
  rd_kafka_queue_t* queue = core_->queue.get();
  // A batch call waits until its batch is full or the time is over. So: what is there; if nothing,
  // wait for one, and take what came with it.
  auto count = rd_kafka_consume_batch_queue(queue, 0, scratch_.data(), limit);
  if (count == 0 && timeout_ms > 0) {
    count = rd_kafka_consume_batch_queue(queue, timeout_ms, scratch_.data(), 1);
    if (count == 1 && limit > 1) {
      count += std::max<ssize_t>(
          0, rd_kafka_consume_batch_queue(queue, 0, scratch_.data() + 1, limit - 1));
    }
  }
  if (count <= 0) return {};
  std::vector<rd_kafka_message_t*> messages(scratch_.begin(), scratch_.begin() + count);
  batch.hold(std::make_shared<HeldMessages>(core_, messages));
  batch.records.reserve(messages.size());
  Status status;
  for (const rd_kafka_message_t* message : messages) {
    if (auto delivered = deliver(*message, batch); !delivered && status) status = delivered;
  }
  return status;
}

Status KafkaFetcher::deliver(const rd_kafka_message_t& message, runtime::FetchBatch& batch) {
  if (message.rkt == nullptr) {
    return passing(message.err)
               ? Status{}
               : Status(tl::unexpected(core_->client->error(message.err, "reading")));
  }
  auto& from = *static_cast<Topic*>(rd_kafka_topic_opaque(message.rkt));
  const auto index = static_cast<std::size_t>(message.partition);
  if (index >= from.next.size() || from.next[index] == kNotAssigned) return {};
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) return deliver_error(message, from, batch);
  if (message.offset < from.next[index]) return {};
  from.next[index] = message.offset + 1;
  auto& record = batch.records.emplace_back();
  record.topic = from.name;
  record.partition = message.partition;
  record.offset = message.offset;
  rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  record.timestamp = events::Timestamp{rd_kafka_message_timestamp(&message, &kind)};
  record.key = bytes(message.key, message.key_len);
  record.value = bytes(message.payload, message.len);
  read_headers(message, record.headers);
  return {};
}

Status KafkaFetcher::deliver_error(const rd_kafka_message_t& message, Topic& from,
                                   runtime::FetchBatch& batch) {
  const runtime::TopicPartitionOffset where{from.name, message.partition, message.offset};
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      if (message.offset >= from.next[static_cast<std::size_t>(message.partition)]) {
        batch.ends.push_back(where);
      }
      return {};
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      batch.out_of_range.push_back(where);
      return {};
    default:
      break;
  }
  const auto error = core_->client->error(
      message.err,
      "reading " + core_->client->full_topic(from.name) + " [" + std::to_string(message.partition) +
          "] from offset " + std::to_string(from.next[static_cast<std::size_t>(message.partition)]),
      rd_kafka_message_errstr(&message));
  if (passing(message.err)) {
    spdlog::warn("{}", error.message);
    return {};
  }
  return tl::unexpected(error);
}

}  // namespace voketag::kafka
