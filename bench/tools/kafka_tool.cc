#include "tools/kafka_tool.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace voketag::bench {
namespace {

constexpr int kMetadataTimeoutMs = 10000;
constexpr std::int64_t kLeaderTimeoutNs = 60'000'000'000;
constexpr int kAdminTimeoutMs = 30000;
constexpr std::size_t kErrorBytes = 512;

std::uint64_t mix(std::uint64_t value) {
  value *= 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

struct MetadataDeleter {
  void operator()(const rd_kafka_metadata_t* metadata) const {
    rd_kafka_metadata_destroy(metadata);
  }
};

struct QueueDeleter {
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
struct EventDeleter {
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, QueueDeleter>;
using Event = std::unique_ptr<rd_kafka_event_t, EventDeleter>;

Event await_admin(rd_kafka_queue_t* queue, const std::string& what) {
  Event event(rd_kafka_queue_poll(queue, kAdminTimeoutMs));
  if (event == nullptr) {
    fail(what + ": no answer from the broker");
  }
  if (rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    fail(what + ": " + rd_kafka_event_error_string(event.get()));
  }
  return event;
}

int partition_count(rd_kafka_t* consumer, const std::string& topic) {
  rd_kafka_topic_t* handle = rd_kafka_topic_new(consumer, topic.c_str(), nullptr);
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(consumer, 0, handle, &raw, kMetadataTimeoutMs);
  rd_kafka_topic_destroy(handle);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    fail("no metadata of " + topic + ": " + rd_kafka_err2str(error));
  }
  const std::unique_ptr<const rd_kafka_metadata_t, MetadataDeleter> metadata(raw);
  if (metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt == 0) {
    fail("topic " + topic + " does not exist: create it before it is measured");
  }
  return metadata->topics[0].partition_cnt;
}

// The partition's first and next offset. A topic that was just made has no leader for a moment.
std::pair<std::int64_t, std::int64_t> offsets_of(rd_kafka_t* consumer, const std::string& topic,
                                                 int partition) {
  const std::int64_t deadline_ns = now_ns() + kLeaderTimeoutNs;
  for (;;) {
    std::pair<std::int64_t, std::int64_t> offsets;
    const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
        consumer, topic.c_str(), partition, &offsets.first, &offsets.second, kMetadataTimeoutMs);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      return offsets;
    }
    if (now_ns() > deadline_ns) {
      fail("no offsets of " + topic + ": " + rd_kafka_err2str(error));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

[[noreturn]] void refuse_option(const std::string& argument,
                                const std::map<std::string, std::string>& defaults) {
  std::string known;
  for (const auto& [name, value] : defaults) {
    known.append(" --").append(name).append(value.empty() ? "" : "=").append(value);
  }
  fail("unknown option or no value: " + argument + "; options and defaults:" + known);
}

}  // namespace

void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(2);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Options::Options(int argument_count, char** arguments, std::map<std::string, std::string> defaults)
    : values_(std::move(defaults)) {
  for (int i = 1; i < argument_count; i += 2) {
    const std::string argument = arguments[i];
    const std::string name = argument.rfind("--", 0) == 0 ? argument.substr(2) : argument;
    const auto found = values_.find(name);
    if (found == values_.end() || i + 1 == argument_count) {
      refuse_option(argument, values_);
    }
    found->second = arguments[i + 1];
  }
}

const std::string& Options::text(const std::string& name) const {
  return values_.at(name);
}

std::int64_t Options::number(const std::string& name) const {
  const std::string& value = values_.at(name);
  std::int64_t result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc{} || end != value.data() + value.size()) {
    fail("--" + name + " is not a number: " + value);
  }
  return result;
}

Client make_client(rd_kafka_type_t type, const Properties& properties,
                   void (*delivered)(rd_kafka_t*, const rd_kafka_message_t*, void*), void* opaque) {
  char error[kErrorBytes];
  rd_kafka_conf_t* configuration = rd_kafka_conf_new();
  for (const auto& [name, value] : properties) {
    if (rd_kafka_conf_set(configuration, name.c_str(), value.c_str(), error, sizeof error) !=
        RD_KAFKA_CONF_OK) {
      fail(error);
    }
  }
  if (delivered != nullptr) {
    rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    rd_kafka_conf_set_opaque(configuration, opaque);
  }
  Client client(rd_kafka_new(type, configuration, error, sizeof error));
  if (client == nullptr) {
    fail(error);
  }
  if (type == RD_KAFKA_CONSUMER) {
    rd_kafka_poll_set_consumer(client.get());
  }
  return client;
}

void create_topic(rd_kafka_t* client, const std::string& topic, int partitions,
                  const Properties& configuration) {
  char error[kErrorBytes];
  rd_kafka_NewTopic_t* wanted =
      rd_kafka_NewTopic_new(topic.c_str(), partitions, 1, error, sizeof error);
  if (wanted == nullptr) {
    fail(error);
  }
  for (const auto& [name, value] : configuration) {
    rd_kafka_NewTopic_set_config(wanted, name.c_str(), value.c_str());
  }
  const Queue queue(rd_kafka_queue_new(client));
  rd_kafka_CreateTopics(client, &wanted, 1, nullptr, queue.get());
  const Event event = await_admin(queue.get(), "cannot create " + topic);
  std::size_t count = 0;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t result = rd_kafka_topic_result_error(results[i]);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR && result != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
      fail("cannot create " + topic + ": " + rd_kafka_err2str(result));
    }
  }
  rd_kafka_NewTopic_destroy(wanted);
}

