#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "processors/anchoring/anchoring_processor.h"
#include "processors/anchoring/mock_chain.h"
#include "processors/merkle/inclusion_proof.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using events::AnchorAccepted;
using events::AnchorCompleted;
using events::AnchorFailed;
using events::AnchorQueued;
using events::AnchorSubmitted;
using events::MerkleRootComputed;
using testing::FakeContext;
using ::testing::HasSubstr;
using testing::test_hash;
using testing::test_id;

AnchorAccepted request(std::uint32_t batch, std::uint8_t root, const char* origin = "external") {
  AnchorAccepted event;
  event.batch_id = test_id(batch);
  event.merkle_root = test_hash(root);
  event.product_count = 10;
  event.origin = origin;
  return event;
}

MerkleRootComputed own_root(std::uint32_t batch, std::uint8_t root) {
  return {test_id(batch), test_hash(root), 10};
}

class AnchoringTest : public ::testing::Test {
 protected:
  void use(const MockChainConfig& config) {
    anchoring_ = std::make_unique<AnchoringProcessor>(std::make_unique<MockChain>(config));
  }
  template <class Event>
  void deliver(const Event& event) {
    context_.deliver(*anchoring_, event.batch_id.to_string(), event);
  }
  // Hands what was put into the queue to the partition that the queue's key leads to: the same one.
  void pass_queue_on() {
    for (const auto& emission : context_.take()) {
      if (emission.topic == AnchorQueued::kTopic) {
        context_.deliver(*anchoring_, emission);
      } else {
        results_.push_back(emission);
      }
    }
    for (auto& emission : context_.take()) results_.push_back(std::move(emission));
  }
  void advance(std::int64_t ms) {
    context_.advance(*anchoring_, ms);
    pass_queue_on();
  }
  template <class Event>
  std::vector<Event> results() const {
    std::vector<Event> events;
    for (const auto& emission : results_) {
      if (emission.topic == Event::kTopic) events.push_back(emission.as<Event>());
    }
    return events;
  }
  void expect_refused(std::string_view reason) {
    EXPECT_TRUE(context_.emitted.empty());
    ASSERT_EQ(context_.dead_letters.size(), 1U);
    EXPECT_EQ(context_.dead_letters[0].reason, reason);
  }

  FakeContext context_;
  std::unique_ptr<AnchoringProcessor> anchoring_ =
      std::make_unique<AnchoringProcessor>(std::make_unique<MockChain>(MockChainConfig{}));
  std::vector<testing::Emission> results_;
};

// ---- one anchor per batch -----------------------------------------------------------------------

TEST_F(AnchoringTest, QueuesOurRootUnderTheSigningKey) {
  deliver(own_root(1, 0x11));
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].topic, "anchor-queue");
  EXPECT_EQ(context_.emitted[0].key, "0:mock");
  const auto queued = context_.emitted[0].as<AnchorQueued>();
  EXPECT_EQ(queued.anchor_id,
            events::Uuid::v5(events::kNamespace, "anchor:" + test_id(1).to_string()));
  EXPECT_EQ(queued.batch_id, test_id(1));
  EXPECT_EQ(queued.merkle_root, test_hash(0x11));
  EXPECT_EQ(queued.product_count, 10);
  EXPECT_EQ(queued.origin, "own");
  EXPECT_EQ(queued.attempt, 1);
}

TEST_F(AnchoringTest, QueuesAnOutsidersRoot) {
  deliver(request(1, 0x11));
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].as<AnchorQueued>().origin, "external");
}

