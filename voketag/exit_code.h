#pragma once

#include "events/error.h"

namespace voketag::cli {

// What a command answers to the shell. Part of the public contract.
enum class ExitCode {
  kYes = 0,          // done, or: what was asked is so
  kNo = 1,           // failed, or: what was asked is not so
  kUsage = 2,        // the command line or the configuration is wrong
  kUnavailable = 3,  // Kafka or PostgreSQL did not answer; the same may succeed later
  kTimeout = 4,      // the time given ran out
};

constexpr ExitCode exit_code_of(events::Errc code) {
  switch (code) {
    case events::Errc::kInvalid:
      return ExitCode::kUsage;
    case events::Errc::kUnavailable:
      return ExitCode::kUnavailable;
    case events::Errc::kTimeout:
      return ExitCode::kTimeout;
    default:
      return ExitCode::kNo;
  }
}

}  // namespace voketag::cli
