#pragma once

#include <array>
#include <string_view>

namespace voketag::cli {

// The processors, in the order of the main job. Each has a role of the same name.
inline constexpr std::array<std::string_view, 5> kProcessorNames = {"ingress", "batches", "tokens",
                                                                    "merkle", "anchoring"};

}  // namespace voketag::cli
