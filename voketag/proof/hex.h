#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "processors/hash/sha256.h"

namespace voketag::cli {

// A hash as 64 lower-case hex digits, and back; nothing else is accepted.
std::string hash_hex(const processors::Hash& hash);
std::optional<processors::Hash> parse_hash_hex(std::string_view text);

}  // namespace voketag::cli
