#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "processors/batches/batches_processor.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/chunks.h"
#include "state/table.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using events::AnchorAccepted;
using events::AnchorCompleted;
using events::AnchorFailed;
using events::BatchAccepted;
using events::BatchCompleted;
using events::BatchFailed;
using events::MerkleRootComputed;
using events::MerkleSubtreeComputed;
using events::TokenChunkRequested;
using ::testing::ElementsAre;
using testing::FakeContext;
using ::testing::HasSubstr;
using testing::test_hash;
using testing::test_id;

const auto kBatch = test_id(1);
const auto kRoot = test_hash(0x11);

class BatchesTest : public ::testing::Test {
 protected:
  static BatchAccepted accepted(std::int64_t product_count) {
    BatchAccepted event;
    event.batch_id = kBatch;
    event.tenant = "acme";
    event.product_count = product_count;
    event.first_serial = 100;
    event.metadata = events::JsonObject{R"({"a":1})"};
    event.key_id = 3;
    event.chunk_size = 4;
    event.requested_at = {1'699'999'999'000};
    return event;
  }
  template <class Event>
  void deliver(const Event& event) {
    context_.deliver(batches_, event.batch_id.to_string(), event);
  }
  void subtree(std::int64_t chunk_index, std::int64_t product_count) {
    deliver(MerkleSubtreeComputed{kBatch, chunk_index, chunk_count(product_count, 4), product_count,
                                  test_hash(static_cast<std::uint8_t>(chunk_index))});
  }
  static AnchorCompleted anchored(const events::Hash& root = kRoot) {
    AnchorCompleted event;
    event.anchor_id = test_id(9);
    event.batch_id = kBatch;
    event.merkle_root = root;
    event.product_count = 4;
    event.network = "mock";
    event.transaction_id = {"0x" + std::string(64, 'a')};
    event.block_hash = {"0x" + std::string(64, 'b')};
    event.gas_price_gwei = {"0"};
    event.anchored_at = {1'700'000'000'000};
    event.aggregate.root = test_hash(0x22);
    event.aggregate.tree_size = 1;
    return event;
  }
  static AnchorFailed failed(std::optional<events::Timestamp> next_retry_at = {}) {
    AnchorFailed event;
    event.anchor_id = test_id(9);
    event.batch_id = kBatch;
    event.reason = "no_funds";
    event.detail = "the account is empty";
    event.next_retry_at = next_retry_at;
    event.origin = "own";
    return event;
  }
  std::vector<std::int64_t> requested_chunks() {
    std::vector<std::int64_t> chunks;
    for (const auto& request : context_.emitted_as<TokenChunkRequested>()) {
      chunks.push_back(request.chunk_index);
    }
    context_.emitted.clear();
    return chunks;
  }
  std::string status() {
    if (auto batch = state::Table<BatchState>(context_.state, "batch").get(kBatch.to_string())) {
      return batch->status;
    }
    const auto ended = state::Table<EndedBatch>(context_.state, "ended").get(kBatch.to_string());
    return ended ? ended->status : "unknown";
  }
  void generate(std::int64_t product_count = 4) {
    deliver(accepted(product_count));
    for (std::int64_t chunk = 0; chunk < chunk_count(product_count, 4); ++chunk) {
      subtree(chunk, product_count);
    }
    deliver(MerkleRootComputed{kBatch, kRoot, product_count});
    context_.emitted.clear();
  }

