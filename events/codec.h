#pragma once

#include <string>
#include <string_view>

#include "events/error.h"
#include "events/events.h"

namespace voketag::events {

// Reads an event from its JSON. Unknown members are ignored; a known member of the wrong type or
// outside its rule, a missing one, a duplicate one, bytes that are not UTF-8 or not JSON are
// errors (kInvalid) that name the member: `product_count must be between 1 and 10000000, not 0`.
// Integers must be written without fraction or exponent. At most 6 MiB of text.
// Thread-safe: each thread has its own parser.
template <class Event>
Result<Event> decode(std::string_view json);

// Writes an event as plain JSON: members in the order of fields(), absent optionals left out, no
// white space. Strings must be UTF-8. decode(encode(x)) gives x.
template <class Event>
std::string encode(const Event& event);

}  // namespace voketag::events