TEST_F(AnchoringTest, TheSameAgainIsNothingNew) {
  deliver(own_root(1, 0x11));
  deliver(request(2, 0x22));
  context_.emitted.clear();
  deliver(own_root(1, 0x11));
  deliver(request(1, 0x11));
  deliver(request(2, 0x22));
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(AnchoringTest, AnOutsidersRootForOurBatchIsRefused) {
  deliver(own_root(1, 0x11));
  context_.emitted.clear();
  deliver(request(1, 0x22));
  expect_refused("foreign_root");
}

TEST_F(AnchoringTest, ASecondRootForAnOutsidersBatchIsRefused) {
  deliver(request(1, 0x11));
  context_.emitted.clear();
  deliver(request(1, 0x22));
  expect_refused("conflicting_anchor");
}

TEST_F(AnchoringTest, TheSameRootOverAnotherCountIsAnotherRoot) {
  deliver(request(1, 0x11));
  context_.emitted.clear();
  auto other = request(1, 0x11);
  other.product_count = 11;
  deliver(other);
  expect_refused("conflicting_anchor");
}

TEST_F(AnchoringTest, ASecondRootOfOursIsRefused) {
  deliver(own_root(1, 0x11));
  context_.emitted.clear();
  deliver(own_root(1, 0x22));
  expect_refused("conflicting_anchor");
}

TEST_F(AnchoringTest, ARetryWithAnotherRootIsRefused) {
  deliver(own_root(1, 0x11));
  context_.emitted.clear();
  deliver(request(1, 0x22, "retry"));
  expect_refused("conflicting_anchor");
}

TEST_F(AnchoringTest, OurRootTakesTheWaitingPlaceOfAnOutsiders) {
  deliver(request(1, 0x99));
  pass_queue_on();
  deliver(own_root(1, 0x11));
  pass_queue_on();
  advance(2000);
  const auto completed = results<AnchorCompleted>();
  ASSERT_EQ(completed.size(), 1U);
  EXPECT_EQ(completed[0].merkle_root, test_hash(0x11));
  EXPECT_EQ(completed[0].revision, 1);
  EXPECT_EQ(completed[0].aggregate.tree_size, 1);
}

TEST_F(AnchoringTest, OurRootFollowsAnOutsidersAnchorAsTheNextRevision) {
  deliver(request(1, 0x99));
  pass_queue_on();
  advance(2000);
  deliver(own_root(1, 0x11));
  pass_queue_on();
  advance(2000);
  const auto completed = results<AnchorCompleted>();
  ASSERT_EQ(completed.size(), 2U);
  EXPECT_EQ(completed[1].merkle_root, test_hash(0x11));
  EXPECT_EQ(completed[1].revision, 2);
  EXPECT_EQ(completed[1].anchor_id, completed[0].anchor_id);
}

// `batches` asks again by timer, whether or not the root is lost.
TEST_F(AnchoringTest, ARetryOfWhatIsUnderWayChangesNothing) {
  deliver(own_root(1, 0x11));
  pass_queue_on();
  deliver(request(1, 0x11, "retry"));
  pass_queue_on();
  advance(2000);
  deliver(request(1, 0x11, "retry"));
  pass_queue_on();
  advance(4000);
  EXPECT_EQ(results<AnchorSubmitted>().size(), 1U);
  ASSERT_EQ(results<AnchorCompleted>().size(), 1U);
  EXPECT_EQ(results<AnchorCompleted>()[0].revision, 1);
  EXPECT_TRUE(context_.dead_letters.empty());
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(AnchoringTest, ARetryOfWhatIsLostTakesItsPlace) {
  deliver(own_root(1, 0x11));
  context_.take();  // lost on the way to the queue
  deliver(request(1, 0x11, "retry"));
  pass_queue_on();
  deliver(request(2, 0x22, "retry"));  // of this one the root itself was lost
  pass_queue_on();
  advance(2000);
  EXPECT_EQ(results<AnchorCompleted>().size(), 2U);
}

TEST_F(AnchoringTest, ARetryOfOursWinsOverAnOutsidersRoot) {
  deliver(request(1, 0x99));
  pass_queue_on();
  advance(2000);
  deliver(request(1, 0x11, "retry"));
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].as<AnchorQueued>().origin, "own");
  pass_queue_on();
  advance(2000);
  const auto completed = results<AnchorCompleted>();
  ASSERT_EQ(completed.size(), 2U);
  EXPECT_EQ(completed[1].merkle_root, test_hash(0x11));
  EXPECT_EQ(completed[1].revision, 2);
  deliver(request(1, 0x99));
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(context_.dead_letters[0].reason, "foreign_root");
}

TEST_F(AnchoringTest, AFailureAnswersTheLatestAttemptThatWaited) {
  use({.mock_failures = 5});
  deliver(own_root(1, 0x11));
  pass_queue_on();
  deliver(request(1, 0x11, "retry"));
  pass_queue_on();
  advance(2000);
  ASSERT_EQ(results<AnchorFailed>().size(), 1U);
  EXPECT_EQ(results<AnchorFailed>()[0].retry_count, 1);
}

TEST_F(AnchoringTest, AQueueThatLostARootStopsInsteadOfGoingOnWithoutIt) {
  deliver(own_root(1, 0x11));
  pass_queue_on();
  context_.state.erase("slot/0:mock/0");
  EXPECT_THROW(advance(2000), std::logic_error);
}

// ---- the queue ----------------------------------------------------------------------------------

TEST_F(AnchoringTest, AnotherSigningKeysQueueIsADeadLetter) {
  deliver(own_root(1, 0x11));
  const auto json = context_.take()[0].json;
  context_.deliver_raw(*anchoring_, AnchorQueued::kTopic, "1:0xabc", json);
  expect_refused("unknown_signing_key");
  context_.deliver_raw(*anchoring_, AnchorQueued::kTopic, std::nullopt, json);
  EXPECT_EQ(context_.dead_letters.size(), 2U);
}

