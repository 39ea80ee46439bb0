#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "processors/merkle/tree.h"
#include "processors/tokens/chunks.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token.h"
#include "processors/tokens/tokens_processor.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using events::MerkleSubtreeComputed;
using events::TokenChunkRequested;
using events::TokensGenerated;
using testing::FakeContext;
using ::testing::HasSubstr;
using testing::test_id;

const auto kBatch = test_id(1);

TokenKeys test_keys() {
  return *TokenKeys::parse(
      "5:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8,"
      "6:IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
}

TokenChunkRequested request(std::int64_t product_count, std::int64_t chunk_index,
                            std::int64_t chunk_size = 8) {
  TokenChunkRequested event;
  event.batch_id = kBatch;
  event.chunk_index = chunk_index;
  event.chunk_count = chunk_count(product_count, chunk_size);
  event.chunk_size = chunk_size;
  event.product_count = product_count;
  event.first_serial = 100;
  event.key_id = 6;
  event.requested_at = {1'700'000'000'000};
  return event;
}

class TokensTest : public ::testing::Test {
 protected:
  void deliver(const TokenChunkRequested& event) {
    context_.deliver(tokens_, chunk_key(event.batch_id, event.chunk_index), event);
  }
  void expect_refused(std::string_view reason, std::string_view detail) {
    EXPECT_TRUE(context_.emitted.empty());
    EXPECT_TRUE(context_.state.values.empty());
    ASSERT_EQ(context_.dead_letters.size(), 1U);
    EXPECT_EQ(context_.dead_letters[0].reason, reason);
    EXPECT_THAT(context_.dead_letters[0].detail, HasSubstr(std::string(detail)));
  }

  TokenKeys keys_ = test_keys();
  TokensProcessor tokens_{keys_};
  FakeContext context_;
};

TEST_F(TokensTest, MakesTheTokensOfAChunkAndTheirRoot) {
  deliver(request(19, 2));
  ASSERT_EQ(context_.emitted.size(), 2U);
  EXPECT_EQ(context_.emitted[0].topic, "tokens-generated");
  EXPECT_EQ(context_.emitted[0].key, kBatch.to_string() + ":2");
  EXPECT_EQ(context_.emitted[1].topic, "merkle-subtree-computed");
  EXPECT_EQ(context_.emitted[1].key, kBatch.to_string());

  const auto generated = context_.emitted[0].as<TokensGenerated>();
  EXPECT_EQ(generated.batch_id, kBatch);
  EXPECT_EQ(generated.chunk_index, 2);
  EXPECT_EQ(generated.first_serial, 116);
  EXPECT_EQ(generated.count, 3);
  ASSERT_EQ(generated.tokens.size(), 3U);
  EXPECT_EQ(context_.emitted[0].json, events::encode(generated));

  const auto& key = *keys_.find(6);
  const auto plan = *BatchPlan::derive(key, {kBatch, 1'700'000'000'000, 19});
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto token = make_token(key, plan.product_id(static_cast<std::int64_t>(16 + i)));
    EXPECT_EQ(generated.tokens[i], format_token(token));
    EXPECT_EQ(verify_token(token, keys_), TokenVerdict::kAuthentic);
    leaves.push_back(leaf_hash(generated.tokens[i]));
  }
  const auto subtree = context_.emitted[1].as<MerkleSubtreeComputed>();
  EXPECT_EQ(subtree.batch_id, kBatch);
  EXPECT_EQ(subtree.chunk_index, 2);
  EXPECT_EQ(subtree.chunk_count, 3);
  EXPECT_EQ(subtree.product_count, 19);
  EXPECT_EQ(subtree.root.bytes, merkle_root(leaves));
}

TEST_F(TokensTest, AChunkThatIsRequestedAgainIsNotMadeAgain) {
  deliver(request(19, 0));
  context_.emitted.clear();
  deliver(request(19, 0));
  EXPECT_TRUE(context_.emitted.empty());
  EXPECT_TRUE(context_.dead_letters.empty());
  deliver(request(19, 1));
  EXPECT_EQ(context_.emitted.size(), 2U);
}

