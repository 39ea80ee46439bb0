#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace voketag::events {

// The types that a field may have beside Uuid, Timestamp, std::int64_t, bool, double, std::string,
// a nested description, and std::optional or std::vector of these.

// A SHA-256 value: in JSON 64 lower-case hex digits.
struct Hash {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const Hash&) const = default;
  std::string to_string() const;
};

// A hash, address or byte string of a chain: in JSON 0x and lower-case hex digits. Holds that text.
struct ChainBytes {
  std::string text;
  auto operator<=>(const ChainBytes&) const = default;
};

// An exact decimal number (money, fees): in JSON a string such as "12.5". Holds that text.
struct Decimal {
  std::string text;
  auto operator<=>(const Decimal&) const = default;
};

// A JSON object whose members are the producer's own. Holds its text, in the canonical form of
// RFC 8785 once it has been decoded, so that equal objects have equal texts.
struct JsonObject {
  std::string text;
  auto operator<=>(const JsonObject&) const = default;
};

// What a field's value must satisfy. Integers: the value; strings: the length in bytes of UTF-8;
// arrays: the number of elements; JSON objects: the length of the canonical text in bytes.
struct Rule {
  std::int64_t minimum = std::numeric_limits<std::int64_t>::min();
  std::int64_t maximum = std::numeric_limits<std::int64_t>::max();
  std::string_view choices = {};  // for strings: the allowed values, separated by '|'; empty: any
};

constexpr Rule between(std::int64_t minimum, std::int64_t maximum) {
  return {minimum, maximum, {}};
}
constexpr Rule at_least(std::int64_t minimum) {
  return {minimum, std::numeric_limits<std::int64_t>::max(), {}};
}
constexpr Rule at_most(std::int64_t maximum) {
  return {std::numeric_limits<std::int64_t>::min(), maximum, {}};
}
constexpr Rule one_of(std::string_view choices) {
  return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(),
          choices};
}

// One member of an event: its JSON name, where it lies, what it means, what it must satisfy.
// Codec, JSON Schema and documentation are all made from this one definition. A std::optional
// member may be absent or null; every other member must be there.
template <class Owner, class Type>
struct Field {
  std::string_view name;
  Type Owner::*member;
  std::string_view meaning;
  Rule rule = {};
};
template <class Owner, class Type>
Field(std::string_view, Type Owner::*, std::string_view) -> Field<Owner, Type>;
template <class Owner, class Type>
Field(std::string_view, Type Owner::*, std::string_view, Rule) -> Field<Owner, Type>;

}  // namespace voketag::events
