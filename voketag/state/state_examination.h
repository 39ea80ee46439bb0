#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/log.h"
#include "voketag/finding.h"

namespace voketag::cli {

// Whose state it should be.
struct StateOwner {
  std::string topic_prefix;
  std::string instance;
};

// Looks at an instance's state directory, also beside the process that holds it: room and rights,
// whether the database opens, whose it is. Writes nothing there, and does not make it. `log` tells
// whether the state belongs to the changelogs; null: that is not asked.
std::vector<Finding> examine_state(const std::filesystem::path& directory, const StateOwner& owner,
                                   runtime::Log* log);

}  // namespace voketag::cli
