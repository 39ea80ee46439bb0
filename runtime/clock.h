#pragma once

#include "events/timestamp.h"

namespace voketag::runtime {

// The wall clock, injected: it decides when a timer fires and when to commit, never what an event
// leads to. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual events::Timestamp now() const = 0;
};

class SystemClock final : public Clock {
 public:
  events::Timestamp now() const override;
};

}  // namespace voketag::runtime
