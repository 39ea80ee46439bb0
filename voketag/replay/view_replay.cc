#include "voketag/replay/view_replay.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "connectors/postgres/generation_tables.h"
#include "voketag/replay/replay_inputs.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::Result;
using events::Status;

constexpr std::int64_t kAskIntervalMs = 500;
constexpr int kMeetAttempts = 5;
// The live projector stands still meanwhile.
constexpr std::int64_t kMeetMs = 5'000;
constexpr auto kMeetPause = std::chrono::milliseconds(300);
// A round that took no longer leaves less than that to do for the next.
constexpr std::int64_t kShortRoundMs = 300;
constexpr int kLoadRounds = 10;

std::int64_t sum(std::span<const std::int64_t> offsets) {
  std::int64_t total = 0;
  for (const auto offset : offsets) total += offset;
  return total;
}

}  // namespace

ViewReplay::ViewReplay(runtime::Log& log, processors::Projection& projection,
                       postgres::ViewGenerations& generations,
                       const postgres::ConnectionOptions& views, ViewReplayOptions options,
                       const std::atomic<bool>& stop, Watch watch)
    : log_(log),
      projection_(projection),
      generations_(generations),
      views_(views),
      options_(std::move(options)),
      stop_(stop),
      watch_(std::move(watch)),
      partitions_(input_partitions(projection)) {}

// ---- beginning ----------------------------------------------------------------------------------

Result<ReplayResult> ViewReplay::start(const std::string& program) {
  const auto surveyed = survey_partitions(log_, generations_, partitions_);
  if (!surveyed) return tl::unexpected(surveyed.error());
  auto fetcher = log_.open_fetcher(runtime::Isolation::kReadCommitted);
  if (!fetcher) return tl::unexpected(fetcher.error());
  const auto first = first_offsets(options_.start, *surveyed, **fetcher);
  if (!first) return tl::unexpected(first.error());
  postgres::GenerationPlan plan{options_.started_from, false, program, *first};
  for (const auto& from : *first) plan.is_partial = plan.is_partial || from.offset > 0;
  const auto generation = generations_.begin(plan);
  if (!generation) return tl::unexpected(generation.error());
  return resume(*generation);
}

Result<ReplayResult> ViewReplay::resume(const postgres::Generation& generation) {
  result_.generation = generation.number;
  result_.is_partial = generation.is_partial;
  phase_ = generation.phase;
  if (auto heard = generations_.rows().forget_old_wish(generation.number); !heard) {
    return tl::unexpected(heard.error());
  }
  if (auto placed = place(); !placed) return tl::unexpected(placed.error());
  return build();
}

Status ViewReplay::place() {
  const auto positions = generations_.rows().positions(result_.generation);
  if (!positions) return tl::unexpected(positions.error());
  // An input that the projection has got since the replay was begun.
  if (positions->size() != partitions_.size()) {
    return events::fail(Errc::kConflict,
                        "the unfinished generation reads other topics than this program: abort it "
                        "(--abort) and begin anew");
  }
  first_.assign(partitions_.size(), 0);
  for (const auto& position : *positions) {
    const auto found = std::find(partitions_.begin(), partitions_.end(), position.partition);
    if (found == partitions_.end()) continue;
    first_[static_cast<std::size_t>(found - partitions_.begin())] = position.first_offset;
  }
  postgres::PostgresViewSinkOptions sink;
  sink.connection = views_;
  sink.projection = projection_.name();
  sink.generation = result_.generation;
  sink.table_suffix = postgres::generation_suffix(result_.generation);
  sink.purpose = "replay";
  sink_ = std::make_unique<postgres::PostgresViewSink>(sink, projection_.views());
  rejects_.emplace(generations_.rejects_of(result_.generation));
  replayer_ = std::make_unique<runtime::Replayer>(log_, projection_, *sink_, *rejects_, clock_);
  return replayer_->place(partitions_);
}

