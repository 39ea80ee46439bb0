#pragma once

#include <string_view>

#include "events/error.h"

// What a request must satisfy beyond its schema. Errors are kInvalid and say how to mend it.
namespace voketag::processors {

// A GS1 trade item number: 8, 12, 13 or 14 decimal digits of which the last is the check digit
// (GS1 General Specifications §7.9: weights 3 and 1 from the right, sum to a multiple of ten).
events::Status check_gtin(std::string_view gtin);

// An absolute http or https URL with a host: a name, an IPv4 address or a bracketed IPv6 address,
// and optionally a port from 1 to 65535. User names and passwords, fragments, white space, control
// characters and bytes outside ASCII are refused.
events::Status check_callback_url(std::string_view url);

}  // namespace voketag::processors
