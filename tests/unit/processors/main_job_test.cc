#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "processors/anchoring/aggregate.h"
#include "processors/anchoring/anchoring_processor.h"
#include "processors/anchoring/mock_chain.h"
#include "processors/batches/batches_processor.h"
#include "processors/ingress/ingress_processor.h"
#include "processors/merkle/inclusion_proof.h"
#include "processors/merkle/merkle_processor.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/token.h"
#include "processors/tokens/tokens_processor.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using testing::Emission;
using testing::FakeContext;
using testing::test_id;

// All processors of the main job side by side: each reads its topics in any interleaving that a
// property chooses, one partition each.
class MainJob {
 public:
  using Choose = std::function<std::size_t(std::size_t)>;

  explicit MainJob(Choose choose, std::int64_t mock_failures = 0, std::int64_t made_at_once_max = 0)
      : choose_(std::move(choose)) {
    add(std::make_unique<IngressProcessor>(IngressConfig{.signing_key_id = 5, .chunk_size = 4}));
    add(std::make_unique<BatchesProcessor>(
        BatchesConfig{.made_at_once_max = made_at_once_max, .products_in_flight_max = 12}, keys_));
    add(std::make_unique<TokensProcessor>(keys_));
    add(std::make_unique<MerkleProcessor>());
    add(std::make_unique<AnchoringProcessor>(
        std::make_unique<MockChain>(MockChainConfig{.mock_failures = mock_failures})));
  }

  void send(std::string topic, std::string json) {
    publish({std::move(topic), "", std::move(json)});
  }

  // Until nothing moves any more, however much time has to pass.
  void run() {
    for (;;) {
      auto waiting = queues_with_records();
      if (!waiting.empty()) {
        step(*waiting[choose_(waiting.size())]);
      } else if (!fire_next_timer()) {
        return;
      }
    }
  }

  const std::vector<Emission>& log() const { return log_; }
  const TokenKeys& keys() const { return keys_; }

  template <class Event>
  std::vector<Event> all() const {
    std::vector<Event> events;
    for (const auto& emission : log_) {
      if (emission.topic == Event::kTopic) events.push_back(emission.as<Event>());
    }
    return events;
  }
  std::size_t dead_letters() const {
    std::size_t count = 0;
    for (const auto& worker : workers_) count += worker->context.dead_letters.size();
    return count;
  }

 private:
  struct Worker {
    std::unique_ptr<Processor> processor;
    FakeContext context;
  };
  struct Queue {
    Worker* worker = nullptr;
    std::deque<Emission> records;
  };

  void add(std::unique_ptr<Processor> processor) {
    auto& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.processor = std::move(processor);
    for (const auto topic : worker.processor->inputs()) {
      queues_.emplace(std::string(topic), std::make_unique<Queue>())->second->worker = &worker;
    }
  }
  void publish(const Emission& emission) {
    log_.push_back(emission);
    const auto [begin, end] = queues_.equal_range(emission.topic);
    for (auto queue = begin; queue != end; ++queue) queue->second->records.push_back(emission);
  }
  void collect(Worker& worker) {
    for (const auto& emission : worker.context.take()) publish(emission);
  }
  std::vector<Queue*> queues_with_records() {
    std::vector<Queue*> waiting;
    for (auto& [topic, queue] : queues_) {
      if (!queue->records.empty()) waiting.push_back(queue.get());
    }
    return waiting;
  }
  void step(Queue& queue) {
    const auto record = std::move(queue.records.front());
    queue.records.pop_front();
    queue.worker->context.time = now_;
    queue.worker->context.deliver(*queue.worker->processor, record);
    collect(*queue.worker);
  }
  bool fire_next_timer() {
    Worker* next = nullptr;
    events::Timestamp due{std::numeric_limits<std::int64_t>::max()};
    for (auto& worker : workers_) {
      for (const auto& [name, time] : worker->context.timers) {
        if (time < due) due = time, next = worker.get();
      }
    }
    if (next == nullptr) return false;
    now_ = std::max(now_, due);
    next->context.advance_to(*next->processor, now_);
    collect(*next);
    return true;
  }

