// Requests small batches one after another and measures from the request to the committed record
// that ends each.
//
//   batch_latency --topic voketag.batch-requested --completed voketag.batch-completed --batches 100
//
// The record that ends a batch is the one in --completed whose key is the batch id. Prints one JSON
// line with the latencies in milliseconds, in order. Exit code 4 when a batch does not end within
// --timeout-s.

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

bool await_key(rd_kafka_t* consumer, const std::string& key, std::int64_t deadline_ns) {
  while (now_ns() < deadline_ns) {
    const Message message(rd_kafka_consumer_poll(consumer, 100));
    if (message != nullptr && message->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
        key_of(*message) == key) {
      return true;
    }
  }
  return false;
}

void print(const std::vector<double>& latencies_ms) {
  std::printf(R"({"latencies_ms":[)");
  for (std::size_t i = 0; i < latencies_ms.size(); ++i) {
    std::printf("%s%.2f", i == 0 ? "" : ",", latencies_ms[i]);
  }
  std::printf("]}\n");
}

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"topic", "voketag.batch-requested"},
                         {"completed", "voketag.batch-completed"},
                         {"batches", "100"},
                         {"products", "1000"},
                         {"pause-ms", "50"},
                         {"seed", "1"},
                         {"timeout-s", "30"}});
  const Client producer =
      make_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", options.text("bootstrap")},
                                      {"enable.idempotence", "true"},
                                      {"linger.ms", "0"},
                                      {"partitioner", "murmur2_random"},
                                      {"socket.nagle.disable", "true"}});
  const Client consumer =
      make_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", options.text("bootstrap")},
                                      {"group.id", "voketag-bench-latency"},
                                      {"enable.auto.commit", "false"},
                                      {"isolation.level", "read_committed"},
                                      {"socket.nagle.disable", "true"}});
  assign_whole_topic(consumer.get(), options.text("completed"), true);
  std::vector<double> latencies_ms;
  for (std::int64_t i = 0; i < options.number("batches"); ++i) {
    const std::string id =
        batch_id(static_cast<std::uint64_t>(options.number("seed")), static_cast<std::uint64_t>(i));
    const std::int64_t sent_ns = now_ns();
    produce(producer.get(), options.text("topic"), id,
            batch_request(id, options.number("products")));
    rd_kafka_poll(producer.get(), 0);
    if (!await_key(consumer.get(), id, sent_ns + options.number("timeout-s") * 1000000000)) {
      std::fprintf(stderr, "batch %s did not end within %s s\n", id.c_str(),
                   options.text("timeout-s").c_str());
      return 4;
    }
    latencies_ms.push_back(static_cast<double>(now_ns() - sent_ns) / 1e6);
    std::this_thread::sleep_for(std::chrono::milliseconds(options.number("pause-ms")));
  }
  print(latencies_ms);
  rd_kafka_flush(producer.get(), 10000);
  rd_kafka_consumer_close(consumer.get());
  return 0;
}
