#pragma once

#include <openssl/sha.h>

#include <cstddef>
#include <span>
#include <vector>

#include "processors/hash/sha256.h"

// RFC 6962 §2.1 and §2.1.1 word for word, slow and obviously right, over OpenSSL: what the fast
// tree is held against.

namespace voketag::processors::reference {

inline Hash openssl_hash(std::span<const std::uint8_t> message) {
  Hash hash;
  SHA256(message.data(), message.size(), hash.data());
  return hash;
}

inline Hash node(const Hash& left, const Hash& right) {
  std::vector<std::uint8_t> message{0x01};
  message.insert(message.end(), left.begin(), left.end());
  message.insert(message.end(), right.begin(), right.end());
  return openssl_hash(message);
}

// The largest power of two less than n; n > 1.
inline std::size_t split(std::size_t n) {
  std::size_t k = 1;
  while (2 * k < n) k *= 2;
  return k;
}

inline Hash root(std::span<const Hash> leaves) {
  if (leaves.empty()) return openssl_hash({});
  if (leaves.size() == 1) return leaves[0];
  const std::size_t k = split(leaves.size());
  return node(root(leaves.first(k)), root(leaves.subspan(k)));
}

inline std::vector<Hash> path(std::size_t index, std::span<const Hash> leaves) {
  if (leaves.size() == 1) return {};
  const std::size_t k = split(leaves.size());
  const bool left = index < k;
  std::vector<Hash> hashes =
      left ? path(index, leaves.first(k)) : path(index - k, leaves.subspan(k));
  hashes.push_back(left ? root(leaves.subspan(k)) : root(leaves.first(k)));
  return hashes;
}

}  // namespace voketag::processors::reference
