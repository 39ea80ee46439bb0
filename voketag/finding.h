#pragma once

#include <string>

namespace voketag::cli {

enum class Health { kGood, kWarning, kBad };

// One thing that was examined: how it is, and what to do about it.
struct Finding {
  Health health = Health::kGood;
  std::string subject;
  std::string detail;
  std::string cure;  // empty: nothing is to be done
};

}  // namespace voketag::cli
