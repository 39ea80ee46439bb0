#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace voketag::bench {

// What the small measuring tools share: options, clocks and owned librdkafka handles.
//
// The tools end the process with exit code 2 and one line of explanation when something is wrong:
// they are run by scripts, hold nothing worth saving, and a measurement that went wrong must not
// look right.

// Prints the message to standard error and exits with code 2.
[[noreturn]] void fail(const std::string& message);

// Nanoseconds of CLOCK_MONOTONIC: comparable between the processes of one machine, and with
// Python's time.monotonic_ns().
std::int64_t now_ns();

// `--name value` pairs. Unknown names are refused, so that a misspelt option does not measure
// something else.
class Options {
 public:
  // `defaults` names every option; an empty default of a name in `required` must be given.
  Options(int argument_count, char** arguments, std::map<std::string, std::string> defaults);

  const std::string& text(const std::string& name) const;
  std::int64_t number(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

struct ClientDeleter {
  void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
};
struct ListDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
struct MessageDeleter {
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using Client = std::unique_ptr<rd_kafka_t, ClientDeleter>;
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListDeleter>;
using Message = std::unique_ptr<rd_kafka_message_t, MessageDeleter>;

using Properties = std::vector<std::pair<std::string, std::string>>;

// A client of the given kind. `delivered` may be null; it is called from rd_kafka_poll and
// rd_kafka_flush.
Client make_client(rd_kafka_type_t type, const Properties& properties,
                   void (*delivered)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr,
                   void* opaque = nullptr);

// Creates the topic with one replica; that it exists already is no error. `configuration` as in
// Kafka's topic configuration, for instance {"cleanup.policy", "compact"}.
void create_topic(rd_kafka_t* client, const std::string& topic, int partitions,
                  const Properties& configuration = {});

// Deletes every topic whose name begins with the prefix, and says how many there were. At least 4
// characters.
int delete_topics(rd_kafka_t* client, const std::string& prefix);

// The value below which the given share (0..1) of the values lies: nearest rank. Sorts its own
// copy.
double percentile(std::vector<double> values, double share);

// Queues one record, copied; an empty key is none. Waits while the client's queue is full.
void produce(rd_kafka_t* producer, const std::string& topic, const std::string& key,
             std::string_view value);

// Assigns every partition of the topic to the consumer, at its high watermark or at its beginning.
void assign_whole_topic(rd_kafka_t* consumer, const std::string& topic, bool from_end);

// A UUID of version 4's shape that follows from seed and index, so that a run can be repeated.
std::string batch_id(std::uint64_t seed, std::uint64_t index);

// {"batch_id": id, "product_count": products}
std::string batch_request(const std::string& id, std::int64_t products);

// The number after `"name":` in a JSON text, or -1. Enough for the flat records that are counted
// here.
std::int64_t number_after(std::string_view json, std::string_view name);

std::string_view key_of(const rd_kafka_message_t& message);
std::string_view value_of(const rd_kafka_message_t& message);

}  // namespace voketag::bench
