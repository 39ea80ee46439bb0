#pragma once

#include <string>
#include <string_view>

namespace voketag::cli {

// Bytes of a stranger, made safe for a terminal: printable text stays (UTF-8 too), line ends stay
// if asked for, every other byte becomes \xNN and a backslash \\. So nothing moves the cursor,
// changes colours or hides text, and the bytes can be told from what is shown.
std::string escaped(std::string_view bytes, bool keep_line_ends = false);

// Cut to so many columns, with an ellipsis where something is missing.
std::string shortened(const std::string& text, std::size_t columns);

// Base64 (RFC 4648 §4), for bytes that are no text.
std::string base64(std::string_view bytes);
bool is_utf8(std::string_view bytes);

// Length in bytes of the well-formed UTF-8 character at the start of a text that is not empty
// (RFC 3629), or 0.
std::size_t utf8_length(std::string_view text);

}  // namespace voketag::cli
