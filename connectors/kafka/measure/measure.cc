// Measures this connector on the cluster that VOKETAG_KAFKA names:
//   kafka_measure hop COUNT [GAP_MS]   latency of one-record transactions, from the write of the
//                                      input to the sight of the output; and of their parts
//   kafka_measure plain COUNT          the same without transactions
//   kafka_measure chain COUNT          commits one right after the other
//   kafka_measure throughput COUNT [BYTES]  transactions of 16 MiB, records of BYTES (50000)
//   kafka_measure open COUNT           opening of a producer: fresh, and after a crash
//   kafka_measure handles              threads and memory of each kind of client
// librdkafka's properties by VOKETAG_KAFKA_*, as always.
#include <librdkafka/rdkafka.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include "connectors/kafka/kafka_log.h"

extern "C" char** environ;

namespace voketag::kafka {
namespace {

using runtime::Isolation;
using runtime::TopicPartitionOffset;
using Clock = std::chrono::steady_clock;

template <class T>
T must(events::Result<T> result) {
  if (result) return std::move(*result);
  std::cerr << result.error().message << "\n";
  std::exit(3);
}

void must(const events::Status& status) {
  if (status) return;
  std::cerr << status.error().message << "\n";
  std::exit(3);
}

double since_ms(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void report(const char* name, std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double quantile) {
    return samples[static_cast<std::size_t>(quantile * static_cast<double>(samples.size() - 1))];
  };
  std::printf("%-28s p50 %8.2f ms   p95 %8.2f ms   p99 %8.2f ms   max %8.2f ms\n", name, at(0.5),
              at(0.95), at(0.99), at(1.0));
}

struct Quiet final : runtime::RebalanceListener {
  void on_assigned(std::span<const std::int32_t> partitions) override {
    owned += partitions.size();
  }
  void on_revoked(std::span<const std::int32_t>) override {}
  void on_lost(std::span<const std::int32_t>) override {}
  std::size_t owned = 0;
};

struct Rig {
  std::unique_ptr<KafkaLog> log;
  std::unique_ptr<runtime::Membership> member;
  Quiet listener;
  std::string id;

  Rig() {
    KafkaOptions options = must(options_from_environment(environ));
    options.topic_prefix = "measure-" + std::to_string(getpid()) + ".";
    id = options.topic_prefix + "id";
    log = must(KafkaLog::open(options));
    const std::vector<TopicSpec> topics = {{.name = "in", .partitions = 1},
                                           {.name = "out", .partitions = 1},
                                           {.name = "changelog", .partitions = 1}};
    must(log->topics().ensure_topics(topics));
  }

