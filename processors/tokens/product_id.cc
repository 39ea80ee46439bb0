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
constexpr std::size_t kWordsPerBlock = kAesBlockBytes / sizeof(std::uint32_t);

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
  PositionStream(*this, index).next(std::span(&position, 1));
  Uuid id;
  write_big_endian(id_high_, id.bytes.data());
  write_big_endian(id_low_ | position, id.bytes.data() + 8);
  return id;
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

// The keystream of AES-128-CTR, which OpenSSL computes with the CPU's instructions where it has
// them. It can only fail for want of memory, and then nobody can go on.
PositionStream::PositionStream(const BatchPlan& plan, std::int64_t first_index)
    : cipher_(EVP_CIPHER_CTX_new()), stride_(plan.stride_) {
  assert(first_index >= 0 && first_index <= plan.product_count_);
  static EVP_CIPHER* const aes = EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr);
  const auto index = static_cast<std::uint64_t>(first_index);
  start_ = plan.base_ + index * stride_;
  left_ = static_cast<std::uint64_t>(plan.product_count_) - index;
  std::array<std::uint8_t, kAesBlockBytes> counter{};
  write_big_endian(index / kWordsPerBlock, counter.data() + 8);
  if (EVP_EncryptInit_ex2(cipher_, aes, plan.jitter_key_.data(), counter.data(), nullptr) != 1)
    std::abort();
  std::array<std::uint32_t, kWordsPerBlock> before;
  next_words(std::span(before).first(index % kWordsPerBlock));
}

PositionStream::~PositionStream() {
  EVP_CIPHER_CTX_free(cipher_);
}

void PositionStream::next(std::span<std::uint64_t> positions) {
  assert(positions.size() <= left_);
  left_ -= positions.size();
  std::array<std::uint32_t, 256> words;
  while (!positions.empty()) {
    const auto now = positions.first(std::min(positions.size(), words.size()));
    next_words(std::span(words).first(now.size()));
    for (std::size_t i = 0; i < now.size(); ++i) {
      now[i] = start_ + (std::uint64_t{words[i]} * stride_ >> 32);
      start_ += stride_;
    }
    positions = positions.subspan(now.size());
  }
}

// CTR turns zeros into the keystream itself.
void PositionStream::next_words(std::span<std::uint32_t> words) {
  void* const memory = words.data();
  auto* const bytes = static_cast<std::uint8_t*>(memory);
  const int size = static_cast<int>(words.size_bytes());
  std::fill(words.begin(), words.end(), 0);
  int written = 0;
  if (EVP_EncryptUpdate(cipher_, bytes, &written, bytes, size) != 1) std::abort();
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = read_big_endian<std::uint32_t>(bytes + 4 * i);
}

}  // namespace voketag::processors
