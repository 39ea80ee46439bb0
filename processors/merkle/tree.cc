#include "processors/merkle/tree.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace voketag::processors {
namespace {

constexpr std::uint8_t kLeafPrefix = 0x00;
constexpr std::uint8_t kNodePrefix = 0x01;

// Hashes one level into `to`, which may be where `level` begins, and returns the size of the next:
// an odd last one rises unchanged.
std::size_t hash_level(std::span<const Hash> level, Hash* to, const Sha256Lanes& lanes) {
  const std::size_t pairs = level.size() / 2;
  lanes.hash_nodes(level.data(), pairs, to);
  if (level.size() % 2 != 0) to[pairs] = level.back();
  return pairs + level.size() % 2;
}

// Appends the hashes beside the way from `index` up; `level` is used up.
void append_path(std::vector<Hash> level, std::size_t index, const Sha256Lanes& lanes,
                 std::vector<Hash>& path) {
  assert(index < level.size());
  while (level.size() > 1) {
    const std::size_t sibling = index ^ 1;
    if (sibling < level.size()) path.push_back(level[sibling]);
    level.resize(hash_level(level, level.data(), lanes));
    index /= 2;
  }
}

}  // namespace

Hash leaf_hash(std::span<const std::uint8_t> data) {
  std::vector<std::uint8_t> prefixed;
  prefixed.reserve(1 + data.size());
  prefixed.push_back(kLeafPrefix);
  prefixed.insert(prefixed.end(), data.begin(), data.end());
  return sha256(prefixed);
}

Hash leaf_hash(std::string_view data) {
  const void* bytes = data.data();
  return leaf_hash(std::span(static_cast<const std::uint8_t*>(bytes), data.size()));
}

Hash node_hash(const Hash& left, const Hash& right) {
  std::array<std::uint8_t, 1 + 2 * kHashBytes> message;
  message[0] = kNodePrefix;
  std::copy(left.begin(), left.end(), &message[1]);
  std::copy(right.begin(), right.end(), &message[1 + kHashBytes]);
  return sha256(message);
}

Hash merkle_root(std::span<const Hash> leaves, const Sha256Lanes& lanes) {
  if (leaves.size() < 2) return leaves.empty() ? sha256(std::string_view()) : leaves.front();
  std::vector<Hash> level(leaves.size() / 2 + leaves.size() % 2);
  hash_level(leaves, level.data(), lanes);
  return merkle_root_in_place(level, lanes);
}

Hash merkle_root_in_place(std::span<Hash> leaves, const Sha256Lanes& lanes) {
  if (leaves.empty()) return sha256(std::string_view());
  while (leaves.size() > 1) leaves = leaves.first(hash_level(leaves, leaves.data(), lanes));
  return leaves.front();
}

Hash root_over_chunks(std::span<const Hash> chunk_roots, const Sha256Lanes& lanes) {
  return merkle_root(chunk_roots, lanes);
}

std::vector<Hash> inclusion_path(std::span<const Hash> leaves, std::size_t index,
                                 const Sha256Lanes& lanes) {
  std::vector<Hash> path;
  append_path({leaves.begin(), leaves.end()}, index, lanes, path);
  return path;
}

std::vector<Hash> inclusion_path_across_chunks(std::span<const Hash> chunk_leaves,
                                               std::size_t index_in_chunk,
                                               std::span<const Hash> chunk_roots,
                                               std::size_t chunk_index, const Sha256Lanes& lanes) {
  std::vector<Hash> path;
  append_path({chunk_leaves.begin(), chunk_leaves.end()}, index_in_chunk, lanes, path);
  append_path({chunk_roots.begin(), chunk_roots.end()}, chunk_index, lanes, path);
  return path;
}

}  // namespace voketag::processors