  void join() {
    member = must(log->join(id, "in"));
    while (listener.owned == 0) {
      must(member->poll(listener));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
};

events::OutputRecord record(const char* topic, std::size_t bytes) {
  return {.topic = topic,
          .partition = 0,
          .key = "key",
          .value = std::string(bytes, 'v'),
          .headers = {{"ce_id", "6f1d0f2e-94f7-4d0c-b6c0-3e6c43a1a001"}, {"ce_type", "t"}}};
}

void await_one(runtime::Fetcher& fetcher) {
  runtime::FetchBatch batch;
  while (batch.records.empty()) must(fetcher.poll(batch, 1000, 100));
}

void hop(Rig& rig, int count, int gap_ms) {
  rig.join();
  const auto input = must(rig.log->open_plain_producer());
  const auto producer = must(rig.log->open_producer(rig.id));
  const auto in = must(rig.log->open_fetcher(Isolation::kReadCommitted));
  const auto out = must(rig.log->open_fetcher(Isolation::kReadCommitted));
  must(in->assign({"in", 0}, 0));
  must(out->assign({"out", 0}, 0));
  std::vector<double> written, fetched, committed, visible, total;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    const auto one = record("in", 500);
    must(input->write(std::span(&one, 1)));
    written.push_back(since_ms(start));
    await_one(*in);
    fetched.push_back(since_ms(start));
    const auto begun = Clock::now();
    must(producer->begin());
    must(producer->send(record("out", 500)));
    must(producer->send(record("changelog", 200)));
    const TopicPartitionOffset position{"in", 0, i + 1};
    const auto result = producer->commit(std::span(&position, 1), *rig.member);
    if (result.outcome != runtime::CommitOutcome::kCommitted) {
      std::cerr << result.detail << "\n";
      std::exit(1);
    }
    committed.push_back(since_ms(begun));
    await_one(*out);
    visible.push_back(since_ms(begun));
    total.push_back(since_ms(start));
    must(rig.member->poll(rig.listener));
    std::this_thread::sleep_for(std::chrono::milliseconds(gap_ms));
  }
  report("input written", written);
  report("input fetched", fetched);
  report("begin to commit returned", committed);
  report("begin to output visible", visible);
  report("whole hop", total);
}

void plain(Rig& rig, int count) {
  const auto producer = must(rig.log->open_plain_producer());
  const auto fetcher = must(rig.log->open_fetcher(Isolation::kReadCommitted));
  must(fetcher->assign({"in", 0}, 0));
  std::vector<double> written, visible;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    const auto one = record("in", 500);
    must(producer->write(std::span(&one, 1)));
    written.push_back(since_ms(start));
    await_one(*fetcher);
    visible.push_back(since_ms(start));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  report("acknowledged", written);
  report("visible", visible);
}

void chain(Rig& rig, int count) {
  rig.join();
  const auto producer = must(rig.log->open_producer(rig.id));
  std::vector<double> cycles;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    must(producer->begin());
    must(producer->send(record("out", 500)));
    const TopicPartitionOffset position{"in", 0, i + 1};
    const auto result = producer->commit(std::span(&position, 1), *rig.member);
    if (result.outcome != runtime::CommitOutcome::kCommitted) std::exit(1);
    cycles.push_back(since_ms(start));
  }
  report("transaction after another", cycles);
}

void throughput(Rig& rig, int count, std::size_t bytes) {
  rig.join();
  const auto producer = must(rig.log->open_producer(rig.id));
  const auto one = record("out", bytes);
  const std::size_t per_transaction = std::max<std::size_t>(1, (16U << 20) / bytes);
  const auto start = Clock::now();
  std::vector<double> commits;
  for (int i = 0; i < count; ++i) {
    must(producer->begin());
    for (std::size_t j = 0; j < per_transaction; ++j) must(producer->send(one));
    const auto committing = Clock::now();
    const TopicPartitionOffset position{"in", 0, i + 1};
    if (producer->commit(std::span(&position, 1), *rig.member).outcome !=
        runtime::CommitOutcome::kCommitted) {
      std::exit(1);
    }
    commits.push_back(since_ms(committing));
    must(rig.member->poll(rig.listener));
  }
  const double megabytes = static_cast<double>(per_transaction * bytes) * count / 1e6;
  std::printf("%.0f MB in %.0f ms: %.1f MB/s, %.0f records/s\n", megabytes, since_ms(start),
              megabytes / since_ms(start) * 1000,
              static_cast<double>(per_transaction) * count / since_ms(start) * 1000);
  report("commit", commits);
  for (const auto isolation : {Isolation::kReadCommitted, Isolation::kReadUncommitted}) {
    const auto fetcher = must(rig.log->open_fetcher(isolation));
    const auto reading = Clock::now();
    must(fetcher->assign({"out", 0}, 0));
    runtime::FetchBatch batch;
    std::size_t read = 0;
    double ended_ms = 0;
    while (batch.ends.empty()) {
      must(fetcher->poll(batch, 1000, 1000));
      read += batch.records.size();
      if (!batch.records.empty()) ended_ms = since_ms(reading);
    }
    std::printf("read %s: %.1f MB/s, %.0f records/s; end told %.1f ms after the last record\n",
                isolation == Isolation::kReadCommitted ? "committed" : "uncommitted",
                megabytes / ended_ms * 1000, static_cast<double>(read) / ended_ms * 1000,
                since_ms(reading) - ended_ms);
  }
}

// Leaves a transaction open with offsets, as a crash does.
void crash(Rig& rig) {
  auto producer = must(rig.log->open_producer(rig.id));
  must(producer->begin());
  must(producer->send(record("out", 500)));
  const auto mark = must(rig.log->watermarks({"out", 0}, Isolation::kReadUncommitted)).high;
  while (must(rig.log->watermarks({"out", 0}, Isolation::kReadUncommitted)).high == mark) {
    for (int i = 0; i < 256; ++i) must(producer->send(record("out", 10)));
  }
}

void open(Rig& rig, int count) {
  std::vector<double> first, again, crashed;
  for (int i = 0; i < count; ++i) {
    auto start = Clock::now();
    must(rig.log->open_producer(rig.id + std::to_string(i)));
    first.push_back(since_ms(start));
    start = Clock::now();
    must(rig.log->open_producer(rig.id + std::to_string(i)));
    again.push_back(since_ms(start));
    crash(rig);
    start = Clock::now();
    must(rig.log->open_producer(rig.id));
    crashed.push_back(since_ms(start));
  }
  report("open and close, new id", first);
  report("open and close, known id", again);
  report("open and close, after crash", crashed);
}

struct Footprint {
  long threads = 0;
  long resident_kilobytes = 0;
};

Footprint footprint() {
  Footprint result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    static_cast<void>(entry);
    ++result.threads;
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) result.resident_kilobytes = std::atol(line.c_str() + 8);
  }
  return result;
}

