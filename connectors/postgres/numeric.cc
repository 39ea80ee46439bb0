#include "connectors/postgres/numeric.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace voketag::postgres {
namespace {

constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kGroup = 4;  // decimal digits in one of base 10,000
constexpr std::uint16_t kNegative = 0x4000;

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::uint16_t group_value(std::string_view group) {
  std::uint16_t value = 0;
  for (const char c : group) value = static_cast<std::uint16_t>(value * 10 + (c - '0'));
  return value;
}

int sign_of(std::string_view numeric) {
  if (ByteBuffer::load16(numeric.data()) == 0) return 0;
  return ByteBuffer::load16(numeric.data() + 4) == kNegative ? -1 : 1;
}

// Both are not zero and of the same sign.
int compare_magnitude(std::string_view left, std::string_view right) {
  const auto weight = [](std::string_view numeric) {
    return static_cast<std::int16_t>(ByteBuffer::load16(numeric.data() + 2));
  };
  if (weight(left) != weight(right)) return weight(left) < weight(right) ? -1 : 1;
  const int order = left.substr(kHeaderBytes).compare(right.substr(kHeaderBytes));
  return order < 0 ? -1 : (order > 0 ? 1 : 0);
}

}  // namespace

bool append_numeric(ByteBuffer& buffer, std::string_view decimal) {
  const bool negative = !decimal.empty() && decimal.front() == '-';
  if (negative || (!decimal.empty() && decimal.front() == '+')) decimal.remove_prefix(1);
  const std::size_t point = decimal.find('.');
  std::string_view whole = decimal.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view{} : decimal.substr(point + 1);
  if (decimal.size() > kNumericDigitsMax || !all_digits(whole) || !all_digits(fraction))
    return false;
  if (whole.empty() && fraction.empty()) return false;

  // Both sides padded to whole groups, counted from the point.
  std::string digits((kGroup - whole.size() % kGroup) % kGroup, '0');
  digits += whole;
  const std::size_t whole_groups = digits.size() / kGroup;
  digits += fraction;
  digits.append((kGroup - fraction.size() % kGroup) % kGroup, '0');

  std::size_t first = 0;
  std::size_t last = digits.size() / kGroup;
  const auto group = [&](std::size_t index) {
    return group_value(std::string_view(digits).substr(index * kGroup, kGroup));
  };
  while (first < last && group(first) == 0) ++first;
  while (last > first && group(last - 1) == 0) --last;
  const bool zero = first == last;

  buffer.append_int16(static_cast<std::int16_t>(last - first));
  buffer.append_int16(zero ? std::int16_t{0}
                           : static_cast<std::int16_t>(static_cast<int>(whole_groups) - 1 -
                                                       static_cast<int>(first)));
  buffer.append_int16(negative && !zero ? static_cast<std::int16_t>(kNegative) : std::int16_t{0});
  buffer.append_int16(static_cast<std::int16_t>(fraction.size()));
  for (std::size_t index = first; index < last; ++index) {
    buffer.append_int16(static_cast<std::int16_t>(group(index)));
  }
  return true;
}

int compare_numeric(std::string_view left, std::string_view right) {
  const int left_sign = sign_of(left);
  const int right_sign = sign_of(right);
  if (left_sign != right_sign) return left_sign < right_sign ? -1 : 1;
  if (left_sign == 0) return 0;
  return left_sign * compare_magnitude(left, right);
}

}  // namespace voketag::postgres
