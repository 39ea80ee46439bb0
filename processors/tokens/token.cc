#include "processors/tokens/token.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <span>

#include "processors/tokens/base64url.h"
#include "processors/tokens/token_encoding.h"

namespace voketag::processors {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Uuid;

constexpr std::string_view kLabel = "voketag-token-v1";
constexpr std::size_t kSignedBytes = kTokenBytes - kTokenMacBytes;
constexpr std::size_t kMacMessageBytes = kLabel.size() + kSignedBytes;
constexpr std::size_t kIdHighAt = 2;
constexpr std::size_t kIdLowAt = 10;
constexpr std::size_t kMacAt = kSignedBytes;
static_assert(kMacMessageBytes <= HmacSha256Key::kShortMessageBytesMax);

// A leaf is hashed from one block only because a token is this short.
constexpr std::size_t kLeafMessageBytes = 1 + kTokenCharacters;
static_assert(kLeafMessageBytes + 9 <= kSha256BlockBytes);

void write_big_endian(std::uint64_t value, std::uint8_t* to) {
  value = __builtin_bswap64(value);
  std::memcpy(to, &value, sizeof value);
}

std::array<std::uint8_t, kTokenBytes> to_bytes(const Token& token) {
  std::array<std::uint8_t, kTokenBytes> bytes;
  bytes[0] = kTokenVersion;
  bytes[1] = token.key_id;
  std::copy(token.product_id.bytes.begin(), token.product_id.bytes.end(), &bytes[kIdHighAt]);
  std::copy(token.mac.begin(), token.mac.end(), &bytes[kMacAt]);
  return bytes;
}

std::array<std::uint8_t, kTokenMacBytes> mac_of(const TokenKey& key, const Token& token) {
  const auto bytes = to_bytes(token);
  std::array<std::uint8_t, kMacMessageBytes> message;
  std::memcpy(message.data(), kLabel.data(), kLabel.size());
  std::memcpy(message.data() + kLabel.size(), bytes.data(), kSignedBytes);
  const Hash full = key.hmac().mac(message);
  std::array<std::uint8_t, kTokenMacBytes> mac;
  std::copy_n(full.begin(), mac.size(), mac.begin());
  return mac;
}

// Tokens in the making, a block of them at a time. What all tokens of a batch share (the label, the
// version, the key, half of the product id, every padding) is written once; per token there remain
// eight bytes of product id, the MAC and the text.
class TokenBlock {
 public:
  static constexpr std::size_t kTokensMax = 128;  // 29 KiB in all: the first-level cache

  TokenBlock(const TokenKey& key, const BatchPlan& plan, std::int64_t first_index,
             const Sha256Lanes& lanes)
      : key_(key), lanes_(lanes), id_low_(plan.id_low()), stream_(plan, first_index) {
    encode_ = token_encoder(lanes.kernel() != Sha256Kernel::kPortable);
    RawToken raw{};
    raw.bytes[0] = kTokenVersion;
    raw.bytes[1] = key.id();
    write_big_endian(plan.id_high(), &raw.bytes[kIdHighAt]);
    raw_.fill(raw);

    Sha256Block message;
    std::memcpy(message.bytes.data(), kLabel.data(), kLabel.size());
    std::memcpy(message.bytes.data() + kLabel.size(), raw.bytes.data(), kSignedBytes);
    HmacSha256Key::pad_short_message(message, kMacMessageBytes);
    messages_.fill(message);

    Sha256Block leaf{};
    leaf.bytes[kLeafMessageBytes] = 0x80;
    leaf.bytes[62] = kLeafMessageBytes * 8 >> 8;
    leaf.bytes[63] = kLeafMessageBytes * 8 & 0xff;
    leaf_blocks_.fill(leaf);
  }

  // The steps run one after another over the whole block, so that each keeps the core busy and no
  // step reads what was written an instant ago.
  void make_next(std::size_t count, char* text, std::size_t stride_bytes, Hash* leaves) {
    assert(count <= kTokensMax);
    stream_.next(std::span(positions_).first(count));
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t id_low = id_low_ | positions_[i];
      write_big_endian(id_low, &raw_[i].bytes[kIdLowAt]);
      write_big_endian(id_low, &messages_[i].bytes[kLabel.size() + kIdLowAt]);
    }
    key_.hmac().mac_many(std::span(messages_).first(count), macs_.data(), lanes_);
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(&raw_[i].bytes[kMacAt], macs_[i].data(), kTokenMacBytes);
    for (std::size_t i = 0; i < count; ++i)
      encode_(raw_[i], text + i * stride_bytes, &leaf_blocks_[i].bytes[1]);
    lanes_.hash_blocks(kSha256Start, std::span(leaf_blocks_).first(count), leaves);
  }

