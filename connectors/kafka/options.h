#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "events/error.h"

namespace voketag::kafka {

// How to reach a cluster, and the bounds that every handle on it keeps.
struct KafkaOptions {
  std::string bootstrap_servers;          // "host:port,host:port"
  std::string topic_prefix = "voketag.";  // before every topic; group ids are given whole
  std::string instance = "local";         // in the client ids, so that broker logs name us

  // Any librdkafka property (TLS, SASL, ...). Overrides the defaults chosen here. Properties that
  // exactly-once rests on cannot be given (see reserved_property).
  std::map<std::string, std::string> properties;

  // A member that is not heard of for this long loses its partitions. A default broker accepts
  // 6 s and more (its group.min.session.timeout.ms).
  int session_timeout_ms = 6000;
  // A member whose poll is not called for this long leaves the group by itself.
  int poll_interval_max_ms = 60000;
  // The broker aborts a transaction that is open for longer.
  int transaction_timeout_ms = 15000;
  // Bound of a commit, an abort, and of waiting for a full send queue.
  int commit_timeout_ms = 20000;
  // Bound of open_producer; the transaction of a predecessor is settled within it.
  int open_timeout_ms = 30000;
  // Bound of one question about topics, offsets or watermarks.
  int request_timeout_ms = 10000;
  // Bound of creating topics: a few hundred partitions keep a small broker busy for seconds.
  int create_timeout_ms = 60000;
  // How long the broker holds an empty fetch. A record is delivered as soon as it is there; what
  // waits this long at most is the news that a partition's end is reached, and the first fetch of
  // a partition that was just assigned.
  int fetch_wait_ms = 50;
  // How long a producer waits for more records to share a batch: longer than a transaction lasts, so
  // a batch goes out when it is full, or at the commit, which flushes what waits at once. Each
  // request costs the broker as much as some ten kilobytes do.
  int linger_ms = 200;
  // A full batch. Requests of more than half a region of its heap (1 MiB, with a heap of 1 GiB) are
  // "humongous" to a broker's garbage collector, which copes badly with them.
  int batch_bytes = 500'000;
  std::string compression = "none";  // none, gzip, snappy, lz4, zstd

  // Memory: of each fetcher, what is read ahead. Measured to read as fast as four times as much.
  // One response on top, which is as large as the largest record may be.
  std::int64_t fetch_queue_bytes_max = 4 * 1024 * 1024;
  // Memory of each producer: sent and not yet acknowledged.
  std::int64_t send_queue_bytes_max = 32 * 1024 * 1024;
  // The largest record that can be written or read, with its key and headers. The largest dead
  // letter (8 MiB) and its envelope fit.
  std::int64_t record_bytes_max = 9 * 1024 * 1024;
};

// Reads VOKETAG_KAFKA (required), VOKETAG_TOPIC_PREFIX, VOKETAG_INSTANCE, and VOKETAG_KAFKA_*: the
// rest of the name in lower case with dots for underscores is a librdkafka property, so
// VOKETAG_KAFKA_SASL_PASSWORD is sasl.password. Each of these may have _FILE appended: the value
// is then the file's content without the line end. kInvalid: something is missing, unreadable,
// unknown to librdkafka, or reserved; the message names the variable.
events::Result<KafkaOptions> options_from_environment(const char* const* environment);

// Whether VokeTag decides this property alone, because exactly-once or the order of records rests
// on it.
bool reserved_property(std::string_view name);

}  // namespace voketag::kafka
