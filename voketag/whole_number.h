#pragma once

#include <cstdint>
#include <string_view>

#include "events/error.h"

namespace voketag::cli {

// A whole number in decimal digits, between two bounds. kInvalid says what it must be and, in few
// words however long it is, what it was.
events::Result<std::int64_t> parse_whole_number(std::string_view text, std::int64_t minimum,
                                                std::int64_t maximum);

}  // namespace voketag::cli