  FakeContext context_;
  const TokenKeys keys_ = *TokenKeys::parse("3:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  // Makes nothing at once: what becomes of a batch that is cut into chunks shows with few products.
  BatchesProcessor batches_{BatchesConfig{.made_at_once_max = 0,
                                          .products_in_flight_max = 12,
                                          .stall_timeout_ms = 60'000,
                                          .stall_timeout_max_ms = 600'000,
                                          .reminders_max = 6,
                                          .anchor_retry_ms = 900'000,
                                          .anchor_retry_max_ms = 3'600'000},
                            keys_};
  BatchesProcessor small_at_once_{BatchesConfig{.made_at_once_max = 10}, keys_};
};

TEST_F(BatchesTest, RequestsTheOnlyChunk) {
  deliver(accepted(3));
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].key, kBatch.to_string() + ":0");
  const auto request = context_.emitted[0].as<TokenChunkRequested>();
  EXPECT_EQ(request.batch_id, kBatch);
  EXPECT_EQ(request.chunk_count, 1);
  EXPECT_EQ(request.chunk_size, 4);
  EXPECT_EQ(request.product_count, 3);
  EXPECT_EQ(request.first_serial, 100);
  EXPECT_EQ(request.key_id, 3);
  EXPECT_EQ(request.requested_at.ms, 1'699'999'999'000);
  EXPECT_EQ(status(), "generating");
}

TEST_F(BatchesTest, MakesASmallBatchAtOnce) {
  context_.deliver(small_at_once_, kBatch.to_string(), accepted(10));
  ASSERT_EQ(context_.emitted.size(), 4U);
  std::vector<Hash> leaves;
  for (int chunk = 0; chunk < 3; ++chunk) {
    EXPECT_EQ(context_.emitted[chunk].key, kBatch.to_string() + ":" + std::to_string(chunk));
    const auto tokens = context_.emitted[chunk].as<events::TokensGenerated>();
    EXPECT_EQ(tokens.first_serial, 100 + chunk * 4);
    EXPECT_EQ(tokens.count, chunk < 2 ? 4 : 2);
    for (const auto& token : tokens.tokens) leaves.push_back(leaf_hash(token));
  }
  const auto root = context_.emitted[3].as<MerkleRootComputed>();
  EXPECT_EQ(context_.emitted[3].key, kBatch.to_string());
  EXPECT_EQ(root.product_count, 10);
  EXPECT_EQ(root.merkle_root.bytes, merkle_root(leaves));
  EXPECT_EQ(status(), "anchoring");
}

TEST_F(BatchesTest, ABatchMadeAtOnceGoesOnAsAnyOther) {
  context_.deliver(small_at_once_, kBatch.to_string(), accepted(10));
  const auto root = context_.emitted[3].as<MerkleRootComputed>();
  context_.emitted.clear();
  context_.deliver(small_at_once_, kBatch.to_string(), root);          // its own root comes back
  context_.deliver(small_at_once_, kBatch.to_string(), accepted(10));  // a duplicate
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_EQ(status(), "anchoring");
  context_.advance(small_at_once_, 16 * 60'000);  // nothing is heard of the anchor
  ASSERT_EQ(context_.emitted_as<AnchorAccepted>().size(), 1U);
  context_.deliver(small_at_once_, kBatch.to_string(), anchored(root.merkle_root));
  EXPECT_EQ(context_.emitted_as<BatchCompleted>().size(), 1U);
  EXPECT_EQ(status(), "completed");
  EXPECT_TRUE(context_.timers.empty());
  EXPECT_TRUE(context_.dead_letters.empty());
}

// What cannot be made here is asked for chunk by chunk; the chunk's maker says what is wrong.
TEST_F(BatchesTest, RequestsTheChunksOfABatchWhoseKeyIsElsewhere) {
  auto event = accepted(3);
  event.key_id = 77;
  context_.deliver(small_at_once_, kBatch.to_string(), event);
  EXPECT_EQ(requested_chunks(), std::vector<std::int64_t>{0});
  EXPECT_EQ(status(), "generating");
}

TEST_F(BatchesTest, LeadsABatchToItsEnd) {
  deliver(accepted(4));
  subtree(0, 4);
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_EQ(status(), "anchoring");
  context_.emitted.clear();
  context_.time.ms += 2000;
  deliver(anchored());
  EXPECT_EQ(status(), "completed");
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].key, kBatch.to_string());
  const auto completed = context_.emitted[0].as<BatchCompleted>();
  EXPECT_EQ(completed.tenant, "acme");
  EXPECT_EQ(completed.product_count, 4);
  EXPECT_EQ(completed.merkle_root, kRoot);
  EXPECT_EQ(completed.anchor_id, test_id(9));
  EXPECT_EQ(completed.network, "mock");
  EXPECT_EQ(completed.transaction_id, anchored().transaction_id);
  EXPECT_EQ(completed.requested_at.ms, 1'699'999'999'000);
  EXPECT_EQ(completed.completed_at, context_.time);
}

