#include "events/json_reader.h"

#include <charconv>
#include <cmath>

#include "events/json.h"
#include "events/topics.h"

namespace voketag::events::detail {
namespace {

constexpr std::size_t kShownCharactersMax = 40;
constexpr std::size_t kKeptBytesMax = 1024 * 1024;

constexpr bool is_white_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view without_trailing_space(std::string_view text) {
  while (!text.empty() && is_white_space(text.back())) text.remove_suffix(1);
  return text;
}

// The first 40 characters, never ending inside one.
std::string cut(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t characters = 0; end < text.size(); ++end) {
    const bool starts_character = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (starts_character && ++characters > kShownCharactersMax) break;
  }
  std::string shown(text.substr(0, end));
  if (end < text.size()) shown += "...";
  return shown;
}

// "between 1 and 10", "at least 1", "at most 10".
std::string describe_range(const Rule& rule) {
  const bool has_minimum = rule.minimum != Rule{}.minimum;
  const bool has_maximum = rule.maximum != Rule{}.maximum;
  if (has_minimum && has_maximum) {
    return "between " + std::to_string(rule.minimum) + " and " + std::to_string(rule.maximum);
  }
  if (has_minimum) return "at least " + std::to_string(rule.minimum);
  return "at most " + std::to_string(rule.maximum);
}

bool is_in_range(std::int64_t value, const Rule& rule) {
  return value >= rule.minimum && value <= rule.maximum;
}

bool is_choice(std::string_view choices, std::string_view text) {
  while (true) {
    const std::size_t bar = choices.find('|');
    if (choices.substr(0, bar) == text) return true;
    if (bar == std::string_view::npos) return false;
    choices.remove_prefix(bar + 1);
  }
}

std::string list_choices(std::string_view choices) {
  std::string list(choices);
  for (std::size_t bar = list.find('|'); bar != std::string::npos; bar = list.find('|', bar)) {
    list.replace(bar, 1, ", ");
  }
  return list;
}

// JSON's number: an optional minus, an integer part without leading zeros, fraction, exponent.
bool is_json_number(std::string_view text) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t from = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i - from;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const bool leading_zero = i < text.size() && text[i] == '0';
  const std::size_t integer_digits = digits();
  if (integer_digits == 0 || (leading_zero && integer_digits > 1)) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

bool is_decimal(std::string_view text) {
  std::size_t i = text.starts_with('-') ? 1 : 0;
  const std::size_t integer_from = i;
  while (i < text.size() && is_digit(text[i])) ++i;
  if (i == integer_from) return false;
  if (i == text.size()) return true;
  if (text[i] != '.') return false;
  const std::size_t fraction_from = ++i;
  while (i < text.size() && is_digit(text[i])) ++i;
  return i > fraction_from && i == text.size();
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A string's text; `must` is the rule for the message when the value is no string.
bool read_text(JsonValue& value, std::string_view must, std::string_view& text, Problem& problem) {
  const simdjson::error_code code = value.get_string().get(text);
  if (code == simdjson::SUCCESS) return true;
  if (code == simdjson::INCORRECT_TYPE) {
    return problem.is("must be " + std::string(must) + ", not " + describe(value));
  }
  return problem.is("must be " + std::string(must) +
                    " without bad escapes or lone surrogates, not " + describe(value));
}

}  // namespace

bool Problem::is(std::string text) {
  text_ = std::move(text);
  return false;
}

bool Problem::is_not_json(std::string text) {
  not_json_ = true;
  text_ = std::move(text);
  return false;
}

bool Problem::is_not_json(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR:
      return is_not_json("its bytes are not UTF-8");
    case simdjson::EMPTY:
      return is_not_json("it is empty");
    case simdjson::UNESCAPED_CHARS:
      return is_not_json("a string holds an unescaped control character");
    case simdjson::UNCLOSED_STRING:
      return is_not_json("a string has no end");
    case simdjson::STRING_ERROR:
      return is_not_json("a string holds a bad escape or a lone surrogate");
    case simdjson::INCORRECT_TYPE:
      return is_not_json("it is not an object");
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
      return is_not_json("it does not end with the brace that closes it");
    default:
      return is_not_json("a comma, colon, bracket or value is wrong or missing");
  }
}

bool Problem::in_member(std::string_view name) {
  const bool joined = path_.empty() || path_.starts_with('[');
  path_ = cut(name) + (joined ? "" : ".") + path_;
  return false;
}

bool Problem::in_element(std::size_t index) {
  const bool joined = path_.empty() || path_.starts_with('[');
  path_ = "[" + std::to_string(index) + "]" + (joined ? "" : ".") + path_;
  return false;
}

Error Problem::to_error() const {
  if (!not_json_) return {Errc::kInvalid, path_ + " " + text_};
  std::string message = "the value is not a JSON object: " + text_;
  if (!path_.empty()) message += ", in " + path_;
  return {Errc::kInvalid, message + "; send one JSON object in UTF-8"};
}

