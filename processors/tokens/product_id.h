#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "events/error.h"
#include "events/uuid.h"
#include "processors/tokens/token_keys.h"

struct evp_cipher_ctx_st;  // OpenSSL's EVP_CIPHER_CTX

// Product ids: UUIDv8 (RFC 9562 §5.8) that rise with a product's place in its batch, so that a
// database appends them to its index, and yet tell an outsider neither the place nor how large the
// batch is. docs/formats/token.md has the bytes.
//
//    0                   48   52         64 66                  86 128 | milliseconds 48    | 8 |
//    tag high 12 |10| tag low 20      | position 42                      |
//
// position(i) = base + i * stride + jitter(i), where 0 <= jitter(i) < stride. Tag, base, stride and
// the key of the jitter come from a PRF over the batch id: nothing is drawn, nothing is stored, and
// whoever holds the token key can compute any id of a batch alone.

namespace voketag::processors {

// What a batch's product ids follow from, beside the token key.
struct BatchIdentity {
  events::Uuid batch_id;
  std::int64_t requested_at_ms = 0;  // broker time of the request, since 1970; 0 <= x < 2^48
  std::int64_t product_count = 0;    // 1..kProductCountMax
};

inline constexpr std::int64_t kProductCountMax = 10'000'000;

// What a batch's ids are made of, derived once per batch and key. Holds secret material (the
// jitter's key), which is wiped on destruction. Immutable after derivation; any thread may use it.
class BatchPlan {
 public:
  static constexpr int kPositionBits = 42;
  static constexpr std::uint64_t kStrideMin = std::uint64_t{1} << 12;
  static constexpr std::uint64_t kStrideMax = std::uint64_t{1} << 18;  // exclusive

  // kInvalid when a time or a count is out of its range.
  static events::Result<BatchPlan> derive(const TokenKey& key, const BatchIdentity& batch);

  ~BatchPlan();
  BatchPlan(const BatchPlan&) = default;
  BatchPlan& operator=(const BatchPlan&) = default;

  // The id of one product; index counts from 0 and is less than product_count.
  events::Uuid product_id(std::int64_t index) const;

  // The bytes that all ids of the batch share: the first eight, and the top 22 bits of the last
  // eight (big-endian), whose other 42 are the position.
  std::uint64_t id_high() const { return id_high_; }
  std::uint64_t id_low() const { return id_low_; }

  // The place in the batch of a product id, or nothing when the id is not one of this batch's.
  std::optional<std::int64_t> index_of(const events::Uuid& product_id) const;

  std::int64_t product_count() const { return product_count_; }

 private:
  friend class PositionStream;

  BatchPlan() = default;

  std::uint64_t id_high_ = 0;
  std::uint64_t id_low_ = 0;
  std::uint64_t base_ = 0;
  std::uint64_t stride_ = 0;
  std::int64_t product_count_ = 0;
  std::array<std::uint8_t, 16> jitter_key_{};
};

// The 42-bit positions of a batch's products, one after another from any of them on. Reads on from
// a cipher that was set up once, which costs more than a hundred positions. For one thread.
class PositionStream {
 public:
  PositionStream(const BatchPlan& plan, std::int64_t first_index);
  ~PositionStream();
  PositionStream(const PositionStream&) = delete;
  PositionStream& operator=(const PositionStream&) = delete;

  // Fills `positions` with the next ones. They must not run beyond the batch's last product.
  void next(std::span<std::uint64_t> positions);

 private:
  void next_words(std::span<std::uint32_t> words);

  evp_cipher_ctx_st* cipher_;
  std::uint64_t stride_;
  std::uint64_t start_;  // the next product's, before its jitter
  std::uint64_t left_;
};

}  // namespace voketag::processors
