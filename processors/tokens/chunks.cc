#include "processors/tokens/chunks.h"

namespace voketag::processors {

std::string chunk_key(const events::Uuid& batch_id, std::int64_t chunk_index) {
  return batch_id.to_string() + ":" + std::to_string(chunk_index);
}

events::Status check_chunk(const events::TokenChunkRequested& request) {
  using events::Errc;
  using events::fail;
  if (!is_chunk_size(request.chunk_size)) {
    return fail(Errc::kInvalid, "chunk_size must be a power of two up to " +
                                    std::to_string(kChunkSizeMax) + ", not " +
                                    std::to_string(request.chunk_size));
  }
  const auto expected_count = chunk_count(request.product_count, request.chunk_size);
  if (request.chunk_count != expected_count) {
    return fail(Errc::kInvalid, "chunk_count must be " + std::to_string(expected_count) +
                                    " for this product_count and chunk_size, not " +
                                    std::to_string(request.chunk_count));
  }
  if (request.chunk_index >= request.chunk_count) {
    return fail(Errc::kInvalid, "chunk_index must be less than chunk_count " +
                                    std::to_string(request.chunk_count) + ", not " +
                                    std::to_string(request.chunk_index));
  }
  if (request.first_serial > kFirstSerialMax) {
    return fail(Errc::kInvalid, "first_serial must be at most " + std::to_string(kFirstSerialMax) +
                                    ", not " + std::to_string(request.first_serial));
  }
  return {};
}

}  // namespace voketag::processors
