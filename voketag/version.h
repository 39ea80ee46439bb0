#pragma once

#include <string_view>

namespace voketag::cli {

inline constexpr std::string_view kVersion = VOKETAG_VERSION;

}  // namespace voketag::cli
