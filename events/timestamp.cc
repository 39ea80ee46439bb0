#include "events/timestamp.h"

#include <chrono>
#include <cstdio>

namespace voketag::events {
namespace {

constexpr std::int64_t kYear10000Ms = 253'402'300'800'000;

// Reads exactly `width` decimal digits at `position` and moves past them.
std::optional<int> read_digits(std::string_view text, std::size_t& position, std::size_t width) {
  if (position + width > text.size()) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    const char c = text[position + i];
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  position += width;
  return value;
}

bool read_char(std::string_view text, std::size_t& position, std::string_view accepted) {
  if (position >= text.size() || accepted.find(text[position]) == std::string_view::npos) {
    return false;
  }
  ++position;
  return true;
}

// The fraction of a second in whole milliseconds; the position is at the digit after the point.
std::optional<int> read_fraction_ms(std::string_view text, std::size_t& position) {
  int ms = 0;
  std::size_t digits = 0;
  while (position < text.size() && text[position] >= '0' && text[position] <= '9') {
    if (digits < 3) ms = ms * 10 + (text[position] - '0');
    ++digits;
    ++position;
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 3; ++digits) ms *= 10;
  return ms;
}

std::optional<int> read_offset_minutes(std::string_view text, std::size_t& position) {
  if (read_char(text, position, "Zz")) return 0;
  const bool negative = position < text.size() && text[position] == '-';
  if (!read_char(text, position, "+-")) return std::nullopt;
  const auto hours = read_digits(text, position, 2);
  if (!hours || !read_char(text, position, ":")) return std::nullopt;
  const auto minutes = read_digits(text, position, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const int total = *hours * 60 + *minutes;
  return negative ? -total : total;
}

}  // namespace

std::string Timestamp::to_string() const {
  using std::chrono::days;
  using std::chrono::floor;
  using std::chrono::hh_mm_ss;
  using std::chrono::milliseconds;
  using std::chrono::sys_time;
  const sys_time<milliseconds> point{milliseconds{ms}};
  const auto day = floor<days>(point);
  const std::chrono::year_month_day date{day};
  const hh_mm_ss<milliseconds> clock{point - day};
  char text[40];
  std::snprintf(
      text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text;
}

std::optional<Timestamp> Timestamp::parse(std::string_view text) {
  std::size_t position = 0;
  const auto year = read_digits(text, position, 4);
  if (!year || *year < 1970 || !read_char(text, position, "-")) return std::nullopt;
  const auto month = read_digits(text, position, 2);
  if (!month || !read_char(text, position, "-")) return std::nullopt;
  const auto day = read_digits(text, position, 2);
  if (!day || !read_char(text, position, "Tt ")) return std::nullopt;
  const auto hour = read_digits(text, position, 2);
  if (!hour || *hour > 23 || !read_char(text, position, ":")) return std::nullopt;
  const auto minute = read_digits(text, position, 2);
  if (!minute || *minute > 59 || !read_char(text, position, ":")) return std::nullopt;
  const auto second = read_digits(text, position, 2);
  if (!second || *second > 60) return std::nullopt;
  int ms = 0;
  if (position < text.size() && text[position] == '.') {
    ++position;
    const auto fraction = read_fraction_ms(text, position);
    if (!fraction) return std::nullopt;
    ms = *fraction;
  }
  const auto offset = read_offset_minutes(text, position);
  if (!offset || position != text.size()) return std::nullopt;

  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + *hour) * 60 + *minute - *offset) * 60 + *second;
  // An offset or a leap second may lead out of the years that a text can name.
  const std::int64_t total_ms = seconds * 1000 + ms;
  if (total_ms < 0 || total_ms >= kYear10000Ms) return std::nullopt;
  return Timestamp{total_ms};
}

}  // namespace voketag::events
