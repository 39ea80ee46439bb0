#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "events/error.h"

namespace voketag::cli {

// The name that was probably meant by a misspelt one: the candidate that needs the fewest changes
// of single characters (a swap of neighbours is one), if they are few enough to be a slip.
std::optional<std::string> nearest_name(std::string_view wrong,
                                        std::span<const std::string> candidates);

// kInvalid when `name` is none of those that `option` takes, with the one that was probably meant
// and all that there are.
events::Status check_name(std::string_view option, std::string_view name,
                          std::span<const std::string> known);

}  // namespace voketag::cli
