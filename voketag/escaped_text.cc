#include "voketag/escaped_text.h"

#include <array>
#include <cstdio>

namespace voketag::cli {

std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length || at(1) < low || at(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (at(i) < 0x80 || at(i) > 0xBF) return 0;
  }
  return length;
}

namespace {

// C1 controls, and the characters that turn the direction of writing around, are well-formed UTF-8
// and yet not safe to show.
bool is_treacherous(std::string_view character) {
  if (character.size() == 2 && character[0] == '\xC2') {
    return static_cast<unsigned char>(character[1]) < 0xA0;
  }
  if (character.size() != 3 || character[0] != '\xE2') return false;
  const auto second = static_cast<unsigned char>(character[1]);
  const auto third = static_cast<unsigned char>(character[2]);
  const bool zero_width_or_direction =
      second == 0x80 && ((third >= 0x8B && third <= 0x8F) || (third >= 0xA8 && third <= 0xAE));
  const bool isolate = second == 0x81 && third >= 0xA0 && third <= 0xAF;
  return zero_width_or_direction || isolate;
}

void append_hex(std::string& text, std::string_view bytes) {
  for (const char byte : bytes) {
    std::array<char, 8> digits{};
    std::snprintf(digits.data(), digits.size(), "\\x%02x", static_cast<unsigned char>(byte));
    text += digits.data();
  }
}

}  // namespace

std::string escaped(std::string_view bytes, bool keep_line_ends) {
  std::string text;
  while (!bytes.empty()) {
    const char c = bytes.front();
    const std::size_t length = utf8_length(bytes);
    const std::string_view character = bytes.substr(0, length == 0 ? 1 : length);
    if (c == '\\') {
      text += "\\\\";
    } else if (c == '\n' && keep_line_ends) {
      text += c;
    } else if (length == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7F ||
               is_treacherous(character)) {
      append_hex(text, character);
    } else {
      text += character;
    }
    bytes.remove_prefix(character.size());
  }
  return text;
}

std::string shortened(const std::string& text, std::size_t columns) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(std::string_view(text).substr(i));
    if (width + 1 == columns && i + (length == 0 ? 1 : length) < text.size()) {
      return text.substr(0, i) + "…";
    }
    i += length == 0 ? 1 : length;
    ++width;
  }
  return text;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = utf8_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const bool is_padding = i + k > bytes.size();
      text += is_padding ? '=' : kDigits[group >> (18 - 6 * k) & 63U];
    }
  }
  return text;
}

}  // namespace voketag::cli