 private:
  const TokenKey& key_;
  const Sha256Lanes& lanes_;
  std::uint64_t id_low_;
  PositionStream stream_;
  TokenEncoder encode_;
  std::array<std::uint64_t, kTokensMax> positions_;
  std::array<RawToken, kTokensMax> raw_;
  std::array<Sha256Block, kTokensMax> messages_;
  std::array<Hash, kTokensMax> macs_;
  std::array<Sha256Block, kTokensMax> leaf_blocks_;
};

}  // namespace

Result<Token> parse_token(std::string_view text) {
  if (text.size() != kTokenCharacters) {
    return fail(Errc::kInvalid, "token: " + std::to_string(text.size()) +
                                    " characters instead of 46; scan or copy it again, whole");
  }
  std::array<std::uint8_t, kTokenBytes> bytes;
  switch (base64url_decode(text, bytes.data())) {
    case Base64urlOutcome::kOk:
      break;
    case Base64urlOutcome::kTrailingBits:
      return fail(Errc::kInvalid,
                  "token: the last character has bits beyond the last byte, so it is not a token's "
                  "own spelling; it was altered or miscopied");
    default:
      return fail(Errc::kInvalid,
                  "token: a character is not base64url (A-Z a-z 0-9 - _); scan or copy it again");
  }
  if (bytes[0] != kTokenVersion) {
    return fail(Errc::kInvalid,
                "token: version " + std::to_string(bytes[0]) +
                    " is unknown, only 1 is; it is no token of ours or needs a newer "
                    "voketag");
  }
  Token token;
  token.key_id = bytes[1];
  std::copy_n(&bytes[kIdHighAt], token.product_id.bytes.size(), token.product_id.bytes.begin());
  std::copy_n(&bytes[kMacAt], kTokenMacBytes, token.mac.begin());
  return token;
}

std::string format_token(const Token& token) {
  std::string text(kTokenCharacters, '\0');
  base64url_encode(to_bytes(token), text.data());
  return text;
}

Token make_token(const TokenKey& key, const Uuid& product_id) {
  Token token{key.id(), product_id, {}};
  token.mac = mac_of(key, token);
  return token;
}

TokenVerdict verify_token(const Token& token, const TokenKeys& keys) {
  const TokenKey* key = keys.find(token.key_id);
  if (key == nullptr) return TokenVerdict::kUnknownKey;
  const auto expected = mac_of(*key, token);
  const bool equal = CRYPTO_memcmp(expected.data(), token.mac.data(), kTokenMacBytes) == 0;
  return equal ? TokenVerdict::kAuthentic : TokenVerdict::kForged;
}

void make_tokens(const TokenKey& key, const BatchPlan& plan, std::int64_t first_index,
                 std::size_t count, char* text, std::size_t stride_bytes, Hash* leaves,
                 const Sha256Lanes& lanes) {
  if (count == 0) return;
  TokenBlock block(key, plan, first_index, lanes);
  for (std::size_t done = 0; done < count;) {
    const std::size_t now = std::min(count - done, TokenBlock::kTokensMax);
    block.make_next(now, text + done * stride_bytes, stride_bytes, leaves + done);
    done += now;
  }
}

void make_tokens_json(const TokenKey& key, const BatchPlan& plan, std::int64_t first_index,
                      std::size_t count, char* json, Hash* leaves, const Sha256Lanes& lanes) {
  if (count == 0) return;
  constexpr std::string_view kBetween = "\",\"";
  constexpr std::size_t kStrideBytes = kTokenCharacters + kBetween.size();
  json[0] = '"';
  make_tokens(key, plan, first_index, count, json + 1, kStrideBytes, leaves, lanes);
  for (std::size_t i = 1; i < count; ++i)
    std::memcpy(json + i * kStrideBytes - 2, kBetween.data(), kBetween.size());
  json[token_json_bytes(count) - 1] = '"';
}

}  // namespace voketag::processors
