#pragma once

#include <filesystem>
#include <string>

namespace voketag::scenarios {

// Runs a scenario file (README.md has the grammar) on the test driver, with `directory` for state.
// Empty: every expectation was met; else "<file>:<line>: what is wrong".
std::string run_scenario(const std::filesystem::path& file, const std::filesystem::path& directory);

}  // namespace voketag::scenarios
