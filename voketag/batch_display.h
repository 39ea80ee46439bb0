#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "voketag/batch_progress.h"
#include "voketag/terminal.h"

namespace voketag::cli {

// Shows a batch on its way: on a terminal as a few lines that change in place, elsewhere as one
// line on standard error per stage reached.
class BatchDisplay {
 public:
  explicit BatchDisplay(Terminal& terminal);

  // Draws what has changed; cheap enough to call after every poll.
  void update(const BatchProgress& progress);
  // Draws the last state, whatever was drawn before, and leaves it there.
  void finish(const BatchProgress& progress);

 private:
  using Clock = std::chrono::steady_clock;

  void draw(const BatchProgress& progress);
  void note_rate(std::int64_t generated);
  std::vector<std::string> lines(const BatchProgress& progress) const;
  std::string generation_line(const BatchProgress& progress) const;

  Terminal& terminal_;
  LiveLines live_;
  Clock::time_point started_;
  Clock::time_point last_drawn_;
  std::int64_t first_generated_ = -1;  // when the display began to count
  Clock::time_point first_generated_at_;
  double per_second_ = 0;
  int frame_ = 0;
  BatchProgress::Stage last_stage_ = BatchProgress::Stage::kUnknown;
  bool any_stage_ = false;
};

// What a finished command says about a batch, for people.
void print_batch(Terminal& terminal, const BatchProgress& progress);

// The same for programs, as the members of a JSON object.
std::string batch_json(const BatchProgress& progress);

}  // namespace voketag::cli