// ---- the way ------------------------------------------------------------------------------------

Result<ReplayResult> ViewReplay::build() {
  for (const auto step :
       {&ViewReplay::load, &ViewReplay::make_indexes, &ViewReplay::load, &ViewReplay::compare}) {
    const auto done = (this->*step)();
    if (!done) return tl::unexpected(done.error());
    if (!*done) return interrupted();
  }
  result_.why = why_not_swapped();
  if (!result_.why.empty() || !options_.swap) {
    result_.end = result_.why.empty() ? ReplayEnd::kBuilt : ReplayEnd::kRefused;
    return result_;
  }
  return swap();
}

std::string ViewReplay::why_not_swapped() const {
  bool equal = true;
  for (const auto& table : result_.comparison) {
    const bool covered_equal = table.only_built == 0 && table.different == 0;
    equal = equal && (table.equal() || (result_.is_partial && covered_equal));
  }
  if (!equal && !options_.accept_differences) {
    return "the generations differ. Look at the rows; if the new ones are right, swap with "
           "--resume --accept-differences";
  }
  if (result_.is_partial && !options_.accept_loss) {
    return "the new generation has no rows of records before those it began with. Where they are "
           "not wanted, swap with --resume --accept-loss";
  }
  return "";
}

Result<ReplayResult> ViewReplay::interrupted() {
  if (lost_) return tl::unexpected(*lost_);
  result_.end = wish_ == "abort" ? ReplayEnd::kAborted : ReplayEnd::kInterrupted;
  return result_;
}

bool ViewReplay::go_on() {
  const std::int64_t now_ms = clock_.moment().ms;
  if (now_ms - asked_at_ms_ >= kAskIntervalMs) {
    asked_at_ms_ = now_ms;
    ask();
  }
  if (replayer_) measure(replayer_->positions());
  watch_(result_.progress);
  return !stop_ && wish_.empty() && !lost_;
}

void ViewReplay::ask() {
  if (auto wish = generations_.rows().wish_of(result_.generation)) {
    wish_ = *std::move(wish);
  } else {
    // The connection that holds the lock: another process may be at work from here on.
    lost_ = std::move(wish.error());
    return;
  }
  if (result_.progress.stage != "indexing") return;
  const auto fraction = generations_.index_progress();
  result_.progress.index_fraction = fraction && *fraction ? **fraction : -1;
}

