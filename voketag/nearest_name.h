#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace voketag::cli {

// The name that was probably meant by a misspelt one: the candidate that needs the fewest changes
// of single characters (a swap of neighbours is one), if they are few enough to be a slip.
std::optional<std::string> nearest_name(std::string_view wrong,
                                        std::span<const std::string> candidates);

}  // namespace voketag::cli
