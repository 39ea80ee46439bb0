#pragma once

#include <chrono>
#include <string>

#include "voketag/replay/view_replay.h"
#include "voketag/terminal.h"

namespace voketag::cli {

// Shows how a replay comes on, on standard error: one line that is drawn over on a terminal, else a
// line per stage and every few seconds.
class ReplayDisplay {
 public:
  ReplayDisplay(Terminal& terminal, std::string view);

  void update(const ReplayProgress& progress);
  // Leaves the last line where it is.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(const ReplayProgress& progress, bool with_bar) const;

  Terminal& terminal_;
  LiveLines live_;
  const std::string view_;
  std::string last_stage_;
  Clock::time_point shown_at_;
};

}  // namespace voketag::cli