void ViewReplay::measure(std::span<const std::int64_t> positions) {
  ReplayProgress& progress = result_.progress;
  progress.done = sum(positions) - sum(first_);
  progress.total = std::max(progress.done, sum(targets_) - sum(first_));
  progress.records = replayer_->counts().records;
  progress.rejects = replayer_->counts().rejects;
  const std::int64_t elapsed_ms = clock_.now().ms - began_at_ms_;
  if (elapsed_ms < 500 || progress.done <= began_done_) return;
  progress.offsets_per_second =
      static_cast<double>(progress.done - began_done_) * 1'000 / static_cast<double>(elapsed_ms);
  progress.left_ms = static_cast<std::int64_t>(static_cast<double>(progress.total - progress.done) *
                                               1'000 / progress.offsets_per_second);
}

// To where the live view stands; again, as long as it has gone far meanwhile.
Result<bool> ViewReplay::load() {
  const std::int64_t began_ms = clock_.now().ms;
  result_.progress.stage = phase_ == "built" ? "following" : "loading";
  began_at_ms_ = began_ms;
  began_done_ = sum(replayer_->positions()) - sum(first_);
  for (int round = 0; round < kLoadRounds; ++round) {
    const auto live = generations_.rows().live_positions(partitions_);
    if (!live) return tl::unexpected(live.error());
    targets_ = *live;
    const std::int64_t round_began_ms = clock_.now().ms;
    const auto arrived = replayer_->run_to(*live, [this] { return go_on(); });
    if (!arrived) return arrived;
    if (!*arrived) return false;
    if (clock_.now().ms - round_began_ms < kShortRoundMs) break;
  }
  result_.load_ms += clock_.now().ms - began_ms;
  return go_on();
}

Result<bool> ViewReplay::make_indexes() {
  const std::int64_t began_ms = clock_.now().ms;
  result_.progress.stage = "indexing";
  if (phase_ == "loading") {
    if (auto set = generations_.rows().set_phase(result_.generation, "indexing"); !set) {
      return tl::unexpected(set.error());
    }
  }
  const auto made = generations_.run_long(
      [this]() -> Status {
        auto created = generations_.create_indexes(result_.generation);
        if (!created || phase_ == "built") return created;
        return generations_.analyze(result_.generation);
      },
      [this] { return go_on(); });
  if (!made && made.error().code == Errc::kTimeout) return false;
  if (!made) return tl::unexpected(made.error());
  if (auto set = generations_.rows().set_phase(result_.generation, "built"); !set) {
    return tl::unexpected(set.error());
  }
  phase_ = "built";
  result_.index_ms += clock_.now().ms - began_ms;
  return go_on();
}

// Brings both generations to stand at equal offsets, frozen.
Result<bool> ViewReplay::meet() {
  events::Error trouble;
  for (int attempt = 0; attempt < kMeetAttempts; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kMeetPause);
    const auto near = load();
    if (!near || !*near) return near;
    frozen_at_ms_ = clock_.now().ms;
    const auto frozen = generations_.freeze(partitions_);
    if (!frozen) {
      trouble = frozen.error();
      if (trouble.code != Errc::kUnavailable) return tl::unexpected(trouble);
      continue;
    }
    targets_ = *frozen;
    const auto arrived = replayer_->run_to(
        *frozen, [&] { return !stop_ && clock_.now().ms - frozen_at_ms_ < kMeetMs; });
    if (arrived && *arrived) return true;
    generations_.thaw();
    if (!arrived) return arrived;
    if (stop_) return false;
    trouble = {Errc::kTimeout, "the live view is written faster than the new generation follows"};
  }
  return tl::unexpected(trouble);
}

Result<bool> ViewReplay::compare() {
  const std::int64_t began_ms = clock_.now().ms;
  const auto met = meet();
  if (!met || !*met) return met;
  const auto taken = generations_.take_snapshot();
  generations_.thaw();
  if (!taken) return tl::unexpected(taken.error());
  result_.progress.stage = "comparing";
  const auto compared = generations_.run_long(
      [this]() -> Status {
        auto tables = generations_.compare(result_.generation);
        if (!tables) return tl::unexpected(tables.error());
        result_.comparison = *std::move(tables);
        return {};
      },
      [this] { return go_on(); });
  if (!compared && compared.error().code == Errc::kTimeout) return false;
  if (!compared) return tl::unexpected(compared.error());
  result_.compare_ms = clock_.now().ms - began_ms;
  return go_on();
}

Result<ReplayResult> ViewReplay::swap() {
  const auto met = meet();
  if (!met) return tl::unexpected(met.error());
  if (!*met) return interrupted();
  result_.progress.stage = "swapping";
  watch_(result_.progress);
  const auto swapped =
      generations_.swap(result_.generation, options_.lock_timeout_ms, options_.keep_retired);
  result_.frozen_ms = clock_.now().ms - frozen_at_ms_;
  if (!swapped && swapped.error().code == Errc::kConflict) {
    result_.end = ReplayEnd::kRefused;
    result_.why = swapped.error().message + ". The new generation waits: try again with --resume";
    return result_;
  }
  is_swap_unknown_ = !swapped && swapped.error().code == Errc::kTimeout;
  if (!swapped) return tl::unexpected(swapped.error());
  result_.end = ReplayEnd::kSwapped;
  result_.retired = swapped->retired;
  return result_;
}

}  // namespace voketag::cli
