#include "processors/merkle/inclusion_proof.h"

#include <bit>
#include <cassert>
#include <string>

#include "processors/merkle/tree.h"

namespace voketag::processors {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Status;

// Where the way from the leaf meets the way from the last leaf: below that there is a sibling at
// every level, above it only to the left, once for every set bit.
std::size_t levels_below_the_edge(std::uint64_t index, std::uint64_t tree_size) {
  return static_cast<std::size_t>(std::bit_width(index ^ (tree_size - 1)));
}

}  // namespace

std::size_t inclusion_path_length(std::uint64_t index, std::uint64_t tree_size) {
  assert(index < tree_size);
  const std::size_t inner = levels_below_the_edge(index, tree_size);
  const std::uint64_t above = inner < 64 ? index >> inner : 0;
  return inner + static_cast<std::size_t>(std::popcount(above));
}

Result<Hash> root_from_path(const Hash& leaf, std::uint64_t index, std::uint64_t tree_size,
                            std::span<const Hash> path) {
  if (index >= tree_size) {
    return fail(Errc::kInvalid, "inclusion proof: leaf " + std::to_string(index) +
                                    " is not in a tree of " + std::to_string(tree_size) +
                                    " leaves; leaves count from 0");
  }
  const std::size_t length = inclusion_path_length(index, tree_size);
  if (path.size() != length) {
    return fail(Errc::kInvalid, "inclusion proof: the path has " + std::to_string(path.size()) +
                                    " hashes; leaf " + std::to_string(index) + " of " +
                                    std::to_string(tree_size) + " has a path of " +
                                    std::to_string(length));
  }
  const std::size_t inner = levels_below_the_edge(index, tree_size);
  Hash hash = leaf;
  for (std::size_t level = 0; level < path.size(); ++level) {
    const bool sibling_is_left = level >= inner || (index >> level & 1) != 0;
    hash = sibling_is_left ? node_hash(path[level], hash) : node_hash(hash, path[level]);
  }
  return hash;
}

Status verify_inclusion(const Hash& leaf, std::uint64_t index, std::uint64_t tree_size,
                        std::span<const Hash> path, const Hash& root) {
  const Result<Hash> reached = root_from_path(leaf, index, tree_size, path);
  if (!reached) return tl::unexpected(reached.error());
  if (*reached != root) {
    return fail(Errc::kInvalid,
                "inclusion proof: the path leads to another root; the leaf is not at this index of "
                "the tree with this root, or the proof was altered");
  }
  return {};
}

}  // namespace voketag::processors