bool JsonDocument::open(std::string_view text, simdjson::ondemand::object& object,
                        Problem& problem) {
  if (text.size() > static_cast<std::size_t>(kInputBytesMax)) {
    return problem.is_not_json("it has " + std::to_string(text.size()) + " bytes and at most " +
                               std::to_string(kInputBytesMax) + " are read");
  }
  padded_.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  padded_.assign(text);
  padded_.append(simdjson::SIMDJSON_PADDING, '\0');
  const simdjson::padded_string_view view(padded_.data(), text.size(), padded_.size());
  if (const auto code = parser_.iterate(view).get(document_)) return problem.is_not_json(code);
  if (const auto code = document_.get_object().get(object)) return problem.is_not_json(code);
  return true;
}

bool JsonDocument::close(Problem& problem) {
  const char* location = nullptr;
  if (document_.current_location().get(location) == simdjson::OUT_OF_BOUNDS) return true;
  return problem.is_not_json("more text follows its closing brace");
}

void JsonDocument::release_excess() {
  if (padded_.size() <= kKeptBytesMax) return;
  document_ = simdjson::ondemand::document{};
  parser_ = simdjson::ondemand::parser{};
  padded_ = std::string{};
}

std::string describe(JsonValue& value) {
  simdjson::ondemand::json_type type{};
  if (value.type().get(type) == simdjson::SUCCESS) {
    if (type == simdjson::ondemand::json_type::object) return "an object";
    if (type == simdjson::ondemand::json_type::array) return "an array";
  }
  return cut(without_trailing_space(value.raw_json_token()));
}

std::size_t find_name(std::span<const std::string_view> names, std::string_view key,
                      std::size_t expected) {
  if (expected < names.size() && names[expected] == key) return expected;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == key) return i;
  }
  return names.size();
}

bool read_number_text(JsonValue& value, std::string_view& text) {
  text = without_trailing_space(value.raw_json_token());
  return is_json_number(text);
}

namespace {

bool skip_array(JsonValue& value, int depth, Problem& problem) {
  simdjson::ondemand::array array;
  if (const auto code = value.get_array().get(array)) return problem.is_not_json(code);
  std::size_t index = 0;
  for (auto result : array) {
    JsonValue element;
    if (const auto code = std::move(result).get(element)) return problem.is_not_json(code);
    if (!skip_value(element, depth, problem)) return problem.in_element(index);
    ++index;
  }
  return true;
}

bool skip_object(JsonValue& value, int depth, Problem& problem) {
  simdjson::ondemand::object object;
  if (const auto code = value.get_object().get(object)) return problem.is_not_json(code);
  for (auto result : object) {
    simdjson::ondemand::field field;
    if (const auto code = std::move(result).get(field)) return problem.is_not_json(code);
    std::string_view key;
    if (const auto code = field.unescaped_key().get(key)) return problem.is_not_json(code);
    if (!skip_value(field.value(), depth, problem)) return problem.in_member(key);
  }
  return true;
}

// A scalar that only its text was looked at of is passed over by the iteration itself.
bool skip_literal(JsonValue& value, std::string_view a, std::string_view b, Problem& problem) {
  const std::string_view text = without_trailing_space(value.raw_json_token());
  return text == a || text == b || problem.is_not_json(cut(text) + " is no value");
}

}  // namespace

bool skip_value(JsonValue& value, int depth, Problem& problem) {
  using simdjson::ondemand::json_type;
  json_type type{};
  if (const auto code = value.type().get(type)) return problem.is_not_json(code);
  if ((type == json_type::array || type == json_type::object) && depth >= kJsonDepthMax) {
    return problem.is("is nested deeper than " + std::to_string(kJsonDepthMax) + " levels");
  }
  switch (type) {
    case json_type::array:
      return skip_array(value, depth + 1, problem);
    case json_type::object:
      return skip_object(value, depth + 1, problem);
    case json_type::boolean:
      return skip_literal(value, "true", "false", problem);
    case json_type::null:
      return skip_literal(value, "null", "null", problem);
    case json_type::string: {
      std::string_view text;
      if (const auto code = value.get_string().get(text)) return problem.is_not_json(code);
      return true;
    }
    case json_type::number: {
      std::string_view text;
      // Whether the number fits our types does not matter here.
      return read_number_text(value, text) || problem.is_not_json(cut(text) + " is no number");
    }
  }
  return problem.is_not_json(simdjson::TAPE_ERROR);
}

