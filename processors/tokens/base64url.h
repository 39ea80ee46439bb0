#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

// base64url without padding (RFC 4648 §5), strict: every byte string has exactly one text, and
// every text that decodes is that text.

namespace voketag::processors {

enum class Base64urlOutcome : std::uint8_t {
  kOk,
  kLength,        // no byte string has a text of this length (4n + 1)
  kAlphabet,      // a character other than A-Z a-z 0-9 - _
  kTrailingBits,  // the bits after the last byte are not zero
};

constexpr std::size_t base64url_characters(std::size_t byte_count) {
  return (byte_count * 8 + 5) / 6;
}

constexpr std::size_t base64url_bytes(std::size_t character_count) {
  return character_count * 6 / 8;
}

// Writes base64url_characters(bytes.size()) characters to `text`.
void base64url_encode(std::span<const std::uint8_t> bytes, char* text);

// Writes base64url_bytes(text.size()) bytes to `bytes`; what they hold is unspecified unless kOk.
Base64urlOutcome base64url_decode(std::string_view text, std::uint8_t* bytes);

}  // namespace voketag::processors
