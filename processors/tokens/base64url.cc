#include "processors/tokens/base64url.h"

#include <array>

namespace voketag::processors {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kNotInAlphabet = 0xff;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> values{};
  for (std::uint8_t& value : values) value = kNotInAlphabet;
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  return values;
}();

}  // namespace

void base64url_encode(std::span<const std::uint8_t> bytes, char* text) {
  std::uint32_t bits = 0;
  int bit_count = 0;
  for (const std::uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    for (bit_count += 8; bit_count >= 6; bit_count -= 6)
      *text++ = kAlphabet[(bits >> (bit_count - 6)) & 63];
  }
  if (bit_count > 0) *text = kAlphabet[(bits << (6 - bit_count)) & 63];
}

Base64urlOutcome base64url_decode(std::string_view text, std::uint8_t* bytes) {
  if (text.size() % 4 == 1) return Base64urlOutcome::kLength;
  std::uint32_t bits = 0;
  int bit_count = 0;
  std::uint8_t seen = 0;  // a bad character's value is the only one with the top bit set
  for (const char character : text) {
    const std::uint8_t value = kValues[static_cast<std::uint8_t>(character)];
    seen |= value;
    bits = bits << 6 | (value & 63U);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      *bytes++ = static_cast<std::uint8_t>(bits >> bit_count);
    }
  }
  if ((seen & 0x80) != 0) return Base64urlOutcome::kAlphabet;
  const std::uint32_t trailing = bits & ((1U << bit_count) - 1);
  return trailing == 0 ? Base64urlOutcome::kOk : Base64urlOutcome::kTrailingBits;
}

}  // namespace voketag::processors