TEST_F(AnchoringTest, ARootThatIsQueuedTwiceIsAnchoredOnce) {
  deliver(own_root(1, 0x11));
  const auto queued = context_.take()[0];
  context_.deliver(*anchoring_, queued);
  context_.deliver(*anchoring_, queued);
  advance(2000);
  context_.deliver(*anchoring_, queued);
  advance(2000);
  EXPECT_EQ(results<AnchorCompleted>().size(), 1U);
  EXPECT_EQ(results<AnchorSubmitted>().size(), 1U);
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(AnchoringTest, QueueingCostsTheSameHoweverManyWait) {
  const auto cost = [&](std::uint32_t batch) {
    deliver(own_root(batch, 1));
    const auto writes = context_.state.writes;
    const auto bytes = context_.state.written_bytes;
    pass_queue_on();
    EXPECT_LT(context_.state.written_bytes - bytes, 1200U);
    return context_.state.writes - writes;
  };
  cost(0);  // also sets the block's timer
  const auto second = cost(1);
  for (std::uint32_t batch = 2; batch < 500; ++batch) cost(batch);
  EXPECT_EQ(cost(500), second);
  EXPECT_LE(second, 5U);
  EXPECT_EQ(context_.timers_set, 1U);
}

// ---- the simulated chain ------------------------------------------------------------------------

TEST_F(AnchoringTest, SealsAtTheNextBlockBoundary) {
  context_.time = {1'700'000'000'500};
  deliver(own_root(1, 0x11));
  pass_queue_on();
  advance(1499);
  EXPECT_TRUE(results_.empty());
  advance(1);
  ASSERT_EQ(results_.size(), 2U);
  EXPECT_EQ(results_[0].topic, "anchor-submitted");
  EXPECT_EQ(results_[0].key, "0:mock");
  EXPECT_EQ(results_[1].topic, "anchor-completed");
  EXPECT_EQ(results_[1].key, test_id(1).to_string());

  const auto completed = results<AnchorCompleted>()[0];
  EXPECT_EQ(completed.network, "mock");
  EXPECT_EQ(completed.chain_id, 0);
  EXPECT_EQ(completed.block_number, 850'000'001);
  EXPECT_EQ(completed.anchored_at.ms, 1'700'000'002'000);
  EXPECT_EQ(completed.gas_price_gwei.text, "0");
  EXPECT_EQ(completed.revision, 1);
  EXPECT_EQ(completed.product_count, 10);
  EXPECT_EQ(completed.merkle_root, test_hash(0x11));
}

TEST_F(AnchoringTest, TheNumbersOfATransactionFollowFromItsCalldata) {
  deliver(own_root(1, 0x11));
  pass_queue_on();
  advance(2000);
  const auto submitted = results<AnchorSubmitted>()[0];
  const auto completed = results<AnchorCompleted>()[0];
  const auto leaf =
      AggregateLeafData{AggregateKind::kBatch, test_id(1), 10, test_hash(0x11).bytes}.leaf();
  EXPECT_EQ(submitted.aggregate_root.bytes, leaf);
  EXPECT_EQ(submitted.tree_size, 1);
  EXPECT_EQ(submitted.nonce, 0);
  ASSERT_EQ(submitted.leaves.size(), 1U);
  EXPECT_EQ(submitted.leaves[0].batch_id, test_id(1));

  const auto calldata = AnchorCalldata{1, leaf}.encode();
  EXPECT_EQ(submitted.raw_transaction, to_chain_bytes(calldata));
  auto text = "voketag-mock-transaction" + std::string(8, '\0');
  text.append(calldata.begin(), calldata.end());
  EXPECT_EQ(submitted.transaction_id, to_chain_bytes(sha256(text)));
  EXPECT_EQ(completed.transaction_id, submitted.transaction_id);
  EXPECT_EQ(completed.gas_used, calldata_gas(calldata));
  EXPECT_EQ(completed.aggregate.root, submitted.aggregate_root);
  EXPECT_EQ(completed.aggregate.leaf_index, 0);
  EXPECT_TRUE(completed.aggregate.path.empty());
}

TEST(MockChainTest, GasIsTheFloorOfEip7623) {
  EXPECT_EQ(calldata_gas({}), 21'000);
  const std::array<std::uint8_t, 3> calldata{0, 1, 255};
  EXPECT_EQ(calldata_gas(calldata), 21'000 + 10 + 2 * 40);
}

TEST_F(AnchoringTest, ABlockHoldsSeveralTransactionsOfManyBatches) {
  for (std::uint32_t batch = 0; batch < 600; ++batch) {
    deliver(own_root(batch, static_cast<std::uint8_t>(batch)));
    pass_queue_on();
  }
  advance(2000);
  const auto submitted = results<AnchorSubmitted>();
  ASSERT_EQ(submitted.size(), 3U);
  EXPECT_EQ(submitted[0].tree_size, 256);
  EXPECT_EQ(submitted[1].tree_size, 256);
  EXPECT_EQ(submitted[2].tree_size, 88);
  EXPECT_EQ(submitted[2].nonce, 2);
  const auto completed = results<AnchorCompleted>();
  ASSERT_EQ(completed.size(), 600U);
  std::set<std::pair<std::string, std::int64_t>> places;
  for (const auto& anchor : completed) {
    EXPECT_EQ(anchor.block_number, completed[0].block_number);
    const auto leaf =
        AggregateLeafData{AggregateKind::kBatch, anchor.batch_id, 10, anchor.merkle_root.bytes}
            .leaf();
    std::vector<Hash> path;
    for (const auto& hash : anchor.aggregate.path) path.push_back(hash.bytes);
    EXPECT_TRUE(verify_inclusion(leaf, static_cast<std::uint64_t>(anchor.aggregate.leaf_index),
                                 static_cast<std::uint64_t>(anchor.aggregate.tree_size), path,
                                 anchor.aggregate.root.bytes));
    places.emplace(anchor.transaction_id.text, anchor.aggregate.leaf_index);
  }
  EXPECT_EQ(places.size(), 600U);
  EXPECT_EQ(context_.state.count("slot/"), 0U);
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(AnchoringTest, WhatDoesNotFitABlockWaitsForTheNext) {
  use({.roots_per_transaction_max = 2, .transactions_per_block_max = 2});
  for (std::uint32_t batch = 0; batch < 5; ++batch) {
    deliver(own_root(batch, 1));
    pass_queue_on();
  }
  advance(2000);
  EXPECT_EQ(results<AnchorCompleted>().size(), 4U);
  advance(2000);
  const auto completed = results<AnchorCompleted>();
  ASSERT_EQ(completed.size(), 5U);
  EXPECT_EQ(completed[4].batch_id, test_id(4));
  EXPECT_EQ(completed[4].block_number, completed[0].block_number + 1);
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(AnchoringTest, WithoutBlockTimeARootIsAnchoredInTheSameHandler) {
  use({.block_time_ms = 0});
  for (std::uint32_t batch = 0; batch < 3; ++batch) {
    deliver(own_root(batch, 1));
    pass_queue_on();
    ASSERT_EQ(results<AnchorCompleted>().size(), batch + 1);
    EXPECT_EQ(results<AnchorCompleted>()[batch].block_number, batch + 1);
    EXPECT_EQ(results<AnchorSubmitted>()[batch].nonce, batch);
    EXPECT_EQ(results<AnchorCompleted>()[batch].anchored_at, context_.time);
  }
  EXPECT_TRUE(context_.timers.empty());
  EXPECT_EQ(context_.state.count("slot/"), 0U);
}

// ---- failures -----------------------------------------------------------------------------------

TEST_F(AnchoringTest, ARefusedAttemptOfOursWaitsToBeAskedForAgain) {
  use({.block_time_ms = 0, .mock_failures = 1, .retry_ms = 5000});
  deliver(own_root(1, 0x11));
  pass_queue_on();
  const auto failed = results<AnchorFailed>();
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(results_[0].key, test_id(1).to_string());
  EXPECT_EQ(failed[0].reason, "mock_refused");
  EXPECT_EQ(failed[0].retry_count, 0);
  EXPECT_EQ(failed[0].next_retry_at, events::Timestamp{context_.time.ms + 5000});
  EXPECT_EQ(failed[0].origin, "own");
  EXPECT_EQ(failed[0].anchor_id, anchor_id_of(test_id(1)));
  EXPECT_TRUE(context_.timers.empty());
  EXPECT_TRUE(results<AnchorSubmitted>().empty());

  deliver(request(1, 0x11, "retry"));
  pass_queue_on();
  EXPECT_EQ(results<AnchorCompleted>().size(), 1U);
}

TEST_F(AnchoringTest, ARefusedAttemptOfAnOutsiderIsMadeAgainByTimer) {
  use({.block_time_ms = 0, .mock_failures = 2, .retry_ms = 5000});
  deliver(request(1, 0x11));
  pass_queue_on();
  EXPECT_EQ(results<AnchorFailed>().size(), 1U);
  advance(5000);
  ASSERT_EQ(results<AnchorFailed>().size(), 2U);
  EXPECT_EQ(results<AnchorFailed>()[1].retry_count, 1);
  advance(5000);
  EXPECT_EQ(results<AnchorCompleted>().size(), 1U);
  advance(50'000);
  EXPECT_EQ(results<AnchorCompleted>().size(), 1U);
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(AnchoringTest, ARetryOfWhatIsAnchoredChangesNothing) {
  use({.block_time_ms = 0});
  deliver(own_root(1, 0x11));
  pass_queue_on();
  deliver(request(1, 0x11, "retry"));
  pass_queue_on();
  EXPECT_EQ(results<AnchorCompleted>().size(), 1U);
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(AnchoringTest, RefusedAndAcceptedAttemptsShareABlock) {
  use({.mock_failures = 1, .retry_ms = 60'000});
  deliver(own_root(1, 0x11));
  pass_queue_on();
  advance(2000);
  deliver(request(1, 0x11, "retry"));
  deliver(own_root(2, 0x22));
  pass_queue_on();
  advance(2000);
  const auto completed = results<AnchorCompleted>();
  ASSERT_EQ(completed.size(), 1U);
  EXPECT_EQ(completed[0].batch_id, test_id(1));
  EXPECT_EQ(completed[0].aggregate.tree_size, 1);
  EXPECT_EQ(results<AnchorFailed>().size(), 2U);
}

TEST_F(AnchoringTest, MalformedEventsAreDeadLetters) {
  for (const auto topic : anchoring_->inputs()) {
    context_.deliver_raw(*anchoring_, topic, "0:mock", "nope");
    context_.deliver_raw(*anchoring_, topic, "0:mock", std::nullopt);
  }
  EXPECT_EQ(context_.dead_letters.size(), 6U);
  EXPECT_TRUE(context_.state.values.empty());
}

TEST(MockChainTest, RefusesAConfigurationThatCannotWork) {
  EXPECT_THROW(MockChain({.block_time_ms = -1}), std::invalid_argument);
  EXPECT_THROW(MockChain({.roots_per_transaction_max = 0}), std::invalid_argument);
  EXPECT_THROW(MockChain({.transactions_per_block_max = 0}), std::invalid_argument);
  EXPECT_THROW(MockChain({.mock_failures = -1}), std::invalid_argument);
}

// Whatever comes in whatever order, each batch is anchored exactly once for the root that counts.
RC_GTEST_FIXTURE_PROP(AnchoringTest, EachBatchIsAnchoredOnce, ()) {
  use({.block_time_ms = *rc::gen::element<std::int64_t>(0, 2000),
       .roots_per_transaction_max = *rc::gen::inRange(1, 4),
       .transactions_per_block_max = *rc::gen::inRange(1, 3),
       .mock_failures = *rc::gen::inRange(0, 3),
       .retry_ms = 1000});
  const auto steps = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 4), rc::gen::inRange(0, 6)));
  std::set<events::Uuid> asked;
  for (const auto& [kind, batch] : steps) {
    const auto number = static_cast<std::uint32_t>(batch);
    const bool is_ours = batch % 2 == 0;
    if (kind == 0 && is_ours) deliver(own_root(number, 1));
    if (kind == 1 && !is_ours) deliver(request(number, 1));
    if (kind == 0 && !is_ours) deliver(request(number, 1));
    if (kind == 1 && is_ours) deliver(own_root(number, 1));
    if (kind < 2) asked.insert(test_id(number));
    if (kind == 2) pass_queue_on();
    if (kind == 3) advance(batch * 500);
  }
  pass_queue_on();
  for (int round = 0; round < 40; ++round) {  // what failed is asked for again, by whoever does
    advance(2000);
    std::set<events::Uuid> done;
    for (const auto& event : results<AnchorCompleted>()) done.insert(event.batch_id);
    for (const auto& event : results<AnchorFailed>()) {
      auto retry = request(0, 1, "retry");
      retry.batch_id = event.batch_id;
      if (event.origin == "own" && !done.contains(event.batch_id)) deliver(retry);
    }
    pass_queue_on();
  }
  std::map<events::Uuid, int> anchored;
  for (const auto& event : results<AnchorCompleted>()) ++anchored[event.batch_id];
  RC_ASSERT(anchored.size() == asked.size());
  for (const auto& [batch_id, times] : anchored) RC_ASSERT(times == 1);
  RC_ASSERT(context_.state.count("slot/") == 0U);
  RC_ASSERT(context_.dead_letters.empty());
}

}  // namespace
}  // namespace voketag::processors
