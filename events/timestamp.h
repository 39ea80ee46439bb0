#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace voketag::events {

// A point in time: milliseconds since 1970-01-01T00:00:00Z, as Kafka's brokers count it.
struct Timestamp {
  std::int64_t ms = 0;

  auto operator<=>(const Timestamp&) const = default;

  // RFC 3339 in UTC with milliseconds: 2026-11-22T14:05:09.123Z.
  std::string to_string() const;

  // Accepts RFC 3339 with any offset and any number of fraction digits (those beyond milliseconds
  // are cut off). A leap second reads as the second after it. Years 1970 to 9999.
  static std::optional<Timestamp> parse(std::string_view text);
};

}  // namespace voketag::events
