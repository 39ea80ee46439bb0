#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "processors/hash/sha256.h"

namespace voketag::processors {

// An HMAC-SHA256 key (RFC 2104, FIPS 198-1), kept as the two hash states after its pads: a MAC over
// a short message then costs two compressions instead of four. The key itself is not kept.
//
// The states are as secret as the key: they are wiped on destruction, cannot be copied, and have no
// way to be printed. Immutable after construction; any thread may use it.
class HmacSha256Key {
 public:
  // A message of at most this many bytes fits, with its padding, in one block.
  static constexpr std::size_t kShortMessageBytesMax = 55;

  // Keys of any length, as the RFC has it: longer than a block, they are hashed first.
  explicit HmacSha256Key(std::span<const std::uint8_t> key);
  ~HmacSha256Key();

  HmacSha256Key(HmacSha256Key&& other) noexcept;
  HmacSha256Key& operator=(HmacSha256Key&& other) noexcept;
  HmacSha256Key(const HmacSha256Key&) = delete;
  HmacSha256Key& operator=(const HmacSha256Key&) = delete;

  // The MAC of one message of any length.
  Hash mac(std::span<const std::uint8_t> message) const;

  // macs[i] = the MAC of a short message that lies, with its padding, in blocks[i] (see
  // `pad_short_message`).
  void mac_many(std::span<const Sha256Block> blocks, Hash* macs,
                const Sha256Lanes& lanes = Sha256Lanes::best()) const;

  // Completes `block`, whose first `message_bytes` are the message, with the padding it needs after
  // the key's pad: 0x80, zeros, and the length in bits of pad and message, big-endian. At most
  // kShortMessageBytesMax.
  static void pad_short_message(Sha256Block& block, std::size_t message_bytes);

 private:
  Sha256State inner_;
  Sha256State outer_;
};

}  // namespace voketag::processors
