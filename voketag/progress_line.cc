#include "voketag/progress_line.h"

#include <ostream>

namespace voketag::cli {
namespace {

constexpr auto kFrame = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(5);
constexpr int kBarColumns = 28;

}  // namespace

void ProgressLine::update(const std::string& name, std::int64_t done, std::int64_t total,
                          std::string_view unit) {
  const auto now = std::chrono::steady_clock::now();
  const bool drawn_over = terminal_.traits().error_is_terminal;
  if (now - shown_at_ < (drawn_over ? std::chrono::milliseconds(kFrame) : kPlainInterval)) return;
  shown_at_ = now;
  const double fraction = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  std::string line = name;
  if (drawn_over) line += "  " + progress_bar(terminal_, fraction, kBarColumns);
  line += "  " + with_thousands(done) + " of " + with_thousands(total) + " " + std::string(unit);
  if (drawn_over) {
    live_.draw({line});
  } else {
    terminal_.error() << line << std::endl;
  }
}

}  // namespace voketag::cli
