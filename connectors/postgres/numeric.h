#pragma once

#include <string_view>

#include "connectors/postgres/byte_buffer.h"

namespace voketag::postgres {

// PostgreSQL's binary form of type numeric (src/backend/utils/adt/numeric.c, numeric_recv): four
// int16, then the digits in base 10,000, most significant first:
//
//    ndigits | weight (power of 10,000 of the first digit) | sign 0x0000 or 0x4000 | dscale
//
// Written without leading and trailing zero digits, so that equal numbers differ in dscale alone.

// Digits on both sides of the point that are taken; PostgreSQL itself takes more.
inline constexpr std::size_t kNumericDigitsMax = 1'000;

// Appends an optional sign, digits and an optional fraction; false, and nothing appended, for
// anything else.
bool append_numeric(ByteBuffer& buffer, std::string_view decimal);

// Negative, zero or positive as `left` is less than, equal to or greater than `right`; both as
// append_numeric wrote them.
int compare_numeric(std::string_view left, std::string_view right);

}  // namespace voketag::postgres
