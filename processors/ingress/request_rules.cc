#include "processors/ingress/request_rules.h"

#include <algorithm>
#include <string>

namespace voketag::processors {
namespace {

using events::Errc;
using events::fail;
using events::Status;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_name_or_address(std::string_view host) {
  return !host.empty() && host.front() != '.' && host.front() != '-' &&
         host.find("..") == std::string_view::npos &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
         });
}

// The inside of brackets: hexadecimal groups and colons, perhaps with an IPv4 tail. Whether it is
// an address that exists is for whoever connects to it.
bool is_bracketed_address(std::string_view inside) {
  return std::count(inside.begin(), inside.end(), ':') >= 2 &&
         std::all_of(inside.begin(), inside.end(),
                     [](char c) { return is_hex_digit(c) || c == ':' || c == '.'; });
}

bool is_port(std::string_view port) {
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), is_digit)) {
    return false;
  }
  const int number = std::stoi(std::string(port));
  return number >= 1 && number <= 65535;
}

// Splits "host", "host:port", "[v6]" or "[v6]:port".
bool is_authority(std::string_view authority) {
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return false;
    if (!is_bracketed_address(authority.substr(1, end - 1))) return false;
    port = authority.substr(end + 1);
  } else {
    const auto colon = std::min(authority.find(':'), authority.size());
    if (!is_name_or_address(authority.substr(0, colon))) return false;
    port = authority.substr(colon);
  }
  return port.empty() || (port.front() == ':' && is_port(port.substr(1)));
}

bool has_scheme(std::string_view url, std::string_view scheme) {
  return url.size() >= scheme.size() &&
         std::equal(scheme.begin(), scheme.end(), url.begin(),
                    [](char a, char b) { return a == b || (is_letter(b) && a == (b | 0x20)); });
}

}  // namespace

Status check_gtin(std::string_view gtin) {
  const auto length = gtin.size();
  if (length != 8 && length != 12 && length != 13 && length != 14) {
    return fail(Errc::kInvalid, "gtin must have 8, 12, 13 or 14 digits, not " +
                                    std::to_string(length) + " characters");
  }
  if (!std::all_of(gtin.begin(), gtin.end(), is_digit)) {
    return fail(Errc::kInvalid, "gtin must consist of the digits 0 to 9");
  }
  int sum = 0;
  for (std::size_t i = 0; i + 1 < length; ++i) {
    const bool odd_from_right = (length - 1 - i) % 2 == 1;
    sum += (gtin[i] - '0') * (odd_from_right ? 3 : 1);
  }
  const int check_digit = (10 - sum % 10) % 10;
  if (gtin.back() - '0' != check_digit) {
    return fail(Errc::kInvalid, "gtin " + std::string(gtin) + " must end in its check digit " +
                                    std::to_string(check_digit) + ", not " + gtin.back());
  }
  return {};
}

Status check_callback_url(std::string_view url) {
  const bool is_printable =
      std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!is_printable) {
    return fail(Errc::kInvalid,
                "callback_url must be printable ASCII without spaces; percent-encode the others");
  }
  const std::size_t scheme_bytes =
      has_scheme(url, "https://") ? 8 : (has_scheme(url, "http://") ? 7 : 0);
  if (scheme_bytes == 0) {
    return fail(Errc::kInvalid, "callback_url must begin with https:// or http://");
  }
  if (url.find('#') != std::string_view::npos) {
    return fail(Errc::kInvalid, "callback_url must have no fragment (#...)");
  }
  const auto rest = url.substr(scheme_bytes);
  const auto authority = rest.substr(0, rest.find_first_of("/?\\"));
  if (authority.find('@') != std::string_view::npos) {
    return fail(Errc::kInvalid, "callback_url must carry no user name or password");
  }
  if (!is_authority(authority)) {
    return fail(Errc::kInvalid,
                "callback_url must name a host and, where it names a port, one from 1 to 65535");
  }
  return {};
}

}  // namespace voketag::processors
