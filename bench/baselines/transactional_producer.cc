// The ceiling that every producer of tokens runs against: a bare transactional librdkafka producer
// that writes records of the size of our tokens-generated chunks as fast as it can, and does
// nothing else.
//
//   transactional_producer --topic baseline.tokens-generated --products 5000000
//
// The values lie ready in memory and are handed over without a copy; transactions last about 100
// ms; the partition is named, so that no key is hashed. The clock runs from the first produce to
// the last commit. Several producers
// (--producers) each write their share from a thread of their own. Prints one JSON line.

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

constexpr int kTransactionTimeoutMs = 30000;
constexpr std::int64_t kWarmUpNs = 1'000'000'000;
constexpr std::size_t kDistinctValues = 16;
constexpr std::size_t kTokenChars = 46;

struct Job {
  std::string topic;
  std::int64_t records;
  std::int64_t transaction_ns;
  std::int64_t partitions;
};

void require(rd_kafka_error_t* error, const char* what) {
  if (error != nullptr) {
    fail(std::string(what) + ": " + rd_kafka_error_string(error));
  }
}

// One chunk record as the system writes it, with random characters for tokens: the bytes do not
// compress.
std::string chunk_value(std::int64_t products, std::uint64_t seed) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string value = R"({"batch_id":")" + batch_id(seed, 0) +
                      R"(","chunk_index":12,"first_serial":6001,"count":)" +
                      std::to_string(products) + R"(,"tokens":[)";
  std::uint64_t state = seed * 2 + 1;
  for (std::int64_t i = 0; i < products; ++i) {
    value += i == 0 ? "\"" : ",\"";
    for (std::size_t at = 0; at < kTokenChars; ++at) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      value += kAlphabet[state >> 58U];
    }
    value += '"';
  }
  return value + "]}";
}

void produce(rd_kafka_t* producer, rd_kafka_topic_t* topic, std::int32_t partition,
             const std::string& key, const std::string& value) {
  while (rd_kafka_produce(topic, partition, 0, const_cast<char*>(value.data()), value.size(),
                          key.data(), key.size(), nullptr) != 0) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      fail(std::string("cannot produce: ") + rd_kafka_err2str(rd_kafka_last_error()));
    }
    rd_kafka_poll(producer, 1);
  }
}

void write_records(rd_kafka_t* producer, const Job& job, const std::vector<std::string>& values) {
  rd_kafka_topic_t* topic = rd_kafka_topic_new(producer, job.topic.c_str(), nullptr);
  std::int64_t written = 0;
  while (written < job.records) {
    require(rd_kafka_begin_transaction(producer), "begin");
    const std::int64_t commit_at_ns = now_ns() + job.transaction_ns;
    while (written < job.records && now_ns() < commit_at_ns) {
      const std::string key = "01234567-89ab-4cde-8f01-23456789abcd:" + std::to_string(written);
      produce(producer, topic, static_cast<std::int32_t>(written % job.partitions), key,
              values[static_cast<std::size_t>(written) % values.size()]);
      ++written;
    }
    require(rd_kafka_commit_transaction(producer, kTransactionTimeoutMs), "commit");
  }
  rd_kafka_topic_destroy(topic);
}

Client open_producer(const Options& options, std::int64_t number) {
  Client producer = make_client(
      RD_KAFKA_PRODUCER,
      {{"bootstrap.servers", options.text("bootstrap")},
       {"transactional.id", options.text("topic") + ".baseline." + std::to_string(number)},
       {"linger.ms", options.text("linger-ms")},
       {"batch.size", options.text("batch-bytes")},
       {"message.max.bytes", "8000000"},
       {"queue.buffering.max.kbytes", options.text("queue-kbytes")},
       {"queue.buffering.max.messages", "1000000"},
       {"delivery.report.only.error", "true"},
       {"socket.send.buffer.bytes", "1048576"},
       {"socket.nagle.disable", "true"}});
  require(rd_kafka_init_transactions(producer.get(), kTransactionTimeoutMs), "init");
  return producer;
}

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"topic", ""},
                         {"partitions", "12"},
                         {"products", "5000000"},
                         {"chunk-products", "512"},
                         {"producers", "1"},
                         {"transaction-ms", "100"},
                         {"linger-ms", "5"},
                         {"batch-bytes", "1000000"},
                         {"queue-kbytes", "65536"}});
  const std::int64_t producers = options.number("producers");
  const std::int64_t products_per_record = options.number("chunk-products");
  const std::int64_t records = options.number("products") / products_per_record;
  std::vector<std::string> values;
  values.reserve(kDistinctValues);
  for (std::size_t i = 0; i < kDistinctValues; ++i) {
    values.push_back(chunk_value(products_per_record, i));
  }
  std::vector<Client> clients;
  clients.reserve(static_cast<std::size_t>(producers));
  for (std::int64_t i = 0; i < producers; ++i) {
    clients.push_back(open_producer(options, i));
  }
  create_topic(clients.front().get(), options.text("topic"),
               static_cast<int>(options.number("partitions")));

  const Job job{options.text("topic"), records / producers,
                options.number("transaction-ms") * 1000000, options.number("partitions")};
  // The first transaction finds partitions and coordinator; it is not what is measured.
  for (const Client& client : clients) {
    write_records(client.get(), {job.topic, job.partitions, kWarmUpNs, job.partitions}, values);
  }
  const std::int64_t started_ns = now_ns();
  std::vector<std::thread> threads;
  threads.reserve(clients.size());
  for (const Client& client : clients) {
    threads.emplace_back([&client, &job, &values] { write_records(client.get(), job, values); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const double seconds = static_cast<double>(now_ns() - started_ns) / 1e9;
  const double written = static_cast<double>(job.records * producers);
  std::printf(
      R"({"products":%.0f,"seconds":%.4f,"products_per_second":%.0f,"megabytes_per_second":%.1f})"
      "\n",
      written * static_cast<double>(products_per_record), seconds,
      written * static_cast<double>(products_per_record) / seconds,
      written * static_cast<double>(values.front().size()) / seconds / 1e6);
  return 0;
}
