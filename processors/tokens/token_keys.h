#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "events/error.h"
#include "processors/hash/hmac_sha256.h"

namespace voketag::processors {

// A secret that signs tokens and from which product ids are derived, and the number by which tokens
// name it. Cannot be copied or printed; wiped on destruction.
class TokenKey {
 public:
  TokenKey(std::uint8_t id, std::span<const std::uint8_t> secret) : id_(id), hmac_(secret) {}

  std::uint8_t id() const { return id_; }
  const HmacSha256Key& hmac() const { return hmac_; }

 private:
  std::uint8_t id_;
  HmacSha256Key hmac_;
};

// The keys of a deployment, in the order given: the first signs, all verify. A key is retired by
// moving it behind another, and removed only when none of its tokens shall verify any more.
// Immutable after parsing; any thread may use it.
class TokenKeys {
 public:
  static constexpr std::size_t kSecretBytesMin = 32;
  static constexpr std::size_t kSecretBytesMax = 1024;

  // Reads `id:secret,id:secret,...`, as in VOKETAG_TOKEN_KEYS: ids decimal 0..255 without leading
  // zeros, secrets base64url (RFC 4648 §5, padding optional) of at least 32 bytes; white space at
  // both ends of the text is ignored, so that a file may end in a newline. kInvalid names the entry
  // by its place in the list and what is wrong with it, never a part of its text.
  static events::Result<TokenKeys> parse(std::string_view text);

  // The key that signs new tokens.
  const TokenKey& signing() const { return keys_.front(); }

  // The key of that id, or null. Valid as long as this object.
  const TokenKey* find(std::uint8_t id) const;

  std::size_t size() const { return keys_.size(); }

 private:
  explicit TokenKeys(std::vector<TokenKey> keys) : keys_(std::move(keys)) {}

  std::vector<TokenKey> keys_;  // at least one; at most 256, since ids are bytes and differ
};

}  // namespace voketag::processors
