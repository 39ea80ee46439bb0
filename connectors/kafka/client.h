#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connectors/kafka/error_class.h"
#include "connectors/kafka/options.h"
#include "events/error.h"

// Ownership of librdkafka's C objects, and what all our handles have in common.
namespace voketag::kafka {

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};

using Conf = std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using HeaderList = std::unique_ptr<rd_kafka_headers_t, Destroy<rd_kafka_headers_destroy>>;
using ErrorObject = std::unique_ptr<rd_kafka_error_t, Destroy<rd_kafka_error_destroy>>;
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                      Destroy<rd_kafka_topic_partition_list_destroy>>;
using GroupMetadata = std::unique_ptr<rd_kafka_consumer_group_metadata_t,
                                      Destroy<rd_kafka_consumer_group_metadata_destroy>>;

using Properties = std::vector<std::pair<std::string, std::string>>;

// One rd_kafka_t: its threads (one of its own, one per broker it talks to, one per coordinator),
// its log, its connection troubles. Thread-safe, as rd_kafka_t is. Destruction ends the threads and
// closes the connections; a consumer is to leave its group before.
class Client {
 public:
  struct Settings {
    bool consumer = false;
    std::string purpose;  // the end of the client id, and what log lines name
    Properties defaults;  // options.properties override these ...
    Properties fixed;     // ... and not these
    int events = 0;       // RD_KAFKA_EVENT_* to be had from queues instead of callbacks
    void (*delivered)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr;
  };

  // kInvalid: a property was refused, the message says which and why. Does not connect yet.
  static events::Result<std::unique_ptr<Client>> open(const KafkaOptions& options,
                                                      Settings settings);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  rd_kafka_t* get() const { return handle_; }
  const KafkaOptions& options() const { return options_; }
  const std::string& purpose() const { return purpose_; }

  // "voketag." + topic, and back. A topic without the prefix is returned as it is.
  std::string full_topic(std::string_view topic) const;
  std::string_view short_topic(std::string_view full) const;

  // How many connections were closed so far: broken, timed out, or idle.
  std::uint64_t disturbances() const { return disturbances_.load(std::memory_order_relaxed); }

  // "Kafka at HOST:PORT: <what>: <librdkafka's reason> (CODE). <last connection trouble>. <cure>"
  events::Error error(rd_kafka_resp_err_t code, std::string_view what,
                      std::string_view reason = {}) const;
  events::Error error(const rd_kafka_error_t& error, std::string_view what) const;
  ErrorFacts facts(const rd_kafka_error_t& error) const;

 private:
  explicit Client(const KafkaOptions& options, const Settings& settings);
  static void on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text);
  static void on_error(rd_kafka_t* handle, int code, const char* reason, void* opaque);
  static int on_close_socket(int socket, void* opaque);
  // Whether it is time to log it.
  bool note_trouble(std::string text);

  const KafkaOptions options_;
  const std::string purpose_;
  rd_kafka_t* handle_ = nullptr;
  std::atomic<std::uint64_t> disturbances_{0};
  mutable std::mutex trouble_mutex_;
  std::string trouble_;  // the last connection trouble, for messages
  std::int64_t trouble_logged_at_ms_ = -1'000'000;
};

// A moment after which one stops waiting.
class Deadline {
 public:
  explicit Deadline(int timeout_ms);
  // Never negative.
  int remaining_ms() const;
  bool passed() const { return remaining_ms() == 0; }

 private:
  std::int64_t at_ms_;
};

std::int64_t monotonic_ms();

}  // namespace voketag::kafka
