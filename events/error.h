#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace voketag::events {

// Why an operation did not succeed. The code is for programs (exit codes, retry decisions), the
// message is for people and says what happened, to what, and what to do about it.
enum class Errc {
  kInvalid,      // the caller's input breaks a rule; the same input will fail again
  kNotFound,     // a thing that was named does not exist
  kConflict,     // the input contradicts what is already recorded
  kUnavailable,  // an outside service did not answer; the same call may succeed later
  kTimeout,      // the time given ran out; the outcome may be unknown
  kFenced,       // another owner has taken over; what this owner holds is void
  kCorrupt,      // stored bytes contradict their checksum or format
  kExhausted,    // a bound was reached: memory, disk, queue, attempts
  kInternal,     // a promise inside this program was broken; please report it
};

struct Error {
  Errc code = Errc::kInternal;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

// A result without a value.
using Status = Result<void>;

inline tl::unexpected<Error> fail(Errc code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

// The code's name in lower case, as logs and dead letters show it.
constexpr const char* to_string(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return "invalid";
    case Errc::kNotFound:
      return "not_found";
    case Errc::kConflict:
      return "conflict";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kFenced:
      return "fenced";
    case Errc::kCorrupt:
      return "corrupt";
    case Errc::kExhausted:
      return "exhausted";
    case Errc::kInternal:
      return "internal";
  }
  return "internal";
}

}  // namespace voketag::events
