#include "voketag/replay/dry_run.h"

#include <algorithm>

#include "voketag/replay/counting_sink.h"
#include "voketag/replay/replay_inputs.h"

namespace voketag::cli {
namespace {

using events::Result;
using events::Status;

constexpr std::size_t kRejectsKept = 20;
// What a row costs the server beside its projection: written, and sorted into one index, on one
// core of 2024 (docs/decisions/0012-replay-of-views.md). Merged rows cost more, and are few.
constexpr double kServerMicrosecondsPerRow = 1.5;

class FirstRejects final : public runtime::ReplayRejectList {
 public:
  Status add(std::span<const runtime::ReplayReject> rejects) override {
    count_ += static_cast<std::int64_t>(rejects.size());
    for (const auto& reject : rejects) {
      if (kept_.size() < kRejectsKept) kept_.push_back(reject);
    }
    return {};
  }
  std::int64_t count() const { return count_; }
  const std::vector<runtime::ReplayReject>& kept() const { return kept_; }

 private:
  std::int64_t count_ = 0;
  std::vector<runtime::ReplayReject> kept_;
};

}  // namespace

Result<DryRunReport> run_dry(runtime::Log& log, processors::Projection& projection,
                             postgres::ViewGenerations& generations, const ReplayStart& start,
                             const std::atomic<bool>& stop, const ViewReplay::Watch& watch) {
  const auto partitions = input_partitions(projection);
  const auto survey = survey_partitions(log, generations, partitions);
  if (!survey) return tl::unexpected(survey.error());
  auto fetcher = log.open_fetcher(runtime::Isolation::kReadCommitted);
  if (!fetcher) return tl::unexpected(fetcher.error());
  const auto first = first_offsets(start, *survey, **fetcher);
  if (!first) return tl::unexpected(first.error());

  DryRunReport report;
  ReplayProgress progress;
  progress.stage = "loading";
  std::vector<std::int64_t> targets;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    targets.push_back((*survey)[i].live_offset);
    progress.total += targets.back() - (*first)[i].offset;
    report.is_partial = report.is_partial || (*first)[i].offset > 0;
  }
  CountingSink sink(*first);
  FirstRejects rejects;
  const runtime::SystemClock clock;
  runtime::Replayer replayer(log, projection, sink, rejects, clock);
  if (auto placed = replayer.place(partitions); !placed) return tl::unexpected(placed.error());
  const std::int64_t began_ms = clock.now().ms;
  const auto done = replayer.run_to(targets, [&] {
    const auto at = replayer.positions();
    progress.done = 0;
    for (std::size_t i = 0; i < at.size(); ++i) progress.done += at[i] - (*first)[i].offset;
    const std::int64_t elapsed_ms = std::max<std::int64_t>(1, clock.now().ms - began_ms);
    progress.offsets_per_second =
        static_cast<double>(progress.done) * 1'000 / static_cast<double>(elapsed_ms);
    progress.rejects = rejects.count();
    watch(progress);
    return !stop;
  });
  if (!done) return tl::unexpected(done.error());

  const auto obstacle = generations.why_not_replaceable();
  if (!obstacle) return tl::unexpected(obstacle.error());
  report.obstacle = *obstacle;
  report.complete = *done;
  report.records = replayer.counts().records;
  report.rows = sink.rows_of();
  report.bytes = sink.bytes();
  report.elapsed_ms = clock.now().ms - began_ms;
  std::int64_t rows = 0;
  for (const auto& [table, count] : report.rows) rows += count;
  report.estimated_ms =
      report.elapsed_ms +
      static_cast<std::int64_t>(static_cast<double>(rows) * kServerMicrosecondsPerRow / 1'000);
  report.reject_count = rejects.count();
  report.rejects = rejects.kept();
  const auto bytes = generations.live_bytes();
  if (!bytes) return tl::unexpected(bytes.error());
  report.live_bytes = *bytes;
  return report;
}

}  // namespace voketag::cli
