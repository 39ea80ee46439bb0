#include "processors/anchoring/aggregate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "processors/merkle/inclusion_proof.h"
#include "processors/merkle/tree.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using testing::test_hash;
using testing::test_id;

std::string hex(std::span<const std::uint8_t> bytes) {
  return to_chain_bytes(bytes).text;
}

const AggregateLeafData kLeaf{AggregateKind::kBatch, test_id(0x01020304), 10'000'000,
                              test_hash(0xab).bytes};
const AnchorCalldata kCalldata{258, test_hash(0xcd).bytes};

// The layouts of docs/formats, byte by byte.
TEST(AggregateLeafTest, HasTheseBytes) {
  EXPECT_EQ(hex(kLeaf.encode()),
            "0x01"
            "b0000000000040008000000001020304"
            "0000000000989680" +
                test_hash(0xab).to_string());
}

TEST(AnchorCalldataTest, HasTheseBytes) {
  EXPECT_EQ(hex(kCalldata.encode()),
            "0x56544147"
            "01"
            "0000000000000102" +
                test_hash(0xcd).to_string());
}

TEST(AggregateLeafTest, IsReadBack) {
  EXPECT_EQ(AggregateLeafData::decode(kLeaf.encode()), kLeaf);
}

TEST(AnchorCalldataTest, IsReadBack) {
  EXPECT_EQ(AnchorCalldata::decode(kCalldata.encode()), kCalldata);
}

TEST(AggregateLeafTest, RefusesOtherLengthsAndKinds) {
  auto bytes = kLeaf.encode();
  EXPECT_FALSE(AggregateLeafData::decode(std::span(bytes).first(56)));
  EXPECT_FALSE(AggregateLeafData::decode({}));
  bytes[0] = 2;
  EXPECT_EQ(AggregateLeafData::decode(bytes)->kind, AggregateKind::kLedgerHead);
  for (const int kind : {0, 3, 255}) {
    bytes[0] = static_cast<std::uint8_t>(kind);
    EXPECT_FALSE(AggregateLeafData::decode(bytes));
  }
}

TEST(AnchorCalldataTest, RefusesOtherLengthsMagicVersionAndNoLeaves) {
  const auto good = kCalldata.encode();
  EXPECT_FALSE(AnchorCalldata::decode(std::span(good).first(44)));
  EXPECT_FALSE(AnchorCalldata::decode({}));
  for (const std::size_t at : {0U, 3U, 4U}) {
    auto bytes = good;
    bytes[at] ^= 1;
    EXPECT_FALSE(AnchorCalldata::decode(bytes)) << at;
  }
  EXPECT_FALSE(AnchorCalldata::decode(AnchorCalldata{0, {}}.encode()));
}

RC_GTEST_PROP(AggregateTreeTest, IsTheTreeOfTheRfcAndItsPathsLeadToTheRoot, ()) {
  const auto size = *rc::gen::inRange<std::size_t>(1, 300);
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < size; ++i) {
    leaves.push_back(AggregateLeafData{
        AggregateKind::kBatch,
        test_id(static_cast<std::uint32_t>(i)),
        i + 1,
        {}}.leaf());
  }
  const AggregateTree tree(leaves);
  RC_ASSERT(tree.root() == merkle_root(leaves));
  const auto index = *rc::gen::inRange<std::size_t>(0, size);
  RC_ASSERT(tree.path(index) == inclusion_path(leaves, index));
  RC_ASSERT(verify_inclusion(leaves[index], index, size, tree.path(index), tree.root()));
  const auto proof = tree.proof(index);
  RC_ASSERT(proof.leaf_index == static_cast<std::int64_t>(index));
  RC_ASSERT(proof.tree_size == static_cast<std::int64_t>(size));
  RC_ASSERT(proof.root.bytes == tree.root());
}

}  // namespace
}  // namespace voketag::processors
