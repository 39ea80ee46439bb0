#include "voketag/batch_display.h"

#include <algorithm>
#include <array>
#include <ostream>

#include "voketag/json_text.h"

namespace voketag::cli {
namespace {

using Stage = BatchProgress::Stage;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr auto kFrame = milliseconds(100);
constexpr int kBarColumns = 28;

std::string padded(std::string text, std::size_t columns) {
  const std::size_t width = display_width(text);
  if (width < columns) text += std::string(columns - width, ' ');
  return text;
}

// Time between two records; 0 where one is missing or clocks disagree.
std::string between(events::Timestamp from, events::Timestamp to) {
  if (from.ms == 0 || to.ms == 0) return "";
  return duration_text(std::max<std::int64_t>(0, to.ms - from.ms));
}

}  // namespace

BatchDisplay::BatchDisplay(Terminal& terminal)
    : terminal_(terminal), live_(terminal), started_(Clock::now()) {}

void BatchDisplay::update(const BatchProgress& progress) {
  note_rate(progress.generated());
  if (!terminal_.traits().error_is_terminal) {
    const Stage stage = progress.stage();
    if (any_stage_ && stage == last_stage_) return;
    terminal_.error() << progress.batch_id() << ' '
                      << (stage == Stage::kUnknown ? "requested" : to_string(stage)) << '\n';
    terminal_.error().flush();
    last_stage_ = stage;
    any_stage_ = true;
    return;
  }
  if (Clock::now() - last_drawn_ >= kFrame) draw(progress);
}

void BatchDisplay::finish(const BatchProgress& progress) {
  update(progress);
  draw(progress);
  live_.keep();
}

void BatchDisplay::draw(const BatchProgress& progress) {
  live_.draw(lines(progress));
  last_drawn_ = Clock::now();
  ++frame_;
}

void BatchDisplay::note_rate(std::int64_t generated) {
  if (first_generated_ < 0) {
    first_generated_ = generated;
    first_generated_at_ = Clock::now();
    return;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - first_generated_at_).count();
  if (generated > first_generated_ && seconds > 0.2) {
    per_second_ = static_cast<double>(generated - first_generated_) / seconds;
  }
}

std::string BatchDisplay::generation_line(const BatchProgress& progress) const {
  const std::int64_t all = progress.product_count();
  const std::int64_t there = progress.generated();
  const double fraction = all == 0 ? 0 : static_cast<double>(there) / static_cast<double>(all);
  const std::string numbers = with_thousands(there) + " / " + with_thousands(all);
  const int columns = std::clamp(terminal_.traits().width - 62, 0, kBarColumns);
  std::string line = numbers;
  if (columns >= 8) line = progress_bar(terminal_, fraction, columns) + "  " + numbers;
  const bool has_room = static_cast<int>(display_width(line)) + 32 < terminal_.traits().width;
  if (per_second_ > 0 && there < all && has_room) {
    const double left_ms = static_cast<double>(all - there) / per_second_ * 1'000;
    line += "  " + rate_text(per_second_) + "  " + duration_text(static_cast<long long>(left_ms)) +
            " left";
  }
  return line;
}

std::vector<std::string> BatchDisplay::lines(const BatchProgress& progress) const {
  constexpr std::array<const char*, 10> kSpinner = {"⠋", "⠙", "⠹", "⠸", "⠼",
                                                    "⠴", "⠦", "⠧", "⠇", "⠏"};
  constexpr std::array<const char*, 4> kPlainSpinner = {"|", "/", "-", "\\"};
  const Paint paint = terminal_.error_paint();
  const auto frame = static_cast<std::size_t>(frame_);
  const std::string spinner =
      paint(Style::kCyan, terminal_.traits().unicode ? kSpinner[frame % kSpinner.size()]
                                                     : kPlainSpinner[frame % kPlainSpinner.size()]);
  const std::string done = paint(Style::kGreen, terminal_.tick());
  const std::string bad = paint(Style::kRed, terminal_.cross());
  const std::string elapsed = paint(
      Style::kDim, duration_text(duration_cast<milliseconds>(Clock::now() - started_).count()));
  const auto line = [&](const std::string& mark, const char* name, const std::string& rest) {
    return " " + mark + " " + padded(name, 12) + rest;
  };
  const Stage stage = progress.stage();
  const auto& times = progress.times();
  if (stage == Stage::kUnknown) return {line(spinner, "requested", elapsed)};
  if (stage == Stage::kRefused) return {line(bad, "refused", "")};

  std::vector<std::string> result = {line(done, "requested", "")};
  const bool generated = progress.root().has_value() || progress.completed().has_value();
  if (stage == Stage::kFailed) {
    result.push_back(line(bad, "failed", ""));
    return result;
  }
  result.push_back(
      line(generated ? done : spinner, "generating",
           generation_line(progress) +
               (generated ? "  " + paint(Style::kDim, between(times.accepted, times.root))
                          : std::string())));
  const bool anchored = progress.anchor().has_value() || progress.completed().has_value();
  if (anchored) {
    const std::string network =
        progress.anchor() ? progress.anchor()->network : progress.completed()->network;
    result.push_back(
        line(done, "anchoring",
             network + "  " + paint(Style::kDim, between(times.root, times.anchored))));
  } else if (stage == Stage::kAnchorFailed) {
    result.push_back(line(paint(Style::kYellow, "!"), "anchoring",
                          "failed, is tried again: " + progress.anchor_failure()->reason));
  } else {
    result.push_back(generated ? line(spinner, "anchoring", elapsed)
                               : paint(Style::kDim, "   anchoring"));
  }
  result.push_back(stage == Stage::kCompleted ? line(done, "completed", "")
                                              : paint(Style::kDim, "   completed"));
  return result;
}

void print_batch(Terminal& terminal, const BatchProgress& progress) {
  const Paint paint = terminal.output_paint();
  std::ostream& out = terminal.output();
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty())
      out << "  " << paint(Style::kDim, padded(std::string(name), 14)) << value << '\n';
  };
  const Stage stage = progress.stage();
  Style style = Style::kCyan;
  if (stage == Stage::kCompleted) style = Style::kGreen;
  if (stage == Stage::kFailed || stage == Stage::kRefused) style = Style::kRed;
  if (stage == Stage::kAnchorFailed) style = Style::kYellow;
  out << "Batch " << progress.batch_id() << ": " << paint(style, to_string(stage)) << '\n';
  if (const auto& accepted = progress.accepted()) {
    line("products", with_thousands(accepted->product_count));
    line("tenant", accepted->tenant);
    line("name", accepted->name.value_or(""));
    line("requested", accepted->requested_at.to_string());
  }
  if (stage == Stage::kGenerating) line("generated", with_thousands(progress.generated()));
  if (progress.root()) line("merkle root", progress.root()->merkle_root.to_string());
  if (const auto& anchor = progress.anchor()) {
    line("network",
         anchor->network == "mock" ? "mock (simulated: proves no point in time)" : anchor->network);
    line("transaction", anchor->transaction_id.text);
    line("block", with_thousands(anchor->block_number) + "  " + anchor->anchored_at.to_string());
  }
  if (stage == Stage::kAnchorFailed) {
    const auto& failure = *progress.anchor_failure();
    line("anchoring", failure.reason + ": " + failure.detail);
    if (failure.next_retry_at) line("tried again", failure.next_retry_at->to_string());
  }
  if (progress.completed()) line("completed", progress.completed()->completed_at.to_string());
  if (const auto& failed = progress.failed())
    line("reason", failed->reason + ": " + failed->detail);
  if (progress.refusal()) {
    // Beside a batch that is there, it was another request of its id.
    line(stage == Stage::kRefused ? "reason" : "also refused", *progress.refusal());
  }
}

std::string batch_json(const BatchProgress& progress) {
  JsonText json;
  json.begin_object()
      .member("batch_id", progress.batch_id())
      .member("status", to_string(progress.stage()))
      .member("product_count", progress.product_count())
      .member("generated", progress.generated());
  if (const auto& accepted = progress.accepted()) {
    json.member("tenant", accepted->tenant)
        .member("requested_at", accepted->requested_at.to_string());
  }
  if (progress.root()) json.member("merkle_root", progress.root()->merkle_root.to_string());
  if (const auto& anchor = progress.anchor()) {
    json.member("network", anchor->network)
        .member("transaction_id", anchor->transaction_id.text)
        .member("block_number", anchor->block_number)
        .member("anchored_at", anchor->anchored_at.to_string());
  }
  if (const auto& failure = progress.anchor_failure(); failure && !progress.anchor()) {
    json.member("anchor_error", failure->reason + ": " + failure->detail);
  }
  if (progress.completed())
    json.member("completed_at", progress.completed()->completed_at.to_string());
  if (const auto& failed = progress.failed()) {
    json.member("error", failed->reason + ": " + failed->detail);
  }
  if (progress.refusal()) json.member("refusal", *progress.refusal());
  return json.end_object().text();
}

}  // namespace voketag::cli
