#include "processors/hash/hmac_sha256.h"

#include <openssl/crypto.h>

#include <cassert>
#include <cstring>
#include <utility>

namespace voketag::processors {

HmacSha256Key::HmacSha256Key(std::span<const std::uint8_t> key) {
  constexpr std::uint8_t kInnerPad = 0x36;
  constexpr std::uint8_t kOuterPad = 0x5c;
  Hash hashed;
  if (key.size() > kSha256BlockBytes) {
    hashed = sha256(key);
    key = hashed;
  }
  Sha256Block pad{};
  if (!key.empty()) std::memcpy(pad.bytes.data(), key.data(), key.size());
  for (std::uint8_t& byte : pad.bytes) byte ^= kInnerPad;
  inner_ = sha256_compress(kSha256Start, pad);
  for (std::uint8_t& byte : pad.bytes) byte ^= kInnerPad ^ kOuterPad;
  outer_ = sha256_compress(kSha256Start, pad);
  OPENSSL_cleanse(&pad, sizeof pad);
  OPENSSL_cleanse(&hashed, sizeof hashed);
}

HmacSha256Key::~HmacSha256Key() {
  OPENSSL_cleanse(&inner_, sizeof inner_);
  OPENSSL_cleanse(&outer_, sizeof outer_);
}

HmacSha256Key::HmacSha256Key(HmacSha256Key&& other) noexcept
    : inner_(other.inner_), outer_(other.outer_) {
  OPENSSL_cleanse(&other.inner_, sizeof inner_);
  OPENSSL_cleanse(&other.outer_, sizeof outer_);
}

HmacSha256Key& HmacSha256Key::operator=(HmacSha256Key&& other) noexcept {
  std::swap(inner_, other.inner_);
  std::swap(outer_, other.outer_);
  return *this;
}

Hash HmacSha256Key::mac(std::span<const std::uint8_t> message) const {
  const Hash inner = sha256_finish(inner_, kSha256BlockBytes, message);
  return sha256_finish(outer_, kSha256BlockBytes, inner);
}

void HmacSha256Key::mac_many(std::span<const Sha256Block> blocks, Hash* macs,
                             const Sha256Lanes& lanes) const {
  lanes.mac_blocks(inner_, outer_, blocks, macs);
}

void HmacSha256Key::pad_short_message(Sha256Block& block, std::size_t message_bytes) {
  assert(message_bytes <= kShortMessageBytesMax);
  const std::size_t bits = (kSha256BlockBytes + message_bytes) * 8;
  std::uint8_t* bytes = block.bytes.data();
  std::memset(bytes + message_bytes, 0, kSha256BlockBytes - message_bytes);
  bytes[message_bytes] = 0x80;
  bytes[kSha256BlockBytes - 2] = static_cast<std::uint8_t>(bits >> 8);
  bytes[kSha256BlockBytes - 1] = static_cast<std::uint8_t>(bits);
}

}  // namespace voketag::processors
