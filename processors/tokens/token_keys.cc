#include "processors/tokens/token_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "processors/tokens/base64url.h"

namespace voketag::processors {
namespace {

using events::Errc;
using events::fail;
using events::Result;

constexpr std::string_view kCure =
    "; write id:secret,id:secret,... where a secret comes from: openssl rand 32 | basenc "
    "--base64url";

// Names an entry by its place only: a secret in the wrong field must not reach a log.
tl::unexpected<events::Error> refuse(std::size_t entry, std::string_view what) {
  std::string message = "token keys: entry " + std::to_string(entry) + " ";
  return fail(Errc::kInvalid, message.append(what).append(kCure));
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

Result<std::uint8_t> parse_id(std::size_t entry, std::string_view text) {
  unsigned id = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, id);
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (text.empty() || error != std::errc{} || stopped != end || id > 255 || leading_zero)
    return refuse(entry, "has an id that is not a number from 0 to 255");
  return static_cast<std::uint8_t>(id);
}

std::string_view without_padding(std::string_view text) {
  if (text.size() % 4 != 0) return text;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return text;
}

Result<TokenKey> parse_secret(std::size_t entry, std::uint8_t id, std::string_view text) {
  text = without_padding(text);
  const std::size_t bytes = base64url_bytes(text.size());
  if (bytes > TokenKeys::kSecretBytesMax)
    return refuse(entry, "has a secret of more than 1024 bytes");
  std::array<std::uint8_t, TokenKeys::kSecretBytesMax> secret;
  const bool decoded = base64url_decode(text, secret.data()) == Base64urlOutcome::kOk;
  Result<TokenKey> key = refuse(entry, "has a secret that is not base64url (RFC 4648 section 5)");
  if (decoded && bytes < TokenKeys::kSecretBytesMin) {
    key = refuse(entry,
                 "has a secret of " + std::to_string(bytes) + " bytes; at least 32 are needed");
  } else if (decoded) {
    key = TokenKey(id, std::span(secret).first(bytes));
  }
  OPENSSL_cleanse(secret.data(), secret.size());
  return key;
}

}  // namespace

Result<TokenKeys> TokenKeys::parse(std::string_view text) {
  std::vector<TokenKey> keys;
  text = trim(text);
  if (text.empty()) {
    return fail(Errc::kInvalid, std::string("token keys: none given").append(kCure));
  }
  for (std::size_t entry = 1;; ++entry) {
    const std::size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const std::size_t colon = item.find(':');
    if (colon == std::string_view::npos) return refuse(entry, "has no colon between id and secret");
    const auto id = parse_id(entry, item.substr(0, colon));
    if (!id) return tl::unexpected(id.error());
    if (std::any_of(keys.begin(), keys.end(), [&](const TokenKey& key) { return key.id() == *id; }))
      return refuse(entry, "has the id of an entry before it");
    auto key = parse_secret(entry, *id, item.substr(colon + 1));
    if (!key) return tl::unexpected(std::move(key.error()));
    keys.push_back(std::move(*key));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return TokenKeys(std::move(keys));
}

const TokenKey* TokenKeys::find(std::uint8_t id) const {
  for (const TokenKey& key : keys_)
    if (key.id() == id) return &key;
  return nullptr;
}

}  // namespace voketag::processors
