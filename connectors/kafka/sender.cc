#include "connectors/kafka/sender.h"

#include <algorithm>
#include <array>

#include "events/topics.h"

namespace voketag::kafka {
namespace {

// Key, headers (dead letters carry the headers of the record they hold) and the batch's own bytes.
constexpr std::int64_t kEnvelopeBytesMax = 256 * 1024;
// librdkafka fills a batch up to batch.size whatever the topic's limit is.
constexpr std::int64_t kTopicBytesMin = 2 * 1024 * 1024;
// What the broker counts beyond key, value and headers.
constexpr std::int64_t kBatchBytes = 1024;

HeaderList header_list(const events::Headers& headers) {
  if (headers.empty()) return nullptr;
  HeaderList list(rd_kafka_headers_new(headers.size()));
  for (const auto& [name, value] : headers) {
    rd_kafka_header_add(list.get(), name.data(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  return list;
}

void* mutable_data(const std::optional<std::string>& text) {
  return text ? const_cast<char*>(text->data()) : nullptr;
}

std::size_t size_of(const std::optional<std::string>& text) {
  return text ? text->size() : 0;
}

}  // namespace

void SendTopic::acknowledge(std::int32_t partition, Acknowledged last) {
  if (partition < 0) return;
  const auto index = static_cast<std::size_t>(partition);
  if (acknowledged.size() <= index) acknowledged.resize(index + 1);
  if (last.offset > acknowledged[index].offset) acknowledged[index] = last;
}

const SendTopic::Acknowledged* SendTopic::last(std::int32_t partition) const {
  const auto index = static_cast<std::size_t>(partition);
  if (partition < 0 || index >= acknowledged.size() || acknowledged[index].offset < 0) {
    return nullptr;
  }
  return &acknowledged[index];
}

SendTopic& Sender::topic(const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto& known = topics_[name];
  if (known == nullptr) {
    known = std::make_unique<SendTopic>();
    known->full_name = client_.full_topic(name);
    known->record_bytes_max = topic_bytes_max(name, client_.options()) - kBatchBytes;
    rd_kafka_topic_conf_t* conf = rd_kafka_default_topic_conf_dup(client_.get());
    rd_kafka_topic_conf_set_opaque(conf, known.get());
    known->handle.reset(rd_kafka_topic_new(client_.get(), known->full_name.c_str(), conf));
  }
  return *known;
}

const SendTopic* Sender::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : found->second.get();
}

void Sender::forget() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, topic] : topics_) {
    topic->acknowledged.clear();
    topic->delivery_error.clear();
  }
}

std::string Sender::first_delivery_error() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, topic] : topics_) {
    if (!topic->delivery_error.empty()) return topic->delivery_error;
  }
  return {};
}

rd_kafka_resp_err_t Sender::enqueue(const events::OutputRecord& record, void* opaque, Value value) {
  SendTopic& target = topic(record.topic);
  if (record_bytes(record) > target.record_bytes_max) {
    return RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
  }
  HeaderList headers = header_list(record.headers);
  std::array<rd_kafka_vu_t, 7> fields{};
  fields[0].vtype = RD_KAFKA_VTYPE_RKT;
  fields[0].u.rkt = target.handle.get();
  fields[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  fields[1].u.i32 = record.partition < 0 ? RD_KAFKA_PARTITION_UA : record.partition;
  fields[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[2].u.i = value == Value::kCopied ? RD_KAFKA_MSG_F_COPY : 0;
  fields[3].vtype = RD_KAFKA_VTYPE_KEY;
  fields[3].u.mem = {mutable_data(record.key), size_of(record.key)};
  fields[4].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[4].u.mem = {mutable_data(record.value), size_of(record.value)};
  fields[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  fields[5].u.ptr = opaque;
  fields[6].vtype = RD_KAFKA_VTYPE_HEADERS;
  fields[6].u.headers = headers.get();
  const std::size_t count = headers == nullptr ? fields.size() - 1 : fields.size();
  const ErrorObject error(rd_kafka_produceva(client_.get(), fields.data(), count));
  const auto code = rd_kafka_error_code(error.get());
  // Taken over when queued, still ours when refused.
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) static_cast<void>(headers.release());
  return code;
}

std::int64_t record_bytes(const events::OutputRecord& record) {
  std::size_t size = size_of(record.key) + size_of(record.value);
  // Two lengths of up to five bytes each.
  for (const auto& [name, value] : record.headers) size += name.size() + value.size() + 10;
  return static_cast<std::int64_t>(size);
}

std::int64_t limit_with_envelope(std::int64_t value_bytes_max, const KafkaOptions& options) {
  if (value_bytes_max <= 0) return options.record_bytes_max;
  return std::min(options.record_bytes_max,
                  std::max(kTopicBytesMin, value_bytes_max + kEnvelopeBytesMax));
}

std::int64_t topic_bytes_max(std::string_view topic, const KafkaOptions& options) {
  for (const events::Topic& known : events::topic_catalogue()) {
    if (known.name == topic) return limit_with_envelope(known.message_bytes_max, options);
  }
  return options.record_bytes_max;
}

std::string describe(const Client& client, const events::OutputRecord& record) {
  std::string text = client.full_topic(record.topic) + " [";
  text += record.partition < 0 ? std::string("by key") : std::to_string(record.partition);
  return text + "]";
}

}  // namespace voketag::kafka
