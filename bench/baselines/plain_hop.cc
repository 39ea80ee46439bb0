// How long one hop through Kafka takes at least: produce (idempotent, acks=all, no transaction) and
// consume.
//
//   plain_hop --messages 2000
//
// One message is under way at a time. Prints one JSON line with p50, p95 and p99 in milliseconds.

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

constexpr std::int64_t kMessageTimeoutNs = 30'000'000'000;

void await_message(rd_kafka_t* consumer) {
  const std::int64_t deadline_ns = now_ns() + kMessageTimeoutNs;
  while (now_ns() < deadline_ns) {
    const Message message(rd_kafka_consumer_poll(consumer, 100));
    if (message != nullptr && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      return;
    }
  }
  fail("a message did not come back");
}

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"topic", "baseline.plain-hop"},
                         {"messages", "2000"},
                         {"warmup", "200"},
                         {"pause-ms", "1"},
                         {"bytes", "200"}});
  const Client producer =
      make_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", options.text("bootstrap")},
                                      {"enable.idempotence", "true"},
                                      {"linger.ms", "0"},
                                      {"socket.nagle.disable", "true"}});
  create_topic(producer.get(), options.text("topic"), 1);
  const Client consumer =
      make_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", options.text("bootstrap")},
                                      {"group.id", "voketag-bench-plain-hop"},
                                      {"enable.auto.commit", "false"},
                                      {"isolation.level", "read_committed"},
                                      {"socket.nagle.disable", "true"}});
  assign_whole_topic(consumer.get(), options.text("topic"), true);

  const std::string payload(static_cast<std::size_t>(options.number("bytes")), 'x');
  std::vector<double> latencies_ms;
  for (std::int64_t i = -options.number("warmup"); i < options.number("messages"); ++i) {
    const std::int64_t sent_ns = now_ns();
    produce(producer.get(), options.text("topic"), "", payload);
    await_message(consumer.get());
    rd_kafka_poll(producer.get(), 0);
    if (i >= 0) {
      latencies_ms.push_back(static_cast<double>(now_ns() - sent_ns) / 1e6);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(options.number("pause-ms")));
  }
  std::printf(R"({"messages":%zu,"p50_ms":%.2f,"p95_ms":%.2f,"p99_ms":%.2f})"
              "\n",
              latencies_ms.size(), percentile(latencies_ms, 0.5), percentile(latencies_ms, 0.95),
              percentile(latencies_ms, 0.99));
  return 0;
}