bool read_scalar(JsonValue& value, const Rule& rule, std::int64_t& out, Problem& problem) {
  simdjson::ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS ||
      type != simdjson::ondemand::json_type::number) {
    return problem.is("must be a whole number, not " + describe(value));
  }
  std::string_view text;
  if (!read_number_text(value, text) || text.find_first_of(".eE") != std::string_view::npos) {
    return problem.is("must be a whole number written without fraction or exponent, not " +
                      describe(value));
  }
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec != std::errc{} || !is_in_range(out, rule)) {
    return problem.is("must be " + describe_range(rule) + ", not " + describe(value));
  }
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, bool& out, Problem& problem) {
  const std::string_view text = without_trailing_space(value.raw_json_token());
  if (text != "true" && text != "false") {
    return problem.is("must be true or false, not " + describe(value));
  }
  out = text == "true";
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, double& out, Problem& problem) {
  std::string_view text;
  if (!read_number_text(value, text) || value.get_double().get(out) != simdjson::SUCCESS ||
      !std::isfinite(out)) {
    return problem.is("must be a number that a 64-bit float can hold, not " + describe(value));
  }
  return true;
}

bool read_scalar(JsonValue& value, const Rule& rule, std::string& out, Problem& problem) {
  std::string_view text;
  if (!read_text(value, "a string", text, problem)) return false;
  if (!rule.choices.empty() && !is_choice(rule.choices, text)) {
    return problem.is("must be one of " + list_choices(rule.choices) + ", not " + describe(value));
  }
  if (!is_in_range(static_cast<std::int64_t>(text.size()), rule)) {
    return problem.is("must be " + describe_range(rule) + " bytes long, not " +
                      std::to_string(text.size()) + ": " + describe(value));
  }
  if (text.find('\0') != std::string_view::npos) {
    return problem.is("must not hold the character U+0000, which PostgreSQL cannot store");
  }
  out.assign(text);
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, Uuid& out, Problem& problem) {
  constexpr std::string_view kMust = "a UUID such as 0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80";
  std::string_view text;
  if (!read_text(value, kMust, text, problem)) return false;
  const auto uuid = Uuid::parse(text);
  if (!uuid) return problem.is("must be " + std::string(kMust) + ", not " + describe(value));
  out = *uuid;
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, Timestamp& out, Problem& problem) {
  constexpr std::string_view kMust = "an RFC 3339 time such as 2026-11-22T14:05:09.123Z";
  std::string_view text;
  if (!read_text(value, kMust, text, problem)) return false;
  const auto time = Timestamp::parse(text);
  if (!time) return problem.is("must be " + std::string(kMust) + ", not " + describe(value));
  out = *time;
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, Hash& out, Problem& problem) {
  constexpr std::string_view kMust = "64 hex digits without 0x";
  std::string_view text;
  if (!read_text(value, kMust, text, problem)) return false;
  bool ok = text.size() == 2 * out.bytes.size();
  for (std::size_t i = 0; ok && i < out.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    ok = high >= 0 && low >= 0;
    out.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!ok) return problem.is("must be " + std::string(kMust) + ", not " + describe(value));
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, ChainBytes& out, Problem& problem) {
  constexpr std::string_view kMust = "0x and an even number of hex digits";
  std::string_view text;
  if (!read_text(value, kMust, text, problem)) return false;
  bool ok = text.starts_with("0x") && text.size() % 2 == 0;
  std::string normal(text);
  for (std::size_t i = 2; ok && i < text.size(); ++i) {
    ok = hex_value(text[i]) >= 0;
    if (normal[i] >= 'A' && normal[i] <= 'F') normal[i] = static_cast<char>(normal[i] | 0x20);
  }
  if (!ok) return problem.is("must be " + std::string(kMust) + ", not " + describe(value));
  out.text = std::move(normal);
  return true;
}

bool read_scalar(JsonValue& value, const Rule&, Decimal& out, Problem& problem) {
  constexpr std::string_view kMust = "a decimal number in a string such as \"12.5\"";
  std::string_view text;
  if (!read_text(value, kMust, text, problem)) return false;
  if (!is_decimal(text)) {
    return problem.is("must be " + std::string(kMust) + ", not " + describe(value));
  }
  out.text.assign(text);
  return true;
}

bool read_scalar(JsonValue& value, const Rule& rule, JsonObject& out, Problem& problem) {
  simdjson::ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return problem.is("must be an object, not " + describe(value));
  }
  std::string_view raw;
  if (const auto code = object.raw_json().get(raw)) return problem.is_not_json(code);
  auto canonical = canonical_json(raw);
  if (!canonical) return problem.is("cannot be taken: " + canonical.error().message);
  if (!is_in_range(static_cast<std::int64_t>(canonical->size()), rule)) {
    return problem.is("must be " + describe_range(rule) + " bytes long in canonical form, not " +
                      std::to_string(canonical->size()));
  }
  out.text = *std::move(canonical);
  return true;
}

bool check_count(std::size_t count, const Rule& rule, Problem& problem) {
  if (is_in_range(static_cast<std::int64_t>(count), rule)) return true;
  return problem.is("must have " + describe_range(rule) + " elements, not " +
                    std::to_string(count));
}

}  // namespace voketag::events::detail