TEST_F(BatchesTest, LeavesOneSmallRecordAndNoTimer) {
  generate(41);
  deliver(anchored());
  EXPECT_EQ(context_.state.values.size(), 1U);
  EXPECT_LT(context_.state.values.begin()->second.size(), 256U);
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, OnlyAWindowOfChunksIsOut) {
  deliver(accepted(41));
  EXPECT_THAT(requested_chunks(), ElementsAre(0, 1, 2));
  subtree(1, 41);
  EXPECT_THAT(requested_chunks(), ElementsAre(3));
  subtree(1, 41);
  EXPECT_THAT(requested_chunks(), ElementsAre());
  subtree(0, 41);
  subtree(2, 41);
  EXPECT_THAT(requested_chunks(), ElementsAre(4, 5));
}

TEST_F(BatchesTest, AChunkLargerThanTheWindowIsStillRequested) {
  auto large = accepted(100);
  large.chunk_size = 64;
  deliver(large);
  EXPECT_THAT(requested_chunks(), ElementsAre(0));
}

TEST_F(BatchesTest, AChunkThatNobodyRequestedIsADeadLetter) {
  deliver(accepted(41));
  subtree(7, 41);
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(context_.dead_letters[0].reason, "unrequested_chunk");
}

TEST_F(BatchesTest, TheSameRequestAgainIsTheSameBatch) {
  auto event = accepted(4);
  deliver(event);
  context_.emitted.clear();
  event.requested_at.ms += 5;
  event.key_id = 4;
  event.chunk_size = 8;
  deliver(event);
  deliver(event);
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.dead_letters.empty());
  const auto batch = state::Table<BatchState>(context_.state, "batch").get(kBatch.to_string());
  EXPECT_EQ(batch->duplicates, 2);
  EXPECT_EQ(batch->key_id, 3);
}

TEST_F(BatchesTest, ADuplicateOfACompletedBatchIsStillKnown) {
  generate();
  deliver(anchored());
  context_.emitted.clear();
  deliver(accepted(4));
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.dead_letters.empty());
  EXPECT_EQ(status(), "completed");
}

TEST_F(BatchesTest, OtherContentIsADeadLetterThatNamesTheFields) {
  deliver(accepted(4));
  context_.emitted.clear();
  auto other = accepted(5);
  other.metadata = events::JsonObject{R"({"a":2})"};
  other.lot = "L1";
  deliver(other);
  EXPECT_TRUE(context_.emitted.empty());
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(context_.dead_letters[0].reason, "conflicting_batch");
  EXPECT_THAT(context_.dead_letters[0].detail, HasSubstr("product_count, lot, metadata"));
}

TEST_F(BatchesTest, OtherContentIsNoticedAfterTheEndToo) {
  generate();
  deliver(anchored());
  auto other = accepted(4);
  other.tenant = "emca";
  deliver(other);
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_THAT(context_.dead_letters[0].detail, HasSubstr("another tenant;"));
}

// Every field that the producer may say is content, and is named when it differs.
TEST_F(BatchesTest, EachFieldIsContent) {
  using Change = std::pair<std::string, std::function<void(BatchAccepted&)>>;
  const std::vector<Change> changes{
      {"tenant", [](auto& batch) { batch.tenant = "x"; }},
      {"product_count", [](auto& batch) { batch.product_count = 5; }},
      {"first_serial", [](auto& batch) { batch.first_serial = 5; }},
      {"sku", [](auto& batch) { batch.sku = "x"; }},
      {"gtin", [](auto& batch) { batch.gtin = "x"; }},
      {"lot", [](auto& batch) { batch.lot = "x"; }},
      {"name", [](auto& batch) { batch.name = "x"; }},
      {"metadata", [](auto& batch) { batch.metadata->text = "{}"; }},
      {"callback_url", [](auto& batch) { batch.callback_url = "http://x"; }}};
  const auto content = BatchContent::of(accepted(4));
  for (const auto& [field, change] : changes) {
    auto batch = accepted(4);
    change(batch);
    const auto other = BatchContent::of(batch);
    EXPECT_FALSE(content.same_as(other)) << field;
    EXPECT_EQ(content.differing_fields(other), field);
  }
}

