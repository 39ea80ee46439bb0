// Produces batch requests as an outsider would: an idempotent producer, key = batch_id, plain JSON.
//
//   request_batches --topic voketag.batch-requested --batches 1000 --products 1000 --seed 7
//
// Prints one JSON line: when the first request was handed to the client and when the last was
// acknowledged (nanoseconds of CLOCK_MONOTONIC). With --list FILE the batch ids are written there,
// one a line.

#include <cstdio>
#include <fstream>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

constexpr int kFlushTimeoutMs = 60000;

struct Deliveries {
  std::int64_t acknowledged = 0;
  std::int64_t failed = 0;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto* deliveries = static_cast<Deliveries*>(opaque);
  ++(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? deliveries->acknowledged : deliveries->failed);
}

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"topic", "voketag.batch-requested"},
                         {"batches", "1"},
                         {"products", "1000"},
                         {"seed", "1"},
                         {"list", ""}});
  Deliveries deliveries;
  const Client producer = make_client(RD_KAFKA_PRODUCER,
                                      {{"bootstrap.servers", options.text("bootstrap")},
                                       {"enable.idempotence", "true"},
                                       {"linger.ms", "1"},
                                       {"partitioner", "murmur2_random"},
                                       {"socket.nagle.disable", "true"}},
                                      on_delivery, &deliveries);
  // Connects and fetches metadata before the clock starts: the request is what is measured.
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(producer.get(), 1, nullptr, &metadata, 10000) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    fail("no broker at " + options.text("bootstrap"));
  }
  rd_kafka_metadata_destroy(metadata);

  std::ofstream list;
  if (!options.text("list").empty()) {
    list.open(options.text("list"));
  }
  const std::int64_t first_sent_ns = now_ns();
  for (std::int64_t i = 0; i < options.number("batches"); ++i) {
    const std::string id =
        batch_id(static_cast<std::uint64_t>(options.number("seed")), static_cast<std::uint64_t>(i));
    produce(producer.get(), options.text("topic"), id,
            batch_request(id, options.number("products")));
    if (list.is_open()) {
      list << id << '\n';
    }
  }
  rd_kafka_flush(producer.get(), kFlushTimeoutMs);
  const std::int64_t last_acknowledged_ns = now_ns();
  if (deliveries.acknowledged != options.number("batches")) {
    fail(std::to_string(options.number("batches") - deliveries.acknowledged) +
         " requests were not acknowledged");
  }
  std::printf(R"({"batches":%lld,"first_sent_ns":%lld,"last_acknowledged_ns":%lld})"
              "\n",
              static_cast<long long>(deliveries.acknowledged),
              static_cast<long long>(first_sent_ns), static_cast<long long>(last_acknowledged_ns));
  return 0;
}