  Choose choose_;
  TokenKeys keys_ = *TokenKeys::parse("5:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  events::Timestamp now_{1'700'000'000'000};
  std::vector<std::unique_ptr<Worker>> workers_;
  std::multimap<std::string, std::unique_ptr<Queue>> queues_;
  std::vector<Emission> log_;
};

std::string request(std::uint32_t batch, std::int64_t product_count) {
  return R"({"batch_id":")" + test_id(batch).to_string() + R"(","product_count":)" +
         std::to_string(product_count) + "}";
}

// The token proves itself, its place in its batch, and the batch's place in the transaction.
TEST(MainJobTest, ARequestBecomesAnchoredProvableProducts) {
  MainJob job([](std::size_t) { return 0; });
  job.send("batch-requested", request(1, 30));
  job.run();
  const auto completed = job.all<events::BatchCompleted>();
  ASSERT_EQ(completed.size(), 1U);
  EXPECT_EQ(completed[0].product_count, 30);

  std::vector<std::string> tokens(30);
  std::vector<Hash> leaves(30);
  for (const auto& chunk : job.all<events::TokensGenerated>()) {
    for (std::size_t i = 0; i < chunk.tokens.size(); ++i) {
      const auto serial = static_cast<std::size_t>(chunk.first_serial) + i;
      tokens.at(serial - 1) = chunk.tokens[i];
      leaves.at(serial - 1) = leaf_hash(chunk.tokens[i]);
    }
  }
  for (const auto& token : tokens) {
    const auto parsed = parse_token(token);
    ASSERT_TRUE(parsed) << token;
    EXPECT_EQ(verify_token(*parsed, job.keys()), TokenVerdict::kAuthentic);
  }
  EXPECT_EQ(completed[0].merkle_root.bytes, merkle_root(leaves));

  const auto anchor = job.all<events::AnchorCompleted>().at(0);
  const auto transaction = job.all<events::AnchorSubmitted>().at(0);
  const auto leaf =
      AggregateLeafData{AggregateKind::kBatch, test_id(1), 30, completed[0].merkle_root.bytes}
          .leaf();
  std::vector<Hash> path;
  for (const auto& hash : anchor.aggregate.path) path.push_back(hash.bytes);
  EXPECT_TRUE(verify_inclusion(leaf, static_cast<std::uint64_t>(anchor.aggregate.leaf_index),
                               static_cast<std::uint64_t>(anchor.aggregate.tree_size), path,
                               transaction.aggregate_root.bytes));
  EXPECT_EQ(completed[0].transaction_id, transaction.transaction_id);
  EXPECT_EQ(job.dead_letters(), 0U);
}

// Whatever the interleaving: every batch completed once, every product made once, the same tokens
// and the same roots; also whether a batch is made at once or chunk by chunk.
RC_GTEST_PROP(MainJobTest, AnyInterleavingGivesTheSameProducts, ()) {
  const auto counts =
      *rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(1, 40));
  const auto failures = *rc::gen::inRange<std::int64_t>(0, 3);
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  const auto made_at_once_max = *rc::gen::element<std::int64_t>(0, 4, 20, 40);
  const auto result = [&](MainJob::Choose choose, std::int64_t at_once_max) {
    MainJob job(std::move(choose), failures, at_once_max);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      job.send("batch-requested", request(static_cast<std::uint32_t>(i), counts[i]));
      if (i % 3 == 0)
        job.send("batch-requested", request(static_cast<std::uint32_t>(i), counts[i]));
    }
    job.run();
    RC_ASSERT(job.dead_letters() == 0U);
    RC_ASSERT(job.all<events::AnchorFailed>().size() == counts.size() * failures);
    std::map<std::string, std::string> products;
    for (const auto& emission : job.log()) {
      const bool is_kept = emission.topic == events::TokensGenerated::kTopic ||
                           emission.topic == events::MerkleRootComputed::kTopic;
      if (is_kept) {
        RC_ASSERT(products.emplace(emission.topic + "/" + emission.key, emission.json).second);
      }
    }
    std::map<events::Uuid, events::Hash> completed;
    for (const auto& event : job.all<events::BatchCompleted>()) {
      RC_ASSERT(completed.emplace(event.batch_id, event.merkle_root).second);
    }
    RC_ASSERT(completed.size() == counts.size());
    return std::pair(products, completed);
  };
  std::uint32_t state = seed | 1;
  const auto any = [&](std::size_t n) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return static_cast<std::size_t>(state) % n;
  };
  RC_ASSERT(result(any, made_at_once_max) == result([](std::size_t) { return 0; }, 0));
}

}  // namespace
}  // namespace voketag::processors