TEST_F(BatchesTest, AnAbsentFieldIsNotAnEmptyOne) {
  auto a = accepted(4);
  auto b = a;
  a.metadata.reset();
  b.metadata = events::JsonObject{""};
  EXPECT_FALSE(BatchContent::of(a).same_as(BatchContent::of(b)));
}

// Moving text from one field into its neighbour is another content.
RC_GTEST_PROP(BatchContentTest, FieldsDoNotRunIntoEachOther, (std::string text)) {
  BatchAccepted a;
  BatchAccepted b;
  const auto cut = *rc::gen::inRange<std::size_t>(0, text.size() + 1);
  const auto other_cut = *rc::gen::inRange<std::size_t>(0, text.size() + 1);
  a.sku = text.substr(0, cut);
  a.gtin = text.substr(cut);
  b.sku = text.substr(0, other_cut);
  b.gtin = text.substr(other_cut);
  RC_ASSERT(BatchContent::of(a).same_as(BatchContent::of(b)) == (cut == other_cut));
}

TEST_F(BatchesTest, AChunkSizeThatIsNoPowerOfTwoIsADeadLetter) {
  auto event = accepted(4);
  event.chunk_size = 1000;
  deliver(event);
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(context_.dead_letters[0].reason, "invalid");
  EXPECT_TRUE(context_.emitted.empty());
}