template <class Open>
void weigh(const char* name, Open open_one) {
  constexpr int kCount = 8;
  const Footprint before = footprint();
  std::vector<decltype(open_one())> opened;
  for (int i = 0; i < kCount; ++i) opened.push_back(open_one());
  std::this_thread::sleep_for(std::chrono::seconds(2));
  const Footprint after = footprint();
  std::printf("%-24s %.1f threads, %.0f kB\n", name,
              static_cast<double>(after.threads - before.threads) / kCount,
              static_cast<double>(after.resident_kilobytes - before.resident_kilobytes) / kCount);
}

void handles(Rig& rig) {
  int number = 0;
  weigh("transactional producer", [&] {
    auto producer = must(rig.log->open_producer(rig.id + std::to_string(++number)));
    must(producer->begin());
    must(producer->send(record("out", 100)));
    static_cast<void>(producer->abort());
    return producer;
  });
  weigh("plain producer", [&] {
    auto producer = must(rig.log->open_plain_producer());
    const auto one = record("in", 100);
    must(producer->write(std::span(&one, 1)));
    return producer;
  });
  weigh("fetcher", [&] {
    auto fetcher = must(rig.log->open_fetcher(Isolation::kReadCommitted));
    must(fetcher->assign({"in", 0}, 0));
    runtime::FetchBatch batch;
    must(fetcher->poll(batch, 1000, 10));
    return fetcher;
  });
  weigh("membership", [&] {
    auto member = must(rig.log->join(rig.id + std::to_string(++number), "in"));
    Quiet listener;
    while (listener.owned == 0) {
      must(member->poll(listener));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return member;
  });
}

int main_of(int count, char** arguments) {
  spdlog::set_level(spdlog::level::warn);
  const std::string mode = count > 1 ? arguments[1] : "";
  const int number = count > 2 ? std::atoi(arguments[2]) : 100;
  const int extra = count > 3 ? std::atoi(arguments[3]) : 0;
  std::printf("librdkafka %s\n", rd_kafka_version_str());
  Rig rig;
  if (mode == "hop") {
    hop(rig, number, extra);
  } else if (mode == "plain") {
    plain(rig, number);
  } else if (mode == "chain") {
    chain(rig, number);
  } else if (mode == "throughput") {
    throughput(rig, number, extra == 0 ? 50000 : static_cast<std::size_t>(extra));
  } else if (mode == "open") {
    open(rig, number);
  } else if (mode == "handles") {
    handles(rig);
  } else {
    std::cerr << "kafka_measure hop|plain|chain|throughput|open|handles [COUNT] [EXTRA]\n";
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace voketag::kafka

int main(int count, char** arguments) {
  return voketag::kafka::main_of(count, arguments);
}
