#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "voketag/terminal.h"

namespace voketag::cli {

// How far a long piece of work is, on standard error: a line that is drawn over on a terminal, else
// one every few seconds. Not thread-safe.
class ProgressLine {
 public:
  explicit ProgressLine(Terminal& terminal) : terminal_(terminal), live_(terminal) {}

  // May be called as often as anything is done.
  void update(const std::string& name, std::int64_t done, std::int64_t total,
              std::string_view unit);
  // Takes the line away.
  void clear() { live_.clear(); }

 private:
  Terminal& terminal_;
  LiveLines live_;
  // The first line of a short run would only flicker.
  std::chrono::steady_clock::time_point shown_at_ = std::chrono::steady_clock::now();
};

}  // namespace voketag::cli
