// Waits for committed records of one topic and says when the last one came.
//
//   await_topic --topic voketag.merkle-root-computed --records 2000
//   await_topic --topic voketag.tokens-generated --field count --total 2000000 --from beginning
//
// Prints `ready` once every partition is positioned (so a script may then send its requests), and
// at the end one JSON line: records, distinct keys, the sum of the counted field, when the first
// and the last of them came (nanoseconds of CLOCK_MONOTONIC) and bytes of values. Exit code 4 after
// --timeout-s without the whole count. With --equals N only records whose field is N are counted.

#include <array>
#include <cstdio>
#include <unordered_set>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

constexpr std::size_t kBatch = 1000;

struct Counted {
  std::int64_t records = 0;
  std::int64_t total = 0;
  std::int64_t value_bytes = 0;
  std::int64_t first_ns = 0;
  std::int64_t last_ns = 0;
  std::unordered_set<std::string> keys;
};

struct Goal {
  std::int64_t records;
  std::int64_t total;
  std::string field;
  std::int64_t equals;

  bool reached(const Counted& counted) const {
    return counted.records >= records && counted.total >= total;
  }
};

void count(const rd_kafka_message_t& message, const Goal& goal, std::int64_t arrived_ns,
           Counted& counted) {
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      return;
    }
    fail(std::string("reading failed: ") + rd_kafka_message_errstr(&message));
  }
  const std::int64_t value = goal.field.empty() ? 0 : number_after(value_of(message), goal.field);
  if (goal.equals != 0 && value != goal.equals) {
    return;
  }
  counted.total += value > 0 ? value : 0;
  ++counted.records;
  counted.value_bytes += static_cast<std::int64_t>(message.len);
  counted.keys.emplace(key_of(message));
  if (counted.first_ns == 0) {
    counted.first_ns = arrived_ns;
  }
  counted.last_ns = arrived_ns;
}

void consume_until(rd_kafka_queue_t* queue, const Goal& goal, std::int64_t deadline_ns,
                   Counted& counted) {
  std::array<rd_kafka_message_t*, kBatch> messages{};
  while (!goal.reached(counted) && now_ns() < deadline_ns) {
    // A batch call waits until its batch is full or the time is over: take what is there, and only
    // where there is nothing wait for one.
    ssize_t received = rd_kafka_consume_batch_queue(queue, 0, messages.data(), messages.size());
    if (received == 0) received = rd_kafka_consume_batch_queue(queue, 100, messages.data(), 1);
    const std::int64_t arrived_ns = now_ns();
    for (ssize_t i = 0; i < received; ++i) {
      const Message message(messages.at(static_cast<std::size_t>(i)));
      count(*message, goal, arrived_ns, counted);
    }
  }
}

void print(const Counted& counted) {
  std::printf(R"({"records":%lld,"distinct_keys":%zu,"total":%lld,"value_bytes":%lld,)"
              R"("first_ns":%lld,"last_ns":%lld})"
              "\n",
              static_cast<long long>(counted.records), counted.keys.size(),
              static_cast<long long>(counted.total), static_cast<long long>(counted.value_bytes),
              static_cast<long long>(counted.first_ns), static_cast<long long>(counted.last_ns));
}

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"topic", ""},
                         {"records", "0"},
                         {"field", ""},
                         {"total", "0"},
                         {"equals", "0"},
                         {"from", "end"},
                         {"settle-ms", "0"},
                         {"timeout-s", "120"}});
  const Client consumer =
      make_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", options.text("bootstrap")},
                                      {"group.id", "voketag-bench-await"},
                                      {"enable.auto.commit", "false"},
                                      {"isolation.level", "read_committed"},
                                      {"fetch.wait.max.ms", "100"},
                                      {"queued.max.messages.kbytes", "16384"},
                                      {"socket.nagle.disable", "true"}});
  assign_whole_topic(consumer.get(), options.text("topic"), options.text("from") == "end");
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(consumer.get());
  std::printf("ready\n");
  std::fflush(stdout);

  const Goal goal{options.number("records"), options.number("total"), options.text("field"),
                  options.number("equals")};
  Counted counted;
  consume_until(queue, goal, now_ns() + options.number("timeout-s") * 1000000000, counted);
  const bool reached = goal.reached(counted);
  if (reached && options.number("settle-ms") > 0) {
    // Records beyond the goal would be duplicates: stay a little to catch them.
    const Goal never{INT64_MAX, INT64_MAX, goal.field, goal.equals};
    const std::int64_t last_ns = counted.last_ns;
    consume_until(queue, never, now_ns() + options.number("settle-ms") * 1000000, counted);
    counted.last_ns = last_ns;
  }
  print(counted);
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(consumer.get());
  return reached ? 0 : 4;
}
