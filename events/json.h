#pragma once

#include <string>
#include <string_view>

#include "events/error.h"

namespace voketag::events {

// The canonical form of a JSON object (RFC 8785): no white space, members in the order of their
// names' UTF-16 code units, numbers as ECMAScript writes them, strings with as few escapes as JSON
// allows. Objects that mean the same have the same canonical form.
//
// Errors (kInvalid): not a JSON object, bytes that are not UTF-8, lone surrogates, two members of
// one name in one object, a number that a 64-bit float cannot hold, more than 64 levels, the
// character U+0000 (PostgreSQL cannot store it). A number with more digits than a 64-bit float has
// is rounded to the nearest one, as the RFC says: identifiers belong into strings.
Result<std::string> canonical_json(std::string_view object);

// A number as ECMAScript's Number::toString writes it: the shortest digits that read back to the
// same value; 1e+21 and above and below 1e-6 with an exponent. `value` must be finite.
std::string canonical_number(double value);

}  // namespace voketag::events
