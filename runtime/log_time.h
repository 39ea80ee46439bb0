#pragma once

#include "events/timestamp.h"
#include "runtime/clock.h"

namespace voketag::runtime {

// What time it is by the brokers' clocks: the latest time that the log has shown, and what has
// passed since by the steady clock of this process. A timer is set relative to the time of a
// record, which a broker gave it; so this is what it is held against. The wall clock of this
// machine has no say: whatever it is set to, a timer fires as late as it was meant to.
//
// It never goes back. Where a broker's clock was ahead and is set right, it stays ahead, as does
// the time that tasks have seen and that their timers are set by: a timer then fires as long after
// its record as it should, and not hours later.
class LogTime {
 public:
  // The log shows that it was `time` at `at`, or later.
  void see(events::Timestamp time, Moment at) {
    if (time <= now(at)) return;
    seen_ = time;
    seen_at_ = at;
  }
  events::Timestamp now(Moment at) const { return {seen_.ms + at.ms - seen_at_.ms}; }

 private:
  events::Timestamp seen_;
  Moment seen_at_;
};

}  // namespace voketag::runtime
