#include "events/uuid.h"

#include <openssl/evp.h>

#include <cassert>
#include <cstring>

namespace voketag::events {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_dash_position(std::size_t i) {
  return i == 8 || i == 13 || i == 18 || i == 23;
}

}  // namespace

std::string Uuid::to_string() const {
  std::string text(36, '-');
  std::size_t out = 0;
  for (const std::uint8_t byte : bytes) {
    if (is_dash_position(out)) ++out;
    text[out++] = kDigits[byte >> 4];
    text[out++] = kDigits[byte & 15];
  }
  return text;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid uuid;
  std::size_t in = 0;
  for (std::uint8_t& byte : uuid.bytes) {
    if (is_dash_position(in)) {
      if (text[in] != '-') return std::nullopt;
      ++in;
    }
    const int high = hex_value(text[in]);
    const int low = hex_value(text[in + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    byte = static_cast<std::uint8_t>(high << 4 | low);
    in += 2;
  }
  return uuid;
}

Uuid Uuid::v5(const Uuid& name_space, std::string_view name) {
  // One context per thread: creating one costs as much as the hash of a short name.
  thread_local EVP_MD_CTX* const context = EVP_MD_CTX_new();
  thread_local EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  std::uint8_t digest[20];
  unsigned int length = 0;
  const bool ok =
      EVP_DigestInit_ex2(context, sha1, nullptr) == 1 &&
      EVP_DigestUpdate(context, name_space.bytes.data(), name_space.bytes.size()) == 1 &&
      EVP_DigestUpdate(context, name.data(), name.size()) == 1 &&
      EVP_DigestFinal_ex(context, digest, &length) == 1;
  assert(ok && length == sizeof digest);
  (void)ok;
  Uuid uuid;
  std::memcpy(uuid.bytes.data(), digest, uuid.bytes.size());
  uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0f) | 0x50);
  uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

}  // namespace voketag::events
