#include "voketag/replay/replay_display.h"

#include <algorithm>
#include <ostream>
#include <utility>

namespace voketag::cli {
namespace {

constexpr auto kFrame = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(5);
constexpr int kBarColumns = 28;

}  // namespace

ReplayDisplay::ReplayDisplay(Terminal& terminal, std::string view)
    : terminal_(terminal), live_(terminal), view_(std::move(view)) {}

void ReplayDisplay::update(const ReplayProgress& progress) {
  const auto now = Clock::now();
  const bool drawn_over = terminal_.traits().error_is_terminal;
  const bool is_new = progress.stage != last_stage_;
  if (!is_new && now - shown_at_ < (drawn_over ? Clock::duration(kFrame) : kPlainInterval)) return;
  shown_at_ = now;
  last_stage_ = progress.stage;
  if (drawn_over) {
    live_.draw({line(progress, true)});
  } else {
    terminal_.error() << line(progress, false) << '\n';
    terminal_.error().flush();
  }
}

void ReplayDisplay::finish() {
  live_.keep();
}

std::string ReplayDisplay::line(const ReplayProgress& progress, bool with_bar) const {
  std::string text = view_ + ": " + progress.stage;
  if (progress.stage == "indexing" && progress.index_fraction >= 0) {
    text += "  " + std::to_string(static_cast<int>(progress.index_fraction * 100)) + " %";
  }
  if (progress.stage != "loading" && progress.stage != "following") return text;
  const double fraction = progress.total == 0 ? 1
                                              : static_cast<double>(progress.done) /
                                                    static_cast<double>(progress.total);
  const int columns = std::clamp(terminal_.traits().width - 84, 0, kBarColumns);
  if (with_bar && columns >= 8) text += "  " + progress_bar(terminal_, fraction, columns);
  text +=
      "  " + with_thousands(progress.done) + " of " + with_thousands(progress.total) + " offsets";
  if (progress.stage == "loading" && progress.offsets_per_second > 0)
    text += "  " + rate_text(progress.offsets_per_second);
  if (progress.left_ms > 0) text += "  " + duration_text(progress.left_ms) + " left";
  if (progress.rejects > 0) text += "  " + with_thousands(progress.rejects) + " refused";
  return text;
}

}  // namespace voketag::cli
