#include "processors/tokens/product_id.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <string>

namespace voketag::processors {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Uuid;

constexpr std::string_view kLabel = "voketag-product-id-v1";
constexpr std::uint64_t kPositions = std::uint64_t{1} << BatchPlan::kPositionBits;
constexpr std::uint64_t kVersion = 8;
constexpr std::uint64_t kVariant = 2;
constexpr std::size_t kAesBlockBytes = 16;
constexpr std::size_t kJitterBytes = 4;
constexpr std::int64_t kJittersPerBlock = kAesBlockBytes / kJitterBytes;

// A full batch must fit at the widest stride: that is why no stride is ever narrowed for a count.
static_assert(kProductCountMax * BatchPlan::kStrideMax < kPositions);

template <class Integer>
Integer read_big_endian(const std::uint8_t* from) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i)
    value = static_cast<Integer>(value << 8 | from[i]);
  return value;
}

void write_big_endian(std::uint64_t value, std::uint8_t* to) {
  for (int shift = 56; shift >= 0; shift -= 8) *to++ = static_cast<std::uint8_t>(value >> shift);
}

// A number below `limit` from 64 uniform bits: the high half of the product.
std::uint64_t scale(std::uint64_t bits, std::uint64_t limit) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((Wide{bits} * limit) >> 64);
}

// The octave first and the place in it second, so that a stride is as likely within a factor of two
// of 2^12 as of 2^17: seen from two ids, the distance in serials is open by a factor of 64.
std::uint64_t stride_from(std::uint32_t bits) {
  constexpr std::uint64_t kOctaves = 6;
  static_assert(BatchPlan::kStrideMin << kOctaves == BatchPlan::kStrideMax);
  const std::uint64_t octave = BatchPlan::kStrideMin << ((bits >> 24) * kOctaves >> 8);
  return octave + ((bits & 0xffffff) * octave >> 24);
}

// The keystream of AES-128-CTR, which OpenSSL computes with the CPU's instructions where it has
// them. It can only fail for want of memory, which no caller can go on without.
class Keystream {
 public:
  Keystream(const std::array<std::uint8_t, 16>& key, std::int64_t first_block)
      : context_(EVP_CIPHER_CTX_new()) {
    static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr);
    std::array<std::uint8_t, kAesBlockBytes> counter{};
    write_big_endian(static_cast<std::uint64_t>(first_block), counter.data() + 8);
    if (EVP_EncryptInit_ex2(context_, cipher, key.data(), counter.data(), nullptr) != 1)
      std::abort();
  }
  ~Keystream() { EVP_CIPHER_CTX_free(context_); }
  Keystream(const Keystream&) = delete;
  Keystream& operator=(const Keystream&) = delete;

  void next(std::span<std::uint8_t> bytes) {
    std::memset(bytes.data(), 0, bytes.size());
    int written = 0;
    const int size = static_cast<int>(bytes.size());
    if (EVP_EncryptUpdate(context_, bytes.data(), &written, bytes.data(), size) != 1) std::abort();
  }

 private:
  EVP_CIPHER_CTX* context_;
};

}  // namespace

Result<BatchPlan> BatchPlan::derive(const TokenKey& key, const BatchIdentity& batch) {
  if (batch.product_count < 1 || batch.product_count > kProductCountMax) {
    return fail(Errc::kInvalid, "batch " + batch.batch_id.to_string() + ": product count " +
                                    std::to_string(batch.product_count) +
                                    " is outside 1..10000000; split the batch");
  }
  if (batch.requested_at_ms < 0 || batch.requested_at_ms >> 48 != 0) {
    return fail(Errc::kInvalid, "batch " + batch.batch_id.to_string() + ": the request's time, " +
                                    std::to_string(batch.requested_at_ms) +
                                    " ms, is before 1970 or does not fit 48 bits; check the clock");
  }
  std::array<std::uint8_t, kLabel.size() + 16> message;
  std::memcpy(message.data(), kLabel.data(), kLabel.size());
  std::memcpy(message.data() + kLabel.size(), batch.batch_id.bytes.data(), 16);
  Hash seed = key.hmac().mac(message);

  BatchPlan plan;
  std::copy_n(seed.begin(), 16, plan.jitter_key_.begin());
  const std::uint64_t tag = read_big_endian<std::uint32_t>(&seed[16]);
  plan.stride_ = stride_from(read_big_endian<std::uint32_t>(&seed[20]));
  plan.product_count_ = batch.product_count;
  const std::uint64_t span = static_cast<std::uint64_t>(batch.product_count) * plan.stride_;
  plan.base_ = scale(read_big_endian<std::uint64_t>(&seed[24]), kPositions - span + 1);
  plan.id_high_ =
      static_cast<std::uint64_t>(batch.requested_at_ms) << 16 | kVersion << 12 | tag >> 20;
  plan.id_low_ = kVariant << 62 | (tag & 0xfffff) << kPositionBits;
  OPENSSL_cleanse(seed.data(), seed.size());
  return plan;
}

BatchPlan::~BatchPlan() {
  OPENSSL_cleanse(jitter_key_.data(), jitter_key_.size());
}

Uuid BatchPlan::product_id(std::int64_t index) const {
  std::uint64_t position = 0;
  positions(index, std::span(&position, 1));
  Uuid id;
  write_big_endian(id_high_, id.bytes.data());
  write_big_endian(id_low_ | position, id.bytes.data() + 8);
  return id;
}

void BatchPlan::positions(std::int64_t first_index, std::span<std::uint64_t> positions) const {
  assert(first_index >= 0 &&
         static_cast<std::uint64_t>(product_count_) - static_cast<std::uint64_t>(first_index) >=
             positions.size());
  Keystream keystream(jitter_key_, first_index / kJittersPerBlock);
  std::array<std::uint8_t, 1024> stream;
  std::size_t at = stream.size();
  std::size_t skip = static_cast<std::size_t>(first_index % kJittersPerBlock) * kJitterBytes;
  std::uint64_t start = base_ + static_cast<std::uint64_t>(first_index) * stride_;
  for (std::uint64_t& position : positions) {
    if (at == stream.size()) {
      keystream.next(stream);
      at = std::exchange(skip, 0);
    }
    const std::uint64_t bits = read_big_endian<std::uint32_t>(&stream[at]);
    position = start + (bits * stride_ >> 32);
    start += stride_;
    at += kJitterBytes;
  }
}

std::optional<std::int64_t> BatchPlan::index_of(const Uuid& product_id) const {
  const std::uint64_t low = read_big_endian<std::uint64_t>(product_id.bytes.data() + 8);
  const std::uint64_t position = low & (kPositions - 1);
  if (position < base_) return std::nullopt;
  const std::uint64_t index = (position - base_) / stride_;
  if (index >= static_cast<std::uint64_t>(product_count_)) return std::nullopt;
  const auto candidate = static_cast<std::int64_t>(index);
  if (this->product_id(candidate) != product_id) return std::nullopt;
  return candidate;
}

}  // namespace voketag::processors
