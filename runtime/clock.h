#pragma once

#include <compare>
#include <cstdint>

#include "events/timestamp.h"

namespace voketag::runtime {

// A moment within the life of this process: only the distance of two of them means anything. A type
// of its own, so that nobody holds one against a time of day. Zero is long past.
struct Moment {
  std::int64_t ms = 0;
  auto operator<=>(const Moment&) const = default;
};

// Two kinds of time, injected. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // The time of day, for what another process is to read: how old a store is, what a person is
  // told. It may be set back or forward by hours at any moment; so nothing waits by it, and it
  // reaches no event.
  virtual events::Timestamp now() const = 0;
  // For delays and ages within this process: goes on evenly whatever the time of day is set to.
  virtual Moment moment() const = 0;
};

class SystemClock final : public Clock {
 public:
  events::Timestamp now() const override;
  Moment moment() const override;
};

}  // namespace voketag::runtime
