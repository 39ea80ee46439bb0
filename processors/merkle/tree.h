#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "processors/hash/sha256.h"

// The Merkle tree of RFC 6962 §2.1 (RFC 9162 §2.1) over SHA-256.
//
//    leaf = H(0x00 || data)        node = H(0x01 || left || right)        empty tree = H()
//
// A tree of n > 1 leaves splits at the largest power of two less than n. Built from below that
// means: pair neighbours, level by level, and let an odd last one rise unchanged. It also means
// that a tree whose leaves are cut into chunks of a power of two (the last may be shorter) is the
// tree over the roots of the chunks: chunks are hashed anywhere, and their roots together give the
// same root.

namespace voketag::processors {

// The leaf of a token (its 46 characters) or of any other data.
Hash leaf_hash(std::string_view data);
Hash leaf_hash(std::span<const std::uint8_t> data);

// The node above two.
Hash node_hash(const Hash& left, const Hash& right);

// The root over leaf hashes; of none, the hash of the empty string. Copies half of the input once.
Hash merkle_root(std::span<const Hash> leaves, const Sha256Lanes& lanes = Sha256Lanes::best());

// The same without a copy: the leaves are overwritten.
Hash merkle_root_in_place(std::span<Hash> leaves, const Sha256Lanes& lanes = Sha256Lanes::best());

// The root over the whole from the roots of its chunks, in order. Every chunk but the last holds
// the same power of two of leaves, the last at least one and at most as many.
Hash root_over_chunks(std::span<const Hash> chunk_roots,
                      const Sha256Lanes& lanes = Sha256Lanes::best());

// The hashes beside the way from leaf `index` up to the root, from the leaf on (RFC 9162 §2.1.3.1).
// index < leaves.size().
std::vector<Hash> inclusion_path(std::span<const Hash> leaves, std::size_t index,
                                 const Sha256Lanes& lanes = Sha256Lanes::best());

// The same path in a tree of chunks, of which only one has its leaves at hand: the leaves of the
// chunk that holds the leaf, the leaf's place in it, the roots of all chunks, and that chunk's
// place.
std::vector<Hash> inclusion_path_across_chunks(std::span<const Hash> chunk_leaves,
                                               std::size_t index_in_chunk,
                                               std::span<const Hash> chunk_roots,
                                               std::size_t chunk_index,
                                               const Sha256Lanes& lanes = Sha256Lanes::best());

}  // namespace voketag::processors
