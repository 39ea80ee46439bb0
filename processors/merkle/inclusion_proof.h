#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "events/error.h"
#include "processors/hash/sha256.h"

namespace voketag::processors {

// How many hashes the path of leaf `index` has in a tree of `tree_size` leaves; at most 64.
// index < tree_size.
std::size_t inclusion_path_length(std::uint64_t index, std::uint64_t tree_size);

// The root to which a leaf and its path lead (RFC 9162 §2.1.3.2, steps 1 to 4). kInvalid when index
// is not less than tree_size, or when the path has another length than index and size demand:
// whoever accepted those would accept one proof for two places.
events::Result<Hash> root_from_path(const Hash& leaf, std::uint64_t index, std::uint64_t tree_size,
                                    std::span<const Hash> path);

// Whether the leaf is in the tree with that root and size, at that index. kInvalid says what is
// wrong: the index, the path's length, or the root that the path leads to.
//
// Index, size and root must come from a source that is trusted by itself (the anchored aggregate),
// not from the proof: a proof proves only what it is held against.
events::Status verify_inclusion(const Hash& leaf, std::uint64_t index, std::uint64_t tree_size,
                                std::span<const Hash> path, const Hash& root);

}  // namespace voketag::processors
