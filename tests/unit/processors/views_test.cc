#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string>

#include "events/tokens_view.h"
#include "processors/anchoring/anchoring_processor.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token.h"
#include "processors/views/anchors_projection.h"
#include "processors/views/batches_projection.h"
#include "processors/views/merkle_subtrees_projection.h"
#include "processors/views/products_projection.h"
#include "tests/unit/processors/fake_context.h"
#include "tests/unit/processors/fake_view.h"

namespace voketag::processors {
namespace {

using testing::FakeView;
using ::testing::HasSubstr;
using testing::test_hash;
using testing::test_id;

const auto kBatch = test_id(1);
const auto kAnchor = test_id(2);
const std::string kTransaction = "0x" + std::string(64, 'a');

struct Sent {
  std::string topic;
  std::string key;
  std::string json;
  std::int64_t at_ms = 0;
};

template <class Event>
Sent sent(const Event& event, std::string key = kBatch.to_string(),
          std::int64_t at_ms = 1'700'000'000'000) {
  return {std::string(Event::kTopic), std::move(key), events::encode(event), at_ms};
}

events::Status project(FakeView& view, Projection& projection, const Sent& sent) {
  events::RecordView record;
  record.topic = sent.topic;
  record.key = sent.key;
  record.value = sent.json;
  record.timestamp = {sent.at_ms};
  return view.project(projection, record);
}

// ---- products -----------------------------------------------------------------------------------

events::TokensGenerated tokens_generated(std::int64_t count) {
  static const auto keys = *TokenKeys::parse("5:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  const auto plan = *BatchPlan::derive(keys.signing(), {kBatch, 1'700'000'000'000, 1000});
  events::TokensGenerated event{kBatch, 2, 101, count, {}};
  for (std::int64_t i = 0; i < count; ++i) {
    event.tokens.push_back(format_token(make_token(keys.signing(), plan.product_id(i))));
  }
  return event;
}

TEST(ProductsViewTest, HasARowPerToken) {
  ProductsProjection projection;
  FakeView view;
  const auto event = tokens_generated(3);
  ASSERT_TRUE(project(view, projection, sent(event)));
  EXPECT_EQ(view.size("products"), 3U);
  const auto& products = FakeView::view_of(projection, "products");
  for (std::size_t i = 0; i < 3; ++i) {
    const auto id = parse_token(event.tokens[i])->product_id.to_string();
    EXPECT_EQ(view.value(products, id, "batch_id"), kBatch.to_string());
    EXPECT_EQ(view.value(products, id, "serial"), std::to_string(101 + i));
    EXPECT_EQ(view.value(products, id, "token"), event.tokens[i]);
    EXPECT_EQ(view.value(products, id, "status"), "active");
  }
}

TEST(ProductsViewTest, RefusesAnotherCount) {
  ProductsProjection projection;
  FakeView view;
  auto event = tokens_generated(3);
  event.count = 4;
  EXPECT_FALSE(project(view, projection, sent(event)));
  EXPECT_EQ(view.size("products"), 0U);
}

TEST(ProductsViewTest, RefusesTheWholeChunkForOneBadToken) {
  ProductsProjection projection;
  FakeView view;
  for (const auto* bad : {"", "!", "AQ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}) {
    auto event = tokens_generated(3);
    event.tokens[2] = bad;
    EXPECT_FALSE(project(view, projection, sent(event))) << bad;
  }
  auto event = tokens_generated(3);
  event.tokens[2][45] = event.tokens[2][45] == 'B' ? 'C' : 'B';  // bits beyond the last byte
  const auto status = project(view, projection, sent(event));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("serial 103"));
  EXPECT_EQ(view.size("products"), 0U);
}

// ---- batches ------------------------------------------------------------------------------------

Sent queued_for(std::int64_t attempt, const char* origin = "own") {
  return sent(events::AnchorQueued{kAnchor, kBatch, test_hash(1), 2000, origin, attempt});
}

Sent failed_at(std::int64_t attempt) {
  return sent(events::AnchorFailed{kAnchor, kBatch, "no_funds",
                                   "failure " + std::to_string(attempt), attempt - 1, std::nullopt,
                                   "own"});
}

std::vector<Sent> life_of_a_batch(bool is_failed_first) {
  events::BatchAccepted accepted;
  accepted.batch_id = kBatch;
  accepted.tenant = "acme";
  accepted.product_count = 2000;
  accepted.first_serial = 5;
  accepted.sku = "S1";
  accepted.metadata = events::JsonObject{R"({"a":1})"};
  accepted.key_id = 3;
  accepted.chunk_size = 1024;
  accepted.requested_at = {1'699'999'999'000};
  events::TokenChunkRequested first_chunk;
  first_chunk.batch_id = kBatch;
  first_chunk.chunk_count = 2;
  first_chunk.chunk_size = 1024;
  first_chunk.product_count = 2000;
  events::BatchCompleted completed{kBatch,
                                   "acme",
                                   2000,
                                   test_hash(1),
                                   anchor_id_of(kBatch),
                                   "mock",
                                   {kTransaction},
                                   {1'699'999'999'000},
                                   {1'700'000'005'000}};
  std::vector<Sent> life{sent(accepted), sent(first_chunk, kBatch.to_string() + ":0"),
                         sent(events::MerkleRootComputed{kBatch, test_hash(1), 2000}),
                         sent(completed)};
  if (is_failed_first) {
    for (std::int64_t attempt = 1; attempt <= 2; ++attempt) {
      life.push_back(queued_for(attempt));
      life.push_back(failed_at(attempt));
    }
  }
  return life;
}

FakeView::Value of_batch(const FakeView& view, std::string_view column) {
  static const BatchesProjection projection;
  return view.value(FakeView::view_of(projection, "batches"), kBatch.to_string(), column);
}

TEST(BatchesViewTest, ShowsTheLifeOfABatch) {
  BatchesProjection projection;
  FakeView view;
  const auto life = life_of_a_batch(false);
  const std::vector<std::string> statuses{"requested", "generating", "anchoring", "completed"};
  for (std::size_t i = 0; i < life.size(); ++i) {
    ASSERT_TRUE(project(view, projection, life[i]));
    EXPECT_EQ(of_batch(view, "status"), statuses[i]);
  }
  EXPECT_EQ(of_batch(view, "tenant"), "acme");
  EXPECT_EQ(of_batch(view, "product_count"), "2000");
  EXPECT_EQ(of_batch(view, "merkle_root"), test_hash(1).to_string());
  EXPECT_EQ(of_batch(view, "transaction_id"), kTransaction);
  EXPECT_EQ(of_batch(view, "job_id"), anchor_id_of(kBatch).to_string());
  EXPECT_EQ(of_batch(view, "error"), std::nullopt);
  EXPECT_EQ(of_batch(view, "requested_at"), "2023-11-14T22:13:19.000Z");
  EXPECT_EQ(of_batch(view, "completed_at"), "2023-11-14T22:13:25.000Z");
  EXPECT_EQ(of_batch(view, "first_serial"), "5");
  EXPECT_EQ(of_batch(view, "sku"), "S1");
  EXPECT_EQ(of_batch(view, "gtin"), std::nullopt);
  EXPECT_EQ(of_batch(view, "metadata"), R"({"a":1})");
  EXPECT_EQ(of_batch(view, "key_id"), "3");
  EXPECT_EQ(of_batch(view, "chunk_size"), "1024");
}

TEST(BatchesViewTest, KnowsItsAnchorFromTheRootOn) {
  BatchesProjection projection;
  FakeView view;
  ASSERT_TRUE(project(view, projection, life_of_a_batch(false)[2]));
  EXPECT_EQ(of_batch(view, "status"), "anchoring");
  EXPECT_EQ(of_batch(view, "job_id"), anchor_id_of(kBatch).to_string());
}

TEST(BatchesViewTest, ShowsWhetherAnchoringHasFailedOrIsTriedAgain) {
  BatchesProjection projection;
  FakeView view;
  for (const auto& event : life_of_a_batch(false)) {
    if (event.topic != events::BatchCompleted::kTopic) {
      ASSERT_TRUE(project(view, projection, event));
    }
  }
  for (std::int64_t attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_TRUE(project(view, projection, queued_for(attempt)));
    EXPECT_EQ(of_batch(view, "status"), "anchoring");
    EXPECT_EQ(of_batch(view, "error"), std::nullopt);
    ASSERT_TRUE(project(view, projection, failed_at(attempt)));
    EXPECT_EQ(of_batch(view, "status"), "anchor_failed");
    EXPECT_EQ(of_batch(view, "error"), "failure " + std::to_string(attempt));
  }
  ASSERT_TRUE(project(view, projection, failed_at(2)));
  EXPECT_EQ(of_batch(view, "error"), "failure 3");
  ASSERT_TRUE(project(view, projection, life_of_a_batch(false).back()));
  EXPECT_EQ(of_batch(view, "status"), "completed");
  EXPECT_EQ(of_batch(view, "error"), std::nullopt);
}

TEST(BatchesViewTest, AnOutsidersRootInTheQueueMakesNoRow) {
  BatchesProjection projection;
  FakeView view;
  ASSERT_TRUE(project(view, projection, queued_for(1)));
  ASSERT_TRUE(project(view, projection, queued_for(2, "external")));
  EXPECT_EQ(view.size("batches"), 0U);
}

TEST(BatchesViewTest, ShowsAFailure) {
  BatchesProjection projection;
  FakeView view;
  ASSERT_TRUE(project(view, projection, life_of_a_batch(false)[0]));
  ASSERT_TRUE(project(view, projection,
                      sent(events::BatchFailed{
                          kBatch, "acme", "generation_stalled", "3 chunks", {1'700'000'009'000}})));
  EXPECT_EQ(of_batch(view, "status"), "failed");
  EXPECT_EQ(of_batch(view, "error"), "3 chunks");
  EXPECT_EQ(of_batch(view, "completed_at"), "2023-11-14T22:13:29.000Z");
}

TEST(BatchesViewTest, LaterChunksAndOutsidersFailuresMakeNoRow) {
  BatchesProjection projection;
  FakeView view;
  events::TokenChunkRequested chunk;
  chunk.batch_id = kBatch;
  chunk.chunk_index = 10;
  chunk.chunk_count = 11;
  chunk.chunk_size = 1;
  chunk.product_count = 11;
  ASSERT_TRUE(project(view, projection, sent(chunk, kBatch.to_string() + ":10")));
  ASSERT_TRUE(project(view, projection,
                      sent(events::AnchorFailed{kAnchor, kBatch, "no_funds", "empty", 0,
                                                std::nullopt, "external"})));
  EXPECT_EQ(view.size("batches"), 0U);
}

RC_GTEST_PROP(BatchesViewTest, AnyOrderGivesTheSameRow, (bool is_failed_first)) {
  BatchesProjection projection;
  FakeView expected;
  auto life = life_of_a_batch(is_failed_first);
  for (const auto& event : life) RC_ASSERT(project(expected, projection, event).has_value());
  FakeView view;
  while (!life.empty()) {
    const auto at = *rc::gen::inRange<std::size_t>(0, life.size());
    RC_ASSERT(project(view, projection, life[at]).has_value());
    life.erase(life.begin() + static_cast<std::ptrdiff_t>(at));
  }
  RC_ASSERT(view.tables() == expected.tables());
  RC_ASSERT(of_batch(view, "status") == "completed");
}

// ---- anchors ------------------------------------------------------------------------------------

std::vector<Sent> life_of_an_anchor() {
  const auto queued = [](std::int64_t attempt) {
    return events::AnchorQueued{kAnchor, kBatch, test_hash(1), 2000, "own", attempt};
  };
  events::AnchorSubmitted submitted;
  submitted.network = "mock";
  submitted.nonce = 7;
  submitted.transaction_id = {kTransaction};
  submitted.raw_transaction = {"0x56544147"};
  submitted.aggregate_root = test_hash(3);
  submitted.tree_size = 2;
  submitted.leaves = {{test_id(20), test_id(21), 0}, {kAnchor, kBatch, 1}};
  submitted.submitted_at = {1'700'000'006'000};
  events::AnchorCompleted completed;
  completed.anchor_id = kAnchor;
  completed.batch_id = kBatch;
  completed.merkle_root = test_hash(1);
  completed.product_count = 2000;
  completed.network = "mock";
  completed.transaction_id = {kTransaction};
  completed.block_number = 12;
  completed.block_hash = {"0x" + std::string(64, 'b')};
  completed.gas_used = 22'280;
  completed.gas_price_gwei = {"1.5"};
  completed.anchored_at = {1'700'000'007'000};
  completed.aggregate = {test_hash(3), 1, 2, {test_hash(4)}};
  return {sent(queued(1), "0:mock", 1'700'000'000'000),
          sent(events::AnchorFailed{kAnchor, kBatch, "no_funds", "the account is empty", 0,
                                    events::Timestamp{1'700'000'001'000}, "own"},
               "", 1'700'000'000'500),
          sent(queued(2), "0:mock", 1'700'000'001'000),
          sent(events::AnchorFailed{kAnchor, kBatch, "no_funds", "the account is empty", 1,
                                    events::Timestamp{1'700'000'003'000}, "own"},
               "", 1'700'000'001'500),
          sent(queued(3), "0:mock", 1'700'000'003'000),
          sent(submitted, "0:mock", 1'700'000'006'000),
          sent(completed, "", 1'700'000'007'500)};
}

FakeView::Value of_anchor(const FakeView& view, std::string_view column) {
  static const AnchorsProjection projection;
  return view.value(FakeView::view_of(projection, "anchors"), kAnchor.to_string(), column);
}

TEST(AnchorsViewTest, ShowsTheLifeOfAnAnchor) {
  AnchorsProjection projection;
  FakeView view;
  const auto life = life_of_an_anchor();
  ASSERT_TRUE(project(view, projection, life[0]));
  EXPECT_EQ(of_anchor(view, "status"), "pending");
  for (std::size_t i = 1; i < life.size(); ++i) ASSERT_TRUE(project(view, projection, life[i]));
  EXPECT_EQ(of_anchor(view, "status"), "completed");
  EXPECT_EQ(of_anchor(view, "batch_id"), kBatch.to_string());
  EXPECT_EQ(of_anchor(view, "merkle_root"), test_hash(1).to_string());
  EXPECT_EQ(of_anchor(view, "product_count"), "2000");
  EXPECT_EQ(of_anchor(view, "transaction_id"), kTransaction);
  EXPECT_EQ(of_anchor(view, "leaf_index"), "1");
  EXPECT_EQ(of_anchor(view, "block_number"), "12");
  EXPECT_EQ(of_anchor(view, "gas_used"), "22280");
  EXPECT_EQ(of_anchor(view, "gas_price_gwei"), "1.5");
  EXPECT_EQ(of_anchor(view, "network"), "mock");
  EXPECT_EQ(of_anchor(view, "error"), std::nullopt);
  EXPECT_EQ(of_anchor(view, "retry_count"), "2");
  EXPECT_EQ(of_anchor(view, "created_at"), "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(of_anchor(view, "updated_at"), "2023-11-14T22:13:27.500Z");
  EXPECT_EQ(of_anchor(view, "anchored_at"), "2023-11-14T22:13:27.000Z");
  EXPECT_EQ(of_anchor(view, "next_retry_at"), std::nullopt);
  EXPECT_EQ(of_anchor(view, "chain_id"), "0");
  EXPECT_EQ(of_anchor(view, "revision"), "1");
  EXPECT_EQ(of_anchor(view, "aggregate_root"), test_hash(3).to_string());
  EXPECT_EQ(of_anchor(view, "tree_size"), "2");
  EXPECT_EQ(of_anchor(view, "aggregate_path"), "[\"" + test_hash(4).to_string() + "\"]");
}

TEST(AnchorsViewTest, AFailureShowsWhyAndWhenItIsTriedAgain) {
  AnchorsProjection projection;
  FakeView view;
  const auto life = life_of_an_anchor();
  for (std::size_t i = 0; i < 4; ++i) ASSERT_TRUE(project(view, projection, life[i]));
  EXPECT_EQ(of_anchor(view, "status"), "failed");
  EXPECT_EQ(of_anchor(view, "error"), "the account is empty");
  EXPECT_EQ(of_anchor(view, "next_retry_at"), "2023-11-14T22:13:23.000Z");
}

// An outsider anchored a root of his own under our batch_id, before ours was there.
RC_GTEST_PROP(AnchorsViewTest, ALaterRevisionReplacesAllOfTheEarlier, ()) {
  AnchorsProjection projection;
  auto events = life_of_an_anchor();
  events::AnchorCompleted foreign;
  foreign.anchor_id = kAnchor;
  foreign.batch_id = kBatch;
  foreign.merkle_root = test_hash(0x99);
  foreign.product_count = 3;
  foreign.network = "mock";
  foreign.transaction_id = {"0x" + std::string(64, 'f')};
  foreign.block_number = 5;
  foreign.block_hash = {"0x" + std::string(64, 'e')};
  foreign.gas_price_gwei = {"9"};
  foreign.aggregate = {test_hash(0x98), 0, 1, {}};
  auto own = events::decode<events::AnchorCompleted>(events.back().json).value();
  own.revision = 2;
  events.back() = sent(own, "", 1'700'000'007'500);
  events.push_back(sent(foreign, "", 1'700'000'000'100));
  events.push_back(sent(events::AnchorQueued{kAnchor, kBatch, test_hash(0x99), 3, "external", 1},
                        "0:mock", 1'700'000'000'000));
  FakeView view;
  while (!events.empty()) {
    const auto at = *rc::gen::inRange<std::size_t>(0, events.size());
    RC_ASSERT(project(view, projection, events[at]).has_value());
    events.erase(events.begin() + static_cast<std::ptrdiff_t>(at));
  }
  RC_ASSERT(of_anchor(view, "revision") == "2");
  RC_ASSERT(of_anchor(view, "merkle_root") == test_hash(1).to_string());
  RC_ASSERT(of_anchor(view, "product_count") == "2000");
  RC_ASSERT(of_anchor(view, "transaction_id") == kTransaction);
  RC_ASSERT(of_anchor(view, "leaf_index") == "1");
  RC_ASSERT(of_anchor(view, "block_number") == "12");
  RC_ASSERT(of_anchor(view, "gas_price_gwei") == "1.5");
  RC_ASSERT(of_anchor(view, "tree_size") == "2");
  RC_ASSERT(of_anchor(view, "aggregate_root") == test_hash(3).to_string());
  RC_ASSERT(of_anchor(view, "aggregate_path") == "[\"" + test_hash(4).to_string() + "\"]");
  RC_ASSERT(of_anchor(view, "status") == "completed");
}

TEST(AnchorsViewTest, ASubmittedTransactionIsARowAndItsAnchorsAreProcessing) {
  AnchorsProjection projection;
  FakeView view;
  ASSERT_TRUE(project(view, projection, life_of_an_anchor()[5]));
  const auto& transactions = FakeView::view_of(projection, "anchor_transactions");
  EXPECT_EQ(view.value(transactions, kTransaction, "nonce"), "7");
  EXPECT_EQ(view.value(transactions, kTransaction, "raw_transaction"), "0x56544147");
  EXPECT_EQ(view.size("anchors"), 2U);
  EXPECT_EQ(of_anchor(view, "status"), "processing");
  EXPECT_EQ(of_anchor(view, "transaction_id"), std::nullopt);
}

RC_GTEST_PROP(AnchorsViewTest, AnyOrderGivesTheSameRows, ()) {
  AnchorsProjection projection;
  FakeView expected;
  auto life = life_of_an_anchor();
  for (const auto& event : life) RC_ASSERT(project(expected, projection, event).has_value());
  FakeView view;
  while (!life.empty()) {
    const auto at = *rc::gen::inRange<std::size_t>(0, life.size());
    RC_ASSERT(project(view, projection, life[at]).has_value());
    life.erase(life.begin() + static_cast<std::ptrdiff_t>(at));
  }
  RC_ASSERT(view.tables() == expected.tables());
}

// ---- merkle_subtrees, and what all have in common -----------------------------------------------

TEST(MerkleSubtreesViewTest, HasARowPerChunk) {
  MerkleSubtreesProjection projection;
  FakeView view;
  ASSERT_TRUE(project(view, projection,
                      sent(events::MerkleSubtreeComputed{kBatch, 1, 2, 2000, test_hash(9)})));
  EXPECT_EQ(view.value(FakeView::view_of(projection, "merkle_subtrees"), kBatch.to_string() + "|1",
                       "root"),
            test_hash(9).to_string());
}

TEST(ViewsTest, MalformedRecordsAreErrors) {
  ProductsProjection products;
  BatchesProjection batches;
  AnchorsProjection anchors;
  MerkleSubtreesProjection merkle_subtrees;
  for (Projection* projection :
       std::initializer_list<Projection*>{&products, &batches, &anchors, &merkle_subtrees}) {
    for (const auto topic : projection->inputs()) {
      FakeView view;
      events::RecordView record;
      record.topic = topic;
      record.key = "k:0";
      EXPECT_FALSE(view.project(*projection, record)) << topic;
      for (const auto* bytes : {"", "{", "{}", "[]", "\xff"}) {
        record.value = bytes;
        EXPECT_FALSE(view.project(*projection, record)) << topic << " " << bytes;
      }
      EXPECT_TRUE(view.tables().empty());
    }
  }
}

}  // namespace
}  // namespace voketag::processors
