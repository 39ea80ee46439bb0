#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include "processors/merkle/merkle_processor.h"
#include "processors/merkle/tree.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using events::MerkleRootComputed;
using events::MerkleSubtreeComputed;
using testing::FakeContext;
using testing::test_hash;
using testing::test_id;

const auto kBatch = test_id(1);

MerkleSubtreeComputed subtree(std::int64_t index, std::int64_t count, std::uint8_t fill) {
  return {kBatch, index, count, count * 8, test_hash(fill)};
}

class MerkleTest : public ::testing::Test {
 protected:
  void deliver(const MerkleSubtreeComputed& event) {
    context_.deliver(merkle_, event.batch_id.to_string(), event);
  }
  void expect_refused(std::string_view reason) {
    ASSERT_EQ(context_.dead_letters.size(), 1U);
    EXPECT_EQ(context_.dead_letters[0].reason, reason);
  }

  MerkleProcessor merkle_;
  FakeContext context_;
};

TEST_F(MerkleTest, TheOnlyChunksRootIsTheBatchs) {
  deliver(subtree(0, 1, 7));
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].key, kBatch.to_string());
  const auto root = context_.emitted[0].as<MerkleRootComputed>();
  EXPECT_EQ(root.batch_id, kBatch);
  EXPECT_EQ(root.merkle_root, test_hash(7));
  EXPECT_EQ(root.product_count, 8);
  EXPECT_EQ(context_.state.writes, 1U);
}

TEST_F(MerkleTest, WaitsForTheLastChunk) {
  deliver(subtree(2, 3, 3));
  deliver(subtree(0, 3, 1));
  EXPECT_TRUE(context_.emitted.empty());
  deliver(subtree(1, 3, 2));
  ASSERT_EQ(context_.emitted.size(), 1U);
  const std::vector<Hash> roots{test_hash(1).bytes, test_hash(2).bytes, test_hash(3).bytes};
  EXPECT_EQ(context_.emitted[0].as<MerkleRootComputed>().merkle_root.bytes,
            root_over_chunks(roots));
}

TEST_F(MerkleTest, DropsThePartsOfAWholeTree) {
  for (int i = 0; i < 3; ++i) deliver(subtree(i, 3, 1));
  EXPECT_EQ(context_.state.values.size(), 1U);
  EXPECT_EQ(context_.state.count("whole/"), 1U);
}

TEST_F(MerkleTest, AnnouncesNoRootOverPartsThatAreLost) {
  deliver(subtree(0, 3, 1));
  deliver(subtree(1, 3, 2));
  context_.state.erase("part/" + kBatch.to_string() + "/00000001");
  EXPECT_THROW(deliver(subtree(2, 3, 3)), std::logic_error);
  EXPECT_TRUE(context_.emitted.empty());
}

TEST_F(MerkleTest, BatchesDoNotMix) {
  deliver(subtree(0, 2, 1));
  auto other = subtree(1, 2, 1);
  other.batch_id = test_id(2);
  deliver(other);
  EXPECT_TRUE(context_.emitted.empty());
}

TEST_F(MerkleTest, ARepeatedChunkIsHarmlessBeforeAndAfterTheEnd) {
  deliver(subtree(0, 2, 1));
  deliver(subtree(0, 2, 1));
  EXPECT_TRUE(context_.emitted.empty());
  deliver(subtree(1, 2, 2));
  deliver(subtree(1, 2, 2));
  deliver(subtree(0, 2, 1));
  EXPECT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.state.values.size(), 1U);
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(MerkleTest, AChunkWithAnotherRootIsADeadLetter) {
  deliver(subtree(0, 2, 1));
  deliver(subtree(0, 2, 9));
  expect_refused("conflicting_subtree");
  deliver(subtree(1, 2, 2));
  const std::vector<Hash> roots{test_hash(1).bytes, test_hash(2).bytes};
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].as<MerkleRootComputed>().merkle_root.bytes,
            root_over_chunks(roots));
}

TEST_F(MerkleTest, TheOnlyChunkWithAnotherRootIsADeadLetter) {
  deliver(subtree(0, 1, 1));
  deliver(subtree(0, 1, 1));
  EXPECT_TRUE(context_.dead_letters.empty());
  deliver(subtree(0, 1, 2));
  expect_refused("conflicting_subtree");
}

TEST_F(MerkleTest, ABatchWithAnotherCountIsADeadLetter) {
  deliver(subtree(0, 2, 1));
  deliver(subtree(1, 3, 1));
  expect_refused("conflicting_subtree");
  deliver(subtree(1, 2, 1));
  EXPECT_EQ(context_.emitted.size(), 1U);
  deliver(subtree(0, 1, 1));
  EXPECT_EQ(context_.dead_letters.size(), 2U);
}

TEST_F(MerkleTest, AChunkBeyondTheLastIsADeadLetter) {
  deliver(subtree(2, 2, 1));
  expect_refused("invalid");
}

TEST_F(MerkleTest, MoreChunksThanProductsAreADeadLetter) {
  auto event = subtree(0, 1, 1);
  event.chunk_count = 1'000'000'000;
  deliver(event);
  expect_refused("invalid");
}

TEST_F(MerkleTest, MalformedEventsAreDeadLetters) {
  context_.deliver_raw(merkle_, MerkleSubtreeComputed::kTopic, "k", "{}");
  context_.deliver_raw(merkle_, MerkleSubtreeComputed::kTopic, "k", std::nullopt);
  EXPECT_EQ(context_.dead_letters.size(), 2U);
}

TEST_F(MerkleTest, AChunkOfTheGreatestBatchCostsTwoSmallWrites) {
  for (int i = 0; i < 9765; ++i) deliver(subtree(i, 9766, 1));
  EXPECT_EQ(context_.state.writes, 2U * 9765);
  EXPECT_LT(context_.state.written_bytes / 9765, 300U);
}

RC_GTEST_FIXTURE_PROP(MerkleTest, AnyOrderWithRepeatsGivesOneRoot, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 40);
  std::vector<MerkleSubtreeComputed> chunks;
  std::vector<Hash> roots;
  for (std::size_t i = 0; i < count; ++i) {
    chunks.push_back(subtree(static_cast<std::int64_t>(i), static_cast<std::int64_t>(count),
                             *rc::gen::arbitrary<std::uint8_t>()));
    roots.push_back(chunks.back().root.bytes);
  }
  const auto order =
      *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, count));
  for (const auto i : order) deliver(chunks[i]);
  for (const auto& chunk : chunks) deliver(chunk);
  RC_ASSERT(context_.emitted.size() == 1U);
  RC_ASSERT(context_.emitted[0].as<MerkleRootComputed>().merkle_root.bytes == merkle_root(roots));
  RC_ASSERT(context_.dead_letters.empty());
  RC_ASSERT(context_.state.values.size() == 1U);
}

}  // namespace
}  // namespace voketag::processors