int delete_topics(rd_kafka_t* client, const std::string& prefix) {
  if (prefix.size() < 4) {
    fail("the prefix " + prefix + " is too short to delete topics by");
  }
  const rd_kafka_metadata_t* raw = nullptr;
  if (rd_kafka_metadata(client, 1, nullptr, &raw, kMetadataTimeoutMs) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    fail("no list of topics from the broker");
  }
  const std::unique_ptr<const rd_kafka_metadata_t, MetadataDeleter> metadata(raw);
  std::vector<rd_kafka_DeleteTopic_t*> unwanted;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const std::string name = metadata->topics[i].topic;
    if (name.rfind(prefix, 0) == 0) {
      unwanted.push_back(rd_kafka_DeleteTopic_new(name.c_str()));
    }
  }
  if (!unwanted.empty()) {
    const Queue queue(rd_kafka_queue_new(client));
    rd_kafka_DeleteTopics(client, unwanted.data(), unwanted.size(), nullptr, queue.get());
    await_admin(queue.get(), "cannot delete topics");
    rd_kafka_DeleteTopic_destroy_array(unwanted.data(), unwanted.size());
  }
  return static_cast<int>(unwanted.size());
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) {
    fail("a percentile of nothing was asked for");
  }
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  return values[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

void produce(rd_kafka_t* producer, const std::string& topic, const std::string& key,
             std::string_view value) {
  std::array<rd_kafka_vu_t, 4> parts{};
  parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
  parts[0].u.cstr = topic.c_str();
  parts[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  parts[1].u.i = RD_KAFKA_MSG_F_COPY;
  parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[2].u.mem = {const_cast<char*>(value.data()), value.size()};
  parts[3].vtype = RD_KAFKA_VTYPE_KEY;
  parts[3].u.mem = {const_cast<char*>(key.data()), key.size()};
  const std::size_t count = key.empty() ? parts.size() - 1 : parts.size();
  for (;;) {
    rd_kafka_error_t* error = rd_kafka_produceva(producer, parts.data(), count);
    if (error == nullptr) {
      return;
    }
    const bool full = rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    const std::string reason = rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);
    if (!full) {
      fail(std::string("cannot produce to ").append(topic).append(": ").append(reason));
    }
    rd_kafka_poll(producer, 10);
  }
}

void assign_whole_topic(rd_kafka_t* consumer, const std::string& topic, bool from_end) {
  const int partitions = partition_count(consumer, topic);
  const PartitionList list(rd_kafka_topic_partition_list_new(partitions));
  for (int partition = 0; partition < partitions; ++partition) {
    const auto [low, high] = offsets_of(consumer, topic, partition);
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset =
        from_end ? high : low;
  }
  const rd_kafka_resp_err_t error = rd_kafka_assign(consumer, list.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    fail("cannot read " + topic + ": " + rd_kafka_err2str(error));
  }
}

std::string batch_id(std::uint64_t seed, std::uint64_t index) {
  const std::uint64_t high = mix(mix(seed) + index);
  const std::uint64_t low = mix(high + index + 1);
  char text[40];
  std::snprintf(text, sizeof text, "%08llx-%04llx-4%03llx-%04llx-%012llx",
                static_cast<unsigned long long>(high >> 32U),
                static_cast<unsigned long long>((high >> 16U) & 0xffffU),
                static_cast<unsigned long long>(high & 0xfffU),
                static_cast<unsigned long long>(0x8000U | ((low >> 48U) & 0x3fffU)),
                static_cast<unsigned long long>(low & 0xffffffffffffU));
  return text;
}

std::string batch_request(const std::string& id, std::int64_t products) {
  return R"({"batch_id":")" + id + R"(","product_count":)" + std::to_string(products) + "}";
}

std::int64_t number_after(std::string_view json, std::string_view name) {
  const std::size_t found = json.find(std::string("\"").append(name).append("\""));
  if (found == std::string_view::npos) {
    return -1;
  }
  std::size_t at = found + name.size() + 2;
  while (at < json.size() &&
         (json[at] == ':' || std::isspace(static_cast<unsigned char>(json[at])) != 0)) {
    ++at;
  }
  std::int64_t result = -1;
  std::from_chars(json.data() + at, json.data() + json.size(), result);
  return result;
}

std::string_view key_of(const rd_kafka_message_t& message) {
  return {static_cast<const char*>(message.key), message.key_len};
}

std::string_view value_of(const rd_kafka_message_t& message) {
  return {static_cast<const char*>(message.payload), message.len};
}

}  // namespace voketag::bench
