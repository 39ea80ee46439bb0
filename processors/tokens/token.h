#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "events/error.h"
#include "events/uuid.h"
#include "processors/hash/sha256.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token_keys.h"

// The token: what a product carries, and what anyone may check.
//
//    token = base64url( version 1 | key id 1 | product id 16 | MAC 16 )      34 bytes, 46
//    characters MAC   = first 16 bytes of HMAC-SHA256( key, "voketag-token-v1" | the 18 bytes
//    before the MAC )
//
// 46 characters hold 276 bits for 272. A decoder that let the last four be anything would give each
// token 16 spellings, and each spelling another Merkle leaf; so they must be zero, and a token has
// one spelling only: every text that `parse_token` accepts is what `format_token` gives back.
// docs/formats/token.md has the bytes and an example.

namespace voketag::processors {

inline constexpr std::uint8_t kTokenVersion = 1;
inline constexpr std::size_t kTokenBytes = 34;
inline constexpr std::size_t kTokenCharacters = 46;
inline constexpr std::size_t kTokenMacBytes = 16;

// A token that is well formed; whether it is authentic, only `verify_token` says.
struct Token {
  std::uint8_t key_id = 0;
  events::Uuid product_id;
  std::array<std::uint8_t, kTokenMacBytes> mac{};

  auto operator<=>(const Token&) const = default;
};

// Reads a token's text. kInvalid, each with its own message: not 46 characters, a character outside
// the alphabet, non-zero bits after the last byte, a version other than 1. The text, which a
// stranger chose, is not repeated in the message.
events::Result<Token> parse_token(std::string_view text);

// The only spelling of a token.
std::string format_token(const Token& token);

// Signs a product id.
Token make_token(const TokenKey& key, const events::Uuid& product_id);

enum class TokenVerdict : std::uint8_t {
  kAuthentic,   // made with the key it names
  kForged,      // names a key of ours, but its MAC is not that key's
  kUnknownKey,  // names a key that we do not have
};

// Compares the MAC in constant time: how long it takes tells nothing of how much of it was right.
TokenVerdict verify_token(const Token& token, const TokenKeys& keys);

// Makes the tokens of products first_index .. first_index + count - 1 and hashes each into its leaf
// of the batch's Merkle tree (RFC 6962: SHA-256 of 0x00 and the token's 46 characters).
//
// Token i is written to the 46 characters at text + i * stride_bytes; nothing else of `text` is
// touched. leaves[i] is its leaf. `plan` must have been derived with `key`, and the range must lie
// in the batch. Allocates nothing and works in blocks that stay in the first-level cache.
void make_tokens(const TokenKey& key, const BatchPlan& plan, std::int64_t first_index,
                 std::size_t count, char* text, std::size_t stride_bytes, Hash* leaves,
                 const Sha256Lanes& lanes = Sha256Lanes::best());

// The length of `count` tokens as the elements of a JSON array: "…","…" without the brackets.
constexpr std::size_t token_json_bytes(std::size_t count) {
  return count == 0 ? 0 : count * (kTokenCharacters + 3) - 1;
}

// The same, as the elements of a JSON array: writes exactly token_json_bytes(count) characters.
void make_tokens_json(const TokenKey& key, const BatchPlan& plan, std::int64_t first_index,
                      std::size_t count, char* json, Hash* leaves,
                      const Sha256Lanes& lanes = Sha256Lanes::best());

}  // namespace voketag::processors
