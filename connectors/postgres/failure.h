#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "events/error.h"

namespace voketag::postgres {

// What may be done about a failure of the database.
enum class FailureKind {
  kRetry,    // the same transaction may succeed when run again, as often as the caller's deadline
             // allows: deadlock, serialization, timeout while waiting for a lock or of a statement
  kRefused,  // the database will never take this row: wrong encoding, out of range, a constraint
  kFenced,   // another owner has moved the position that this one meant to move
  kUnavailable,  // the connection is gone or the server cannot work now; whether an open COMMIT
                 // took effect is unknown
  kFatal,        // the program, its rights and the database do not fit together
};

struct Failure {
  FailureKind kind = FailureKind::kFatal;
  std::string sqlstate;  // five characters; empty when the server did not say
  std::string message;   // one line, never with a password
};

template <class T>
using Outcome = tl::expected<T, Failure>;

inline tl::unexpected<Failure> fail(FailureKind kind, std::string message) {
  return tl::unexpected<Failure>(Failure{kind, {}, std::move(message)});
}

// Raised by voketag.advance_positions (migration 0001); a class that PostgreSQL leaves to users.
inline constexpr std::string_view kFencedSqlstate = "VT001";

// A lock was not to be had within lock_timeout.
inline constexpr std::string_view kLockNotAvailable = "55P03";

// What a SQLSTATE (PostgreSQL 15, appendix A) allows.
FailureKind classify(std::string_view sqlstate);

// The same in the words of the rest of the program.
events::Error to_error(const Failure& failure);

}  // namespace voketag::postgres
