#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace voketag::events {

// A UUID (RFC 9562): 16 bytes in network order.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Uuid&) const = default;

  // The canonical 36 characters, lower case.
  std::string to_string() const;

  // Accepts the 36-character form in either case, and nothing else (no braces, no urn: prefix).
  static std::optional<Uuid> parse(std::string_view text);

  // A version 5 UUID: SHA-1 over the namespace and the name (RFC 9562 §5.5).
  static Uuid v5(const Uuid& name_space, std::string_view name);
};

// The namespace of every id that VokeTag derives. Fixed for ever: another value would give every
// derived event another id.
inline constexpr Uuid kNamespace{{0x8f, 0x0b, 0x2a, 0x5e, 0x6d, 0x1c, 0x5f, 0x33, 0x9a, 0x47, 0x76,
                                  0x6f, 0x6b, 0x65, 0x74, 0x61}};

}  // namespace voketag::events