TEST_F(BatchesTest, RemindsOfOpenChunksWithDoublingDelayAndThenFails) {
  deliver(accepted(41));
  subtree(1, 41);
  context_.emitted.clear();
  const auto begun = context_.time.ms;
  std::int64_t due = begun;
  for (const std::int64_t minutes : {1, 2, 4, 8, 10, 10}) {
    due += minutes * 60'000;
    context_.advance_to(batches_, {due - 1});
    EXPECT_THAT(requested_chunks(), ElementsAre());
    context_.advance_to(batches_, {due});
    EXPECT_THAT(requested_chunks(), ElementsAre(0, 2, 3));
  }
  context_.advance_to(batches_, {due + 600'000});
  ASSERT_EQ(context_.emitted.size(), 1U);
  const auto failure = context_.emitted[0].as<BatchFailed>();
  EXPECT_EQ(failure.batch_id, kBatch);
  EXPECT_EQ(failure.tenant, "acme");
  EXPECT_EQ(failure.reason, "generation_stalled");
  EXPECT_THAT(failure.detail, HasSubstr("3 chunks did not come back after 6 reminders"));
  EXPECT_EQ(status(), "failed");
  EXPECT_EQ(context_.state.values.size(), 1U);
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, OutlastsAnOutageOfADay) {
  BatchesProcessor batches{BatchesConfig{.made_at_once_max = 0}, keys_};
  context_.deliver(batches, kBatch.to_string(), accepted(41));
  context_.advance(batches, 24 * 3'600'000);
  EXPECT_EQ(status(), "generating");
  for (std::int64_t chunk = 0; chunk < 11; ++chunk) {
    context_.deliver(batches, kBatch.to_string(),
                     MerkleSubtreeComputed{kBatch, chunk, 11, 41, kRoot});
  }
  context_.deliver(batches, kBatch.to_string(), MerkleRootComputed{kBatch, kRoot, 41});
  EXPECT_EQ(status(), "anchoring");
}

TEST_F(BatchesTest, FailsAtLastAndKeepsNothingOpen) {
  BatchesProcessor batches{BatchesConfig{.made_at_once_max = 0}, keys_};
  context_.deliver(batches, kBatch.to_string(), accepted(41));
  context_.advance(batches, 25 * 3'600'000);
  EXPECT_EQ(status(), "failed");
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, SaysThatOnlyTheRootIsMissing) {
  deliver(accepted(8));
  subtree(0, 8);
  subtree(1, 8);
  context_.emitted.clear();
  context_.advance(batches_, 10'000'000);
  ASSERT_EQ(context_.emitted.size(), 1U);
  const auto detail = context_.emitted[0].as<BatchFailed>().detail;
  EXPECT_THAT(detail, HasSubstr("every chunk came back, but its Merkle root did not"));
  EXPECT_THAT(detail, HasSubstr("voketag dlq list"));
}

TEST_F(BatchesTest, OfAnOnlyChunkSaysThatItOrItsRootIsMissing) {
  deliver(accepted(4));
  subtree(0, 4);
  context_.emitted.clear();
  context_.advance(batches_, 10'000'000);
  ASSERT_EQ(context_.emitted_as<BatchFailed>().size(), 1U);
  EXPECT_THAT(context_.emitted_as<BatchFailed>()[0].detail,
              HasSubstr("its only chunk or its Merkle root did not come back"));
}

TEST_F(BatchesTest, RemindsOfTheOnlyChunk) {
  deliver(accepted(4));
  context_.emitted.clear();
  context_.advance(batches_, 60'000);
  EXPECT_THAT(requested_chunks(), ElementsAre(0));
  subtree(0, 4);
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_EQ(status(), "anchoring");
  EXPECT_EQ(context_.state.count("window/"), 0U);
}

TEST_F(BatchesTest, OfAnOnlyChunkNothingIsReadOrKept) {
  deliver(accepted(4));
  const auto writes = context_.state.writes;
  const auto reads = context_.state.reads;
  subtree(0, 4);
  EXPECT_EQ(context_.state.writes, writes);
  EXPECT_EQ(context_.state.reads, reads);
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_EQ(context_.state.reads, reads + 1);
  EXPECT_EQ(context_.state.writes, writes + 1);
}

TEST_F(BatchesTest, AChunkOfAnotherCutIsADeadLetter) {
  deliver(accepted(41));
  deliver(MerkleSubtreeComputed{kBatch, 0, 3, 41, kRoot});
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(context_.dead_letters[0].reason, "unrequested_chunk");
}

// The root was lost on its way to the chain, or became a dead letter there.
TEST_F(BatchesTest, AsksForAnchoringAgainWhenNothingIsHeardOfIt) {
  generate();
  std::int64_t due = context_.time.ms;
  for (const std::int64_t minutes : {15, 30, 60, 60}) {
    due += minutes * 60'000;
    context_.advance_to(batches_, {due - 1});
    EXPECT_TRUE(context_.emitted.empty());
    context_.advance_to(batches_, {due});
    const auto emitted = context_.take();
    ASSERT_EQ(emitted.size(), 1U);
    EXPECT_EQ(emitted[0].key, kBatch.to_string());
    const auto again = emitted[0].as<AnchorAccepted>();
    EXPECT_EQ(again.origin, "retry");
    EXPECT_EQ(again.merkle_root, kRoot);
    EXPECT_EQ(again.product_count, 4);
  }
  EXPECT_EQ(status(), "anchoring");
  deliver(anchored());
  EXPECT_EQ(status(), "completed");
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, AfterAFailureOnlyItsOwnTimerAsksAgain) {
  generate();
  deliver(failed(events::Timestamp{context_.time.ms + 10 * 3'600'000}));
  context_.advance(batches_, 10 * 3'600'000 - 1);
  EXPECT_TRUE(context_.emitted.empty());
  context_.advance(batches_, 1);
  EXPECT_EQ(context_.take().size(), 1U);
  // And should that be lost as well, it is asked for again.
  context_.advance(batches_, 3'600'000);
  EXPECT_EQ(context_.take().size(), 1U);
}

TEST_F(BatchesTest, ABatchThatMovesIsNotStuck) {
  deliver(accepted(41));
  context_.emitted.clear();
  for (std::int64_t chunk = 0; chunk < 8; ++chunk) {
    context_.advance(batches_, 50'000);
    subtree(chunk, 41);
    EXPECT_THAT(requested_chunks(), ElementsAre(chunk + 3));
  }
}

TEST_F(BatchesTest, AnswersAfterTheFailureAreHarmless) {
  deliver(accepted(4));
  context_.advance(batches_, 10'000'000);
  ASSERT_EQ(status(), "failed");
  context_.emitted.clear();
  subtree(0, 4);
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  deliver(anchored());
  deliver(failed());
  EXPECT_EQ(status(), "failed");
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, AsksForAnchoringAgainWhenTheFailureSays) {
  generate();
  deliver(failed(events::Timestamp{context_.time.ms + 5000}));
  EXPECT_EQ(status(), "anchor_failed");
  context_.advance(batches_, 4999);
  EXPECT_TRUE(context_.emitted.empty());
  context_.advance(batches_, 1);
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].key, kBatch.to_string());
  const auto again = context_.emitted[0].as<AnchorAccepted>();
  EXPECT_EQ(again.origin, "retry");
  EXPECT_EQ(again.merkle_root, kRoot);
  EXPECT_EQ(again.product_count, 4);
  EXPECT_EQ(status(), "anchoring");
  deliver(anchored());
  EXPECT_EQ(status(), "completed");
}

TEST_F(BatchesTest, AsksForAnchoringAgainAfterAQuarterOfAnHour) {
  generate();
  deliver(failed());
  context_.advance(batches_, 899'999);
  EXPECT_TRUE(context_.emitted.empty());
  context_.advance(batches_, 1);
  EXPECT_EQ(context_.emitted_as<AnchorAccepted>().size(), 1U);
}

TEST_F(BatchesTest, AnAnchorThatArrivesAfterItsFailureCompletes) {
  generate();
  deliver(failed());
  deliver(anchored());
  EXPECT_EQ(status(), "completed");
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, AnOutsidersAnchorUnderOurIdIsNotOurs) {
  generate();
  deliver(anchored(test_hash(0x99)));
  EXPECT_EQ(status(), "anchoring");
  auto foreign = failed();
  foreign.origin = "external";
  deliver(foreign);
  EXPECT_EQ(status(), "anchoring");
  EXPECT_TRUE(context_.emitted.empty());
}

TEST_F(BatchesTest, AnchorsOfOthersAreIgnored) {
  auto foreign = anchored();
  foreign.batch_id = test_id(77);
  deliver(foreign);
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.state.values.empty());
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(BatchesTest, AnAnchorMayBeSeenBeforeItsRoot) {
  deliver(accepted(4));
  deliver(anchored());
  EXPECT_EQ(status(), "generating");
  context_.emitted.clear();
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_EQ(status(), "completed");
  EXPECT_EQ(context_.emitted_as<BatchCompleted>().size(), 1U);
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, AForeignAnchorSeenBeforeTheRootDoesNotComplete) {
  deliver(accepted(4));
  deliver(anchored(test_hash(0x99)));
  context_.emitted.clear();
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_EQ(status(), "anchoring");
  EXPECT_TRUE(context_.emitted.empty());
}

TEST_F(BatchesTest, AFailureMayBeSeenBeforeItsRoot) {
  deliver(accepted(4));
  deliver(failed(events::Timestamp{context_.time.ms + 1000}));
  context_.advance(batches_, 1000);
  EXPECT_EQ(context_.emitted_as<AnchorAccepted>().size(), 0U);
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_EQ(status(), "anchor_failed");
  context_.advance(batches_, 60'000);
  EXPECT_EQ(context_.emitted_as<AnchorAccepted>().size(), 1U);
}

TEST_F(BatchesTest, AnotherRootIsADeadLetter) {
  generate();
  deliver(MerkleRootComputed{kBatch, kRoot, 4});
  EXPECT_TRUE(context_.dead_letters.empty());
  deliver(MerkleRootComputed{kBatch, test_hash(0x12), 4});
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(context_.dead_letters[0].reason, "conflicting_root");
}

TEST_F(BatchesTest, ARootOverAnotherCountIsADeadLetter) {
  deliver(accepted(4));
  deliver(MerkleRootComputed{kBatch, kRoot, 5});
  ASSERT_EQ(context_.dead_letters.size(), 1U);
  EXPECT_EQ(status(), "generating");
}

TEST_F(BatchesTest, MalformedEventsAreDeadLetters) {
  for (const auto topic : batches_.inputs()) {
    context_.deliver_raw(batches_, topic, kBatch.to_string(), "{");
    context_.deliver_raw(batches_, topic, kBatch.to_string(), std::nullopt);
  }
  EXPECT_EQ(context_.dead_letters.size(), 2 * batches_.inputs().size());
  EXPECT_TRUE(context_.state.values.empty());
}

TEST_F(BatchesTest, ATimerOfABatchThatEndedDoesNothing) {
  generate();
  deliver(anchored());
  context_.emitted.clear();
  batches_.on_timer(context_, "stall:" + kBatch.to_string());
  batches_.on_timer(context_, "retry:" + kBatch.to_string());
  batches_.on_timer(context_, "stall:nonsense");
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.timers.empty());
}

TEST_F(BatchesTest, TheGreatestBatchCostsSmallWritesPerChunk) {
  BatchesProcessor batches(BatchesConfig{}, keys_);
  auto event = accepted(10'000'000);
  event.chunk_size = 1024;
  context_.deliver(batches, kBatch.to_string(), event);
  EXPECT_EQ(context_.take().size(), 384U);
  const auto bytes_before = context_.state.written_bytes;
  for (std::int64_t chunk = 0; chunk < 9766; ++chunk) {
    const auto late_first = chunk < 9765 ? chunk + 1 : 0;  // chunk 0 is the slow one at first
    const auto index = chunk < 300 ? late_first : (chunk == 300 ? 0 : chunk);
    context_.deliver(batches, kBatch.to_string(),
                     MerkleSubtreeComputed{kBatch, index, 9766, 10'000'000, kRoot});
  }
  EXPECT_EQ(context_.take().size(), 9766U - 384U);
  EXPECT_LT((context_.state.written_bytes - bytes_before) / 9766, 300U);
  EXPECT_TRUE(context_.dead_letters.empty());
}

// Whatever the order and however often each event arrives, the batch is completed once, and every
// chunk is requested exactly once.
RC_GTEST_FIXTURE_PROP(BatchesTest, AnyOrderGivesOneCompletion, ()) {
  const auto product_count = *rc::gen::inRange<std::int64_t>(1, 60);
  deliver(accepted(product_count));
  auto root = MerkleRootComputed{kBatch, kRoot, product_count};
  std::multiset<std::int64_t> requested;
  bool has_root = false;
  bool has_anchor = false;
  // 0..n-1 a chunk that is out, -1 root, -2 anchor, -3 the request again
  for (int step = 0; step < 400 && !(has_root && has_anchor); ++step) {
    const auto out = context_.emitted_as<TokenChunkRequested>();
    const auto choice = *rc::gen::inRange<int>(-3, static_cast<int>(out.size()));
    if (choice >= 0) subtree(out[static_cast<std::size_t>(choice)].chunk_index, product_count);
    if (choice == -1) {
      deliver(root);
      has_root = true;
    }
    if (choice == -2) {
      deliver(anchored());
      has_anchor = true;
    }
    if (choice == -3) deliver(accepted(product_count));
  }
  if (!has_root) deliver(root);
  if (!has_anchor) deliver(anchored());
  RC_ASSERT(status() == "completed");
  RC_ASSERT(context_.emitted_as<BatchCompleted>().size() == 1U);
  for (const auto& request : context_.emitted_as<TokenChunkRequested>()) {
    requested.insert(request.chunk_index);
  }
  for (const auto chunk : requested) RC_ASSERT(requested.count(chunk) == 1U);
  RC_ASSERT(context_.state.values.size() == 1U);
  RC_ASSERT(context_.timers.empty());
}

}  // namespace
}  // namespace voketag::processors
