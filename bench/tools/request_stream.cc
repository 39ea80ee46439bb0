// Requests small batches at a steady rate, however long each takes, and says of each when it was
// asked for and when its root could be read.
//
//   request_stream --topic voketag.batch-requested --roots voketag.merkle-root-computed --rate 60
//
// Prints `ready` once every partition of --roots is positioned. Goes on until its standard input
// ends, then waits for the roots that are missing, at most --timeout-s (exit code 4). Then one JSON
// line: per batch its partition, the nanosecond (CLOCK_MONOTONIC) of its request, and that of its
// root.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

namespace {

constexpr int kPollMaxMs = 20;

struct Batch {
  std::int32_t partition;
  std::int64_t requested_ns;
  std::int64_t root_ns;
};

bool input_has_ended() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  char byte = 0;
  return ::poll(&input, 1, 0) > 0 && ::read(STDIN_FILENO, &byte, 1) <= 0;
}

class Stream {
 public:
  explicit Stream(const Options& options)
      : options_(options),
        producer_(make_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", options.text("bootstrap")},
                                                  {"enable.idempotence", "true"},
                                                  {"linger.ms", "0"},
                                                  {"partitioner", "murmur2_random"},
                                                  {"socket.nagle.disable", "true"}})),
        consumer_(make_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", options.text("bootstrap")},
                                                  {"group.id", "voketag-bench-stream"},
                                                  {"enable.auto.commit", "false"},
                                                  {"isolation.level", "read_committed"},
                                                  {"socket.nagle.disable", "true"}})) {
    assign_whole_topic(consumer_.get(), options.text("roots"), true);
  }
  ~Stream() { rd_kafka_consumer_close(consumer_.get()); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void request_until_input_ends() {
    const std::int64_t interval_ns = 1'000'000'000 / options_.number("rate");
    std::int64_t due_ns = now_ns();
    while (!input_has_ended()) {
      for (; due_ns <= now_ns(); due_ns += interval_ns) request();
      const std::int64_t wait_ms = (due_ns - now_ns()) / 1'000'000;
      take_root(static_cast<int>(std::clamp<std::int64_t>(wait_ms, 0, kPollMaxMs)));
    }
  }

  // Whether every root has come.
  bool await_roots() {
    const std::int64_t deadline_ns = now_ns() + options_.number("timeout-s") * 1'000'000'000;
    while (!waiting_.empty() && now_ns() < deadline_ns) take_root(kPollMaxMs);
    if (waiting_.empty()) return true;
    std::fprintf(stderr, "%zu of %lld batches have no root\n", waiting_.size(),
                 static_cast<long long>(requested_));
    return false;
  }

  void print() const {
    std::printf(R"({"batches":[)");
    for (std::size_t i = 0; i < batches_.size(); ++i) {
      std::printf("%s[%d,%lld,%lld]", i == 0 ? "" : ",", batches_[i].partition,
                  static_cast<long long>(batches_[i].requested_ns),
                  static_cast<long long>(batches_[i].root_ns));
    }
    std::printf("]}\n");
  }

 private:
  void request() {
    const std::string id = batch_id(static_cast<std::uint64_t>(options_.number("seed")),
                                    static_cast<std::uint64_t>(requested_++));
    waiting_[id] = now_ns();
    produce(producer_.get(), options_.text("topic"), id,
            batch_request(id, options_.number("products")));
    rd_kafka_poll(producer_.get(), 0);
  }

  void take_root(int timeout_ms) {
    const Message message(rd_kafka_consumer_poll(consumer_.get(), timeout_ms));
    if (message == nullptr || message->err != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    const auto found = waiting_.find(std::string(key_of(*message)));
    if (found == waiting_.end()) return;
    batches_.push_back({message->partition, found->second, now_ns()});
    waiting_.erase(found);
  }

  const Options& options_;
  const Client producer_;
  const Client consumer_;
  std::int64_t requested_ = 0;
  std::map<std::string, std::int64_t> waiting_;  // when it was requested, by batch id
  std::vector<Batch> batches_;
};

}  // namespace

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"topic", "voketag.batch-requested"},
                         {"roots", "voketag.merkle-root-computed"},
                         {"rate", "60"},
                         {"products", "10"},
                         {"seed", "1"},
                         {"timeout-s", "60"}});
  Stream stream(options);
  std::printf("ready\n");
  std::fflush(stdout);
  stream.request_until_input_ends();
  if (!stream.await_roots()) return 4;
  stream.print();
  return 0;
}
