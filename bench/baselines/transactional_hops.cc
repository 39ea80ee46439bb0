// How long six chained hops take at least: each consumes one message, produces it to the next topic
// and commits both in a transaction of its own, with nothing in between. Our main job has six such
// hops from request to completion.
//
//   transactional_hops --messages 100
//
// One message is under way at a time. Prints one JSON line with p50, p95 and p99 in milliseconds.

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

constexpr int kTransactionTimeoutMs = 30000;
constexpr std::int64_t kMessageTimeoutNs = 30'000'000'000;

void require(rd_kafka_error_t* error, const char* what) {
  if (error != nullptr) {
    fail(std::string(what) + ": " + rd_kafka_error_string(error));
  }
}

Client open_consumer(const Options& options, const std::string& topic, const std::string& group) {
  Client consumer =
      make_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", options.text("bootstrap")},
                                      {"group.id", group},
                                      {"enable.auto.commit", "false"},
                                      {"isolation.level", "read_committed"},
                                      {"socket.nagle.disable", "true"}});
  assign_whole_topic(consumer.get(), topic, true);
  return consumer;
}

Client open_producer(const Options& options, const std::string& transactional_id) {
  Properties properties = {{"bootstrap.servers", options.text("bootstrap")},
                           {"linger.ms", "0"},
                           {"socket.nagle.disable", "true"}};
  if (!transactional_id.empty()) {
    properties.emplace_back("transactional.id", transactional_id);
  }
  Client producer = make_client(RD_KAFKA_PRODUCER, properties);
  if (!transactional_id.empty()) {
    require(rd_kafka_init_transactions(producer.get(), kTransactionTimeoutMs), "init");
  }
  return producer;
}

// One hop: forwards each message in a transaction until told to stop.
class Hop {
 public:
  Hop(const Options& options, const std::string& from, std::string to)
      : group_(from + ".hop"),
        to_(std::move(to)),
        consumer_(open_consumer(options, from, group_)),
        producer_(open_producer(options, group_)) {}

  void run(const std::atomic<bool>& stop) {
    while (!stop) {
      const Message message(rd_kafka_consumer_poll(consumer_.get(), 100));
      if (message != nullptr && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        forward(*message);
      }
    }
  }

 private:
  void forward(const rd_kafka_message_t& message) {
    require(rd_kafka_begin_transaction(producer_.get()), "begin");
    produce(producer_.get(), to_, "", value_of(message));
    const PartitionList offsets(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(offsets.get(), rd_kafka_topic_name(message.rkt),
                                      message.partition)
        ->offset = message.offset + 1;
    rd_kafka_consumer_group_metadata_t* metadata =
        rd_kafka_consumer_group_metadata(consumer_.get());
    require(rd_kafka_send_offsets_to_transaction(producer_.get(), offsets.get(), metadata,
                                                 kTransactionTimeoutMs),
            "offsets");
    rd_kafka_consumer_group_metadata_destroy(metadata);
    require(rd_kafka_commit_transaction(producer_.get(), kTransactionTimeoutMs), "commit");
  }

  std::string group_;
  std::string to_;
  Client consumer_;
  Client producer_;
};

void await_message(rd_kafka_t* consumer) {
  const std::int64_t deadline_ns = now_ns() + kMessageTimeoutNs;
  while (now_ns() < deadline_ns) {
    const Message message(rd_kafka_consumer_poll(consumer, 100));
    if (message != nullptr && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      return;
    }
  }
  fail("a message did not come through the hops");
}

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"prefix", "baseline.hop-"},
                         {"hops", "6"},
                         {"messages", "100"},
                         {"warmup", "20"},
                         {"pause-ms", "50"},
                         {"bytes", "200"}});
  const Client entry = open_producer(options, "");
  const std::int64_t hops = options.number("hops");
  const auto topic = [&options](std::int64_t i) {
    return options.text("prefix") + std::to_string(i);
  };
  for (std::int64_t i = 0; i <= hops; ++i) {
    create_topic(entry.get(), topic(i), 1);
  }
  const Client exit = open_consumer(options, topic(hops), "voketag-bench-hops");
  std::atomic<bool> stop = false;
  std::vector<std::unique_ptr<Hop>> chain;
  std::vector<std::thread> threads;
  for (std::int64_t i = 0; i < hops; ++i) {
    chain.push_back(std::make_unique<Hop>(options, topic(i), topic(i + 1)));
    threads.emplace_back([hop = chain.back().get(), &stop] { hop->run(stop); });
  }

  const std::string payload(static_cast<std::size_t>(options.number("bytes")), 'x');
  std::vector<double> latencies_ms;
  for (std::int64_t i = -options.number("warmup"); i < options.number("messages"); ++i) {
    const std::int64_t sent_ns = now_ns();
    produce(entry.get(), topic(0), "", payload);
    await_message(exit.get());
    if (i >= 0) {
      latencies_ms.push_back(static_cast<double>(now_ns() - sent_ns) / 1e6);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(options.number("pause-ms")));
  }
  stop = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::printf(R"({"hops":%lld,"messages":%zu,"p50_ms":%.2f,"p95_ms":%.2f,"p99_ms":%.2f})"
              "\n",
              static_cast<long long>(hops), latencies_ms.size(), percentile(latencies_ms, 0.5),
              percentile(latencies_ms, 0.95), percentile(latencies_ms, 0.99));
  return 0;
}
