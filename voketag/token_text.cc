#include "voketag/token_text.h"

#include <array>
#include <cstdint>
#include <cstdio>

namespace voketag::cli {

events::Result<processors::Token> token_of(std::string_view token_or_url) {
  const std::size_t scheme = token_or_url.find("://");
  if (scheme == std::string_view::npos) return processors::parse_token(token_or_url);
  std::string_view path = token_or_url.substr(scheme + 3);
  path = path.substr(0, path.find_first_of("?#"));
  for (const std::string_view marker : {"/r/", "/21/"}) {
    const std::size_t place = path.rfind(marker);
    if (place == std::string_view::npos) continue;
    std::string_view token = path.substr(place + marker.size());
    token = token.substr(0, token.find('/'));
    return processors::parse_token(token);
  }
  return events::fail(events::Errc::kInvalid,
                      "the URL holds no token: it must look like https://.../r/TOKEN, or be a GS1 "
                      "Digital Link with .../21/TOKEN");
}

std::string verification_url(std::string_view base, std::string_view token) {
  return std::string(base) + "/r/" + std::string(token);
}

ProductIdParts parts_of(const events::Uuid& product_id) {
  const auto& bytes = product_id.bytes;
  std::int64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = (ms << 8) | bytes[static_cast<std::size_t>(i)];
  // 12 bits after the version, then 20 after the variant.
  const std::uint32_t high = (static_cast<std::uint32_t>(bytes[6] & 0x0FU) << 8) | bytes[7];
  const std::uint32_t low = (static_cast<std::uint32_t>(bytes[8] & 0x3FU) << 14) |
                            (static_cast<std::uint32_t>(bytes[9]) << 6) |
                            (static_cast<std::uint32_t>(bytes[10]) >> 2);
  std::array<char, 9> tag{};
  std::snprintf(tag.data(), tag.size(), "%08x", (high << 20) | low);
  return {{ms}, tag.data()};
}

}  // namespace voketag::cli
