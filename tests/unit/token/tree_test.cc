#include "processors/merkle/tree.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "processors/merkle/inclusion_proof.h"
#include "tests/unit/token/reference_tree.h"
#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

std::vector<Hash> some_leaves(std::size_t count, std::uint64_t seed) {
  std::vector<Hash> leaves(count);
  for (std::size_t i = 0; i < count; ++i)
    leaves[i] = leaf_hash(std::to_string(seed) + ":" + std::to_string(i));
  return leaves;
}

std::vector<Hash> roots_of_chunks(std::span<const Hash> leaves, std::size_t chunk_leaves) {
  std::vector<Hash> roots;
  for (std::size_t first = 0; first < leaves.size(); first += chunk_leaves)
    roots.push_back(
        merkle_root(leaves.subspan(first, std::min(chunk_leaves, leaves.size() - first))));
  return roots;
}

TEST(MerkleTree, AgreesWithRfc6962Hasher) {
  EXPECT_EQ(to_hex(merkle_root({})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(merkle_root_in_place({})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(leaf_hash("")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  EXPECT_EQ(to_hex(leaf_hash("L123456")),
            "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
}

// transparency-dev/merkle: eight leaves, the roots of every size from 0 to 8.
TEST(MerkleTree, AgreesWithTheReferenceRoots) {
  const VectorFile file("transparency-dev-merkle/rfc6962_reference.json");
  std::vector<Hash> leaves;
  for (const std::string_view hex : file.root["leaf_inputs_hex"].get_array())
    leaves.push_back(leaf_hash(from_hex(hex)));
  std::size_t size = 0;
  for (const std::string_view hex : file.root["roots_by_size"].get_array()) {
    for (const Sha256Lanes* lanes : runnable_lanes())
      EXPECT_EQ(to_hex(merkle_root(std::span(leaves).first(size), *lanes)), hex) << size;
    ++size;
  }
  EXPECT_EQ(size, 9U);
}

TEST(MerkleTree, OfEverySizeIsTheReferenceTree) {
  const std::vector<Hash> leaves = some_leaves(600, 1);
  for (const Sha256Lanes* lanes : runnable_lanes()) {
    for (std::size_t size = 0; size <= leaves.size(); size += size < 70 ? 1 : 37) {
      const auto part = std::span(leaves).first(size);
      const Hash expected = reference::root(part);
      ASSERT_EQ(merkle_root(part, *lanes), expected) << size << to_string(lanes->kernel());
      std::vector<Hash> copy(part.begin(), part.end());
      ASSERT_EQ(merkle_root_in_place(copy, *lanes), expected) << size;
    }
  }
}

TEST(MerkleTree, OverChunksIsTheTreeOverLeaves) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(1, 600);
    const auto chunk = std::size_t{1} << *rc::gen::inRange(0, 10);
    const auto leaves = some_leaves(size, *rc::gen::arbitrary<std::uint64_t>());
    RC_ASSERT(root_over_chunks(roots_of_chunks(leaves, chunk)) == reference::root(leaves));
  }));
}

TEST(MerkleTree, PathsAreTheReferencePathsAlsoAcrossChunks) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(1, 600);
    const auto index = *rc::gen::inRange<std::size_t>(0, size);
    const auto chunk = std::size_t{1} << *rc::gen::inRange(0, 10);
    const auto leaves = some_leaves(size, *rc::gen::arbitrary<std::uint64_t>());
    const auto expected = reference::path(index, leaves);
    RC_ASSERT(inclusion_path(leaves, index) == expected);

    const std::size_t chunk_index = index / chunk;
    const auto own =
        std::span(leaves).subspan(chunk_index * chunk, std::min(chunk, size - chunk_index * chunk));
    RC_ASSERT(inclusion_path_across_chunks(own, index % chunk, roots_of_chunks(leaves, chunk),
                                           chunk_index) == expected);
  }));
}

}  // namespace
}  // namespace voketag::processors
