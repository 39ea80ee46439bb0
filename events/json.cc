#include "events/json.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "events/json_reader.h"
#include "events/json_writer.h"

namespace voketag::events {
namespace {

using detail::JsonValue;
using detail::Problem;

// The order of UTF-16 code units differs from that of UTF-8 bytes in one place only: characters
// beyond U+FFFF (first byte 0xF0 or more) are surrogates there, which come before U+E000..U+FFFF
// (first bytes 0xEE and 0xEF).
std::uint8_t utf16_rank(char c) {
  const auto byte = static_cast<std::uint8_t>(c);
  if (byte == 0xee || byte == 0xef) return static_cast<std::uint8_t>(byte + 0x10);
  if (byte >= 0xf0) return static_cast<std::uint8_t>(byte - 2);
  return byte;
}

bool utf16_less(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [](char left, char right) { return utf16_rank(left) < utf16_rank(right); });
}

bool read_string(JsonValue& value, std::string_view& text, Problem& problem) {
  if (const auto code = value.get_string().get(text)) return problem.is_not_json(code);
  if (text.find('\0') != std::string_view::npos) {
    return problem.is("holds the character U+0000, which PostgreSQL cannot store");
  }
  return true;
}

bool append_value(JsonValue& value, int depth, std::string& out, Problem& problem);

bool append_members(simdjson::ondemand::object& object, int depth, std::string& out,
                    Problem& problem) {
  std::vector<std::pair<std::string, std::string>> members;
  for (auto result : object) {
    simdjson::ondemand::field field;
    if (const auto code = std::move(result).get(field)) return problem.is_not_json(code);
    std::string_view key;
    if (const auto code = field.unescaped_key().get(key)) return problem.is_not_json(code);
    if (key.find('\0') != std::string_view::npos) {
      return problem.is("holds the character U+0000 in a name, which PostgreSQL cannot store");
    }
    auto& member = members.emplace_back(key, std::string{});
    if (!append_value(field.value(), depth, member.second, problem)) {
      return problem.in_member(member.first);
    }
  }
  std::sort(members.begin(), members.end(),
            [](const auto& a, const auto& b) { return utf16_less(a.first, b.first); });
  out += '{';
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i > 0 && members[i].first == members[i - 1].first) {
      problem.is("is there twice: send it once");
      return problem.in_member(members[i].first);
    }
    if (i > 0) out += ',';
    append_json_string(out, members[i].first);
    out += ':';
    out += members[i].second;
  }
  out += '}';
  return true;
}

bool append_array(JsonValue& value, int depth, std::string& out, Problem& problem) {
  simdjson::ondemand::array array;
  if (const auto code = value.get_array().get(array)) return problem.is_not_json(code);
  out += '[';
  std::size_t index = 0;
  for (auto result : array) {
    JsonValue element;
    if (const auto code = std::move(result).get(element)) return problem.is_not_json(code);
    if (index > 0) out += ',';
    if (!append_value(element, depth, out, problem)) return problem.in_element(index);
    ++index;
  }
  out += ']';
  return true;
}

bool append_number(JsonValue& value, std::string& out, Problem& problem) {
  std::string_view text;
  double number = 0;
  if (!detail::read_number_text(value, text)) {
    return problem.is_not_json(detail::describe(value) + " is no number");
  }
  if (value.get_double().get(number) != simdjson::SUCCESS || !std::isfinite(number)) {
    return problem.is("must be a number that a 64-bit float can hold, not " +
                      detail::describe(value));
  }
  out += canonical_number(number);
  return true;
}

bool append_value(JsonValue& value, int depth, std::string& out, Problem& problem) {
  using simdjson::ondemand::json_type;
  json_type type{};
  if (const auto code = value.type().get(type)) return problem.is_not_json(code);
  if ((type == json_type::array || type == json_type::object) && depth >= detail::kJsonDepthMax) {
    return problem.is("is nested deeper than " + std::to_string(detail::kJsonDepthMax) + " levels");
  }
  switch (type) {
    case json_type::array:
      return append_array(value, depth + 1, out, problem);
    case json_type::number:
      return append_number(value, out, problem);
    case json_type::object: {
      simdjson::ondemand::object object;
      if (const auto code = value.get_object().get(object)) return problem.is_not_json(code);
      return append_members(object, depth + 1, out, problem);
    }
    case json_type::string: {
      std::string_view text;
      if (!read_string(value, text, problem)) return false;
      append_json_string(out, text);
      return true;
    }
    case json_type::boolean:
    case json_type::null: {
      std::string_view literal = value.raw_json_token();
      literal = literal.substr(0, literal.find_first_of(" \t\r\n"));
      if (!detail::skip_value(value, depth, problem)) return false;
      out += literal;
      return true;
    }
  }
  return problem.is_not_json(simdjson::TAPE_ERROR);
}

}  // namespace

Result<std::string> canonical_json(std::string_view object_text) {
  thread_local detail::JsonDocument document;
  Problem problem;
  simdjson::ondemand::object object;
  std::string out;
  const bool ok = document.open(object_text, object, problem) &&
                  append_members(object, 1, out, problem) && document.close(problem);
  document.release_excess();
  if (!ok) return tl::unexpected<Error>(problem.to_error());
  return out;
}

std::string canonical_number(double value) {
  assert(std::isfinite(value));
  if (value == 0) return "0";  // ECMAScript drops the sign of zero
  char buffer[32];
  const auto written = std::to_chars(buffer, buffer + sizeof buffer, std::fabs(value),
                                     std::chars_format::scientific);
  const std::string_view scientific(buffer, static_cast<std::size_t>(written.ptr - buffer));
  const std::size_t e = scientific.find('e');
  std::string digits(1, scientific[0]);
  if (e > 2) digits += scientific.substr(2, e - 2);
  int exponent = 0;
  const std::size_t sign = scientific[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(scientific.data() + sign, scientific.data() + scientific.size(), exponent);

  // `point` digits stand before the decimal point (ECMA-262, Number::toString, where it is called
  // n).
  const int point = exponent + 1;
  const int count = static_cast<int>(digits.size());
  std::string text = value < 0 ? "-" : "";
  if (count <= point && point <= 21) {
    text += digits + std::string(static_cast<std::size_t>(point - count), '0');
  } else if (0 < point && point <= 21) {
    text += digits.substr(0, static_cast<std::size_t>(point)) + "." +
            digits.substr(static_cast<std::size_t>(point));
  } else if (-6 < point && point <= 0) {
    text += "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
  } else {
    text += digits.substr(0, 1);
    if (count > 1) text += "." + digits.substr(1);
    text += exponent < 0 ? "e-" : "e+";
    text += std::to_string(std::abs(exponent));
  }
  return text;
}

}  // namespace voketag::events
