#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>

#include "events/error.h"
#include "events/events.h"
#include "events/uuid.h"

// How a batch is cut into chunks: every chunk holds `chunk_size` products, a power of two, so that
// the batch's Merkle tree is the tree over its chunks' roots; the last holds what is left.
namespace voketag::processors {

// Tokens of one chunk are one record of at most 6 MiB, at 49 bytes each.
inline constexpr std::int64_t kChunkSizeMax = 65'536;

// A batch of at most so many products is made whole where it is accepted: its root comes without
// the roots of its chunks.
inline constexpr std::int64_t kMadeAtOnceMax = 131'072;

// The greatest serial that a batch may begin with, as batch-requested has it.
inline constexpr std::int64_t kFirstSerialMax = 1'000'000'000'000;

constexpr bool is_chunk_size(std::int64_t chunk_size) {
  return chunk_size >= 1 && chunk_size <= kChunkSizeMax &&
         std::has_single_bit(static_cast<std::uint64_t>(chunk_size));
}

constexpr std::int64_t chunk_count(std::int64_t product_count, std::int64_t chunk_size) {
  return (product_count + chunk_size - 1) / chunk_size;
}

// The products of chunk `chunk_index`.
constexpr std::int64_t chunk_products(std::int64_t product_count, std::int64_t chunk_size,
                                      std::int64_t chunk_index) {
  return std::min(chunk_size, product_count - chunk_index * chunk_size);
}

// The key of a chunk's records: "batch_id:chunk_index".
std::string chunk_key(const events::Uuid& batch_id, std::int64_t chunk_index);

// Whether the numbers of a request agree with each other; kInvalid names those that do not.
events::Status check_chunk(const events::TokenChunkRequested& request);

}  // namespace voketag::processors