TEST_F(TokensTest, AReplayGivesTheSameBytes) {
  deliver(request(19, 1));
  FakeContext replay;
  replay.deliver(tokens_, "", request(19, 1));
  EXPECT_EQ(replay.emitted, context_.emitted);
}

TEST_F(TokensTest, AKeyThatIsNotThereIsADeadLetterWithItsCure) {
  auto event = request(19, 0);
  event.key_id = 9;
  deliver(event);
  expect_refused("unknown_key", "VOKETAG_TOKEN_KEYS");
}

TEST_F(TokensTest, AfterTheCureTheSameRequestSucceeds) {
  auto event = request(19, 0);
  event.key_id = 9;
  deliver(event);
  const auto cured = *TokenKeys::parse("9:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  TokensProcessor again(cured);
  context_.deliver(again, "", event);
  EXPECT_EQ(context_.emitted.size(), 2U);
}

TEST_F(TokensTest, AChunkBeyondTheLastIsInvalid) {
  auto event = request(19, 0);
  event.chunk_index = 3;
  deliver(event);
  expect_refused("invalid", "chunk_index");
}

TEST_F(TokensTest, AnotherCountOfChunksIsInvalid) {
  auto event = request(19, 0);
  event.chunk_count = 4;
  deliver(event);
  expect_refused("invalid", "chunk_count must be 3");
}

TEST_F(TokensTest, AChunkSizeThatIsNoPowerOfTwoIsInvalid) {
  auto event = request(19, 0);
  event.chunk_size = 7;
  deliver(event);
  expect_refused("invalid", "chunk_size");
}

TEST_F(TokensTest, AChunkLargerThanARecordIsInvalid) {
  auto event = request(200'000, 0, 131'072);
  deliver(event);
  expect_refused("invalid", "chunk_size");
}

TEST_F(TokensTest, ASerialThatWouldOverflowIsInvalid) {
  auto event = request(19, 2);
  event.first_serial = std::numeric_limits<std::int64_t>::max();
  deliver(event);
  expect_refused("invalid", "first_serial");
}

TEST_F(TokensTest, TheLargestChunkFitsARecord) {
  deliver(request(65'536, 0, 65'536));
  ASSERT_EQ(context_.emitted.size(), 2U);
  EXPECT_LT(context_.emitted[0].json.size(), 6U * 1024 * 1024);
}

TEST_F(TokensTest, MalformedRequestsAreDeadLetters) {
  context_.deliver_raw(tokens_, TokenChunkRequested::kTopic, "k", "[]");
  context_.deliver_raw(tokens_, TokenChunkRequested::kTopic, "k", std::nullopt);
  EXPECT_EQ(context_.dead_letters.size(), 2U);
}

// Cutting a batch into chunks changes neither its tokens nor, by the roots, its tree.
RC_GTEST_FIXTURE_PROP(TokensTest, AnyChunkSizeGivesTheSameTokensAndRoot, ()) {
  const auto product_count = *rc::gen::inRange<std::int64_t>(1, 200);
  const auto chunk_size = std::int64_t{1} << *rc::gen::inRange(0, 8);
  const auto gather = [&](std::int64_t size) {
    FakeContext context;
    std::vector<std::string> tokens;
    std::vector<Hash> roots;
    for (std::int64_t i = 0; i < chunk_count(product_count, size); ++i) {
      context.deliver(tokens_, "", request(product_count, i, size));
    }
    for (const auto& chunk : context.emitted_as<TokensGenerated>()) {
      tokens.insert(tokens.end(), chunk.tokens.begin(), chunk.tokens.end());
    }
    for (const auto& chunk : context.emitted_as<MerkleSubtreeComputed>()) {
      roots.push_back(chunk.root.bytes);
    }
    return std::pair(tokens, root_over_chunks(roots));
  };
  RC_ASSERT(gather(chunk_size) == gather(256));
}

}  // namespace
}  // namespace voketag::processors
