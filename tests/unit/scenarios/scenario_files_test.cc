#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/test_driver.h"
#include "tests/scenarios/scenario.h"

namespace voketag::scenarios {
namespace {

std::vector<std::string> scenario_files() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(VOKETAG_SOURCE_DIR "/tests/scenarios")) {
    if (entry.path().extension() == ".scenario") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class ScenarioFile : public ::testing::TestWithParam<std::string> {};

TEST_P(ScenarioFile, Holds) {
  runtime::silence_log();
  const auto directory =
      std::filesystem::temp_directory_path() / ("voketag-scenario-" + std::to_string(::getpid()));
  EXPECT_EQ(run_scenario(GetParam(), directory), "");
}

INSTANTIATE_TEST_SUITE_P(All, ScenarioFile, ::testing::ValuesIn(scenario_files()),
                         [](const auto& file) {
                           auto name = std::filesystem::path(file.param).stem().string();
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace voketag::scenarios
