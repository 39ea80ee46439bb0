#include "connectors/postgres/view_generations.h"

#include <array>
#include <chrono>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>

#include "connectors/postgres/generation_swap.h"
#include "connectors/postgres/generation_tables.h"
#include "connectors/postgres/lock_holders.h"

namespace voketag::postgres {
namespace {

using events::Errc;
using events::Result;
using events::Status;
using processors::Merge;
using processors::View;
using runtime::TopicPartition;

// A class of advisory locks of our own; the object is the projection.
constexpr std::string_view kLockClass = "1986556210";
// Longer than any index takes; short of what a 32-bit number of milliseconds holds.
constexpr int kLongStatementMs = 7 * 86'400 * 1'000;
// A process that is stopped in the middle of a swap holds the live projector up for so long.
constexpr int kFreezeStatementMs = 10'000;
constexpr auto kLongTick = std::chrono::milliseconds(500);
// A statement that is cancelled ends within this, or its connection does.
constexpr std::int64_t kCancelMaxMs = 30'000;
// What came of a COMMIT whose answer was lost is asked for this long.
constexpr std::int64_t kFindOutMaxMs = 30'000;
constexpr auto kFindOutPoll = std::chrono::milliseconds(100);

Status status_of(const Outcome<void>& outcome) {
  if (!outcome) return tl::unexpected(to_error(outcome.error()));
  return {};
}
Status status_of(const Outcome<Rows>& outcome) {
  if (!outcome) return tl::unexpected(to_error(outcome.error()));
  return {};
}

}  // namespace

ViewGenerations::ViewGenerations(ConnectionOptions options, std::string projection,
                                 std::span<const View* const> views, Connection control)
    : options_(std::move(options)),
      projection_(std::move(projection)),
      views_(views.begin(), views.end()),
      control_(std::move(control)) {}

Result<ViewGenerations> ViewGenerations::open(const ConnectionOptions& options,
                                              std::string projection,
                                              std::span<const View* const> views) {
  ConnectionOptions named = options;
  named.application_name = "voketag.replay-control-" + projection;
  auto control = Connection::open(named);
  if (!control) return tl::unexpected(to_error(control.error()));
  named.application_name = "voketag.replay-" + projection;
  return ViewGenerations(std::move(named), std::move(projection), views, std::move(*control));
}

Result<Connection> ViewGenerations::connect(int statement_timeout_ms) {
  ConnectionOptions options = options_;
  options.statement_timeout_ms = statement_timeout_ms;
  auto opened = Connection::open(options);
  if (!opened) return tl::unexpected(to_error(opened.error()));
  // The server notices within seconds that nobody waits for its answer any more.
  auto configured = opened->execute("SET client_connection_check_interval = '2s'");
  if (!configured) return tl::unexpected(to_error(configured.error()));
  return std::move(*opened);
}

Result<Connection*> ViewGenerations::work() {
  if (!work_ || !work_->alive()) {
    auto opened = connect(kLongStatementMs);
    if (!opened) return tl::unexpected(opened.error());
    work_.emplace(std::move(*opened));
  }
  return &*work_;
}

// ---- who builds ---------------------------------------------------------------------------------

Result<bool> ViewGenerations::try_lock() {
  const std::array<Parameter, 2> parameters{kLockClass, projection_};
  const auto rows =
      control_.query("SELECT pg_try_advisory_lock($1::integer, hashtext($2))", parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return rows->text(0, 0) == "t";
}

Result<std::string> ViewGenerations::lock_holder() {
  const std::array<Parameter, 2> parameters{kLockClass, projection_};
  const auto rows = control_.query(
      "SELECT 'server process ' || held.pid || coalesce(' of a client at ' ||"
      "       host(activity.client_addr), '') || coalesce(', since ' ||"
      "       to_char(activity.backend_start AT TIME ZONE 'UTC', 'HH24:MI:SS') || ' UTC', '')"
      "  FROM pg_locks held LEFT JOIN pg_stat_activity activity USING (pid)"
      " WHERE held.locktype = 'advisory' AND held.classid::bigint = $1::bigint"
      "   AND held.objid::bigint = (hashtext($2)::bigint & 4294967295) AND held.granted"
      "   AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return rows->count() == 0 ? std::string() : std::string(rows->text(0, 0));
}

Status ViewGenerations::end_leftovers() {
  const std::array<Parameter, 1> parameters{options_.application_name};
  const auto ended = control_.query(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
      " WHERE application_name = $1 AND usename = current_user AND datname = current_database()"
      "   AND pid <> pg_backend_pid()",
      parameters);
  return status_of(ended);
}

// ---- their rows ---------------------------------------------------------------------------------

Outcome<Generation> ViewGenerations::begin_rows_and_tables(const GenerationPlan& plan) {
  auto begun = control_.execute("BEGIN");
  if (!begun) return tl::unexpected(begun.error());
  auto generation = rows().insert(plan);
  if (!generation) return generation;
  for (const View* view : views_) {
    auto created = create_generation_table(control_, *view, generation->number);
    // Rows that are merged need their key while they come; the others' are made at the end.
    if (created) {
      created = view->merge == Merge::kUpsert
                    ? create_missing_indexes(control_, *view, generation->number)
                    : set_autovacuum(control_, *view, generation->number, false);
    }
    if (!created) return tl::unexpected(created.error());
  }
  auto committed = control_.commit();
  if (!committed) return tl::unexpected(committed.error());
  return generation;
}

Result<Generation> ViewGenerations::begin(const GenerationPlan& plan) {
  auto begun = begin_rows_and_tables(plan);
  if (begun) return *std::move(begun);
  control_.rollback();
  return tl::unexpected(to_error(begun.error()));
}

Status ViewGenerations::drop(std::int32_t generation) {
  const auto dropped = [&]() -> Outcome<void> {
    auto begun = control_.execute("BEGIN");
    if (!begun) return tl::unexpected(begun.error());
    for (const View* view : views_) {
      auto table = drop_generation_table(control_, *view, generation);
      if (!table) return table;
    }
    auto rows_dropped = rows().make_dropped(generation);
    return rows_dropped ? control_.commit() : rows_dropped;
  }();
  if (!dropped) control_.rollback();
  return status_of(dropped);
}

// ---- their tables -------------------------------------------------------------------------------

Status ViewGenerations::create_indexes(std::int32_t generation) {
  for (const View* view : views_) {
    if (auto created = create_indexes(*view, generation); !created) return created;
    if (view->merge == Merge::kUpsert) continue;
    const auto cleaned = set_autovacuum(*work_, *view, generation, true);
    if (!cleaned) return tl::unexpected(to_error(cleaned.error()));
  }
  return {};
}

Status ViewGenerations::create_indexes(const View& view, std::int32_t generation) {
  auto connection = work();
  if (!connection) return tl::unexpected(connection.error());
  auto created = create_missing_indexes(**connection, view, generation);
  const bool doubled = !created && created.error().sqlstate == "23505";
  if (!doubled || view.merge != Merge::kInsert) return status_of(created);
  const auto done = create_indexes_without_duplicates(view, generation);
  if (!done) (*connection)->rollback();
  return status_of(done);
}

Outcome<void> ViewGenerations::create_indexes_without_duplicates(const View& view,
                                                                 std::int32_t generation) {
  auto begun = work_->execute("BEGIN");
  if (!begun) return tl::unexpected(begun.error());
  const auto keys = delete_later_duplicates(*work_, view, generation);
  if (!keys) return tl::unexpected(keys.error());
  auto done = rejects_of(generation).add_duplicates(*work_, view, *keys);
  if (done) done = create_missing_indexes(*work_, view, generation);
  return done ? work_->commit() : done;
}

Result<std::optional<double>> ViewGenerations::index_progress() {
  if (!work_ || !work_->alive()) return std::nullopt;
  const std::string process = std::to_string(work_->backend_id());
  const std::array<Parameter, 1> parameters{process};
  const auto rows = control_.query(
      "SELECT greatest(blocks_done::float8 / nullif(blocks_total, 0),"
      "                tuples_done::float8 / nullif(tuples_total, 0))"
      "  FROM pg_stat_progress_create_index WHERE pid = $1::integer",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  if (rows->count() == 0 || rows->is_null(0, 0)) return std::nullopt;
  return std::strtod(std::string(rows->text(0, 0)).c_str(), nullptr);
}

Status ViewGenerations::analyze(std::int32_t generation) {
  auto connection = work();
  if (!connection) return tl::unexpected(connection.error());
  return status_of(
      (*connection)->execute("ANALYZE " + table_list(views_, generation_suffix(generation))));
}

Result<std::string> ViewGenerations::why_not_replaceable() {
  const auto reason = dependents(control_, views_);
  if (!reason) return tl::unexpected(to_error(reason.error()));
  return *reason;
}

Result<std::int64_t> ViewGenerations::live_bytes() {
  std::string sum;
  for (const View* view : views_) {
    sum += (sum.empty() ? "" : " + ") +
           ("pg_total_relation_size('voketag." + std::string(view->name) + "')");
  }
  const auto rows = control_.execute("SELECT " + sum);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return rows->int64(0, 0);
}

Status ViewGenerations::run_long(const std::function<Status()>& work_to_do,
                                 const std::function<bool()>& go_on) {
  if (auto connection = work(); !connection) return tl::unexpected(connection.error());
  const std::string process = std::to_string(work_->backend_id());
  const Cutter cutter = work_->cutter();
  auto done = std::async(std::launch::async, work_to_do);
  std::optional<std::int64_t> cancelled_at_ms;
  while (done.wait_for(kLongTick) != std::future_status::ready) {
    if (!cancelled_at_ms && go_on()) continue;
    if (!cancelled_at_ms) cancelled_at_ms = steady_now_ms();
    const std::array<Parameter, 1> parameters{process};
    // Again and again: between two statements there is nothing to cancel.
    const auto asked = control_.query("SELECT pg_cancel_backend($1::integer)", parameters);
    if (asked && steady_now_ms() - *cancelled_at_ms < kCancelMaxMs) continue;
    // Nobody there to ask, or it does not help. The server ends the statement of a client that is
    // gone (connect() says within what time).
    cutter.cut();
  }
  auto status = done.get();
  if (cancelled_at_ms && !status) return events::fail(Errc::kTimeout, "cancelled as asked");
  return status;
}

// ---- equal offsets ------------------------------------------------------------------------------

Result<std::vector<std::int64_t>> ViewGenerations::freeze(
    std::span<const TopicPartition> partitions) {
  auto connection = connect(kFreezeStatementMs);
  if (!connection) return tl::unexpected(connection.error());
  freeze_.emplace(std::move(*connection));
  // Tables first and positions after, as a projector's transaction does.
  std::string wanted = table_list(views_);
  auto frozen = [&]() -> Outcome<GenerationRows::LivePositions> {
    auto locked =
        freeze_->execute("BEGIN; SET LOCAL lock_timeout = " + std::to_string(kWriterLockTimeoutMs) +
                         "; LOCK TABLE " + wanted + " IN SHARE ROW EXCLUSIVE MODE");
    if (!locked) return tl::unexpected(locked.error());
    wanted = "voketag.projection_positions";
    return GenerationRows(*freeze_, projection_).lock_live_positions(partitions);
  }();
  if (!frozen) {
    thaw();
    Failure& failure = frozen.error();
    if (failure.kind == FailureKind::kRetry) {
      failure.message += "; " + wanted + " is written by " +
                         lock_holders(control_, wanted, LockedAgainst::kWriters);
    }
    return tl::unexpected(to_error(failure));
  }
  frozen_generation_ = frozen->generation;
  return frozen->offsets;
}

void ViewGenerations::thaw() {
  freeze_.reset();
}

Status ViewGenerations::take_snapshot() {
  auto connection = work();
  if (!connection) return tl::unexpected(connection.error());
  return status_of(
      (*connection)->execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1"));
}

Result<std::vector<TableComparison>> ViewGenerations::compare(std::int32_t generation) {
  std::vector<TableComparison> comparisons;
  for (const View* view : views_) {
    auto comparison = compare_tables(*work_, *view, generation);
    if (!comparison) {
      work_->rollback();
      return tl::unexpected(to_error(comparison.error()));
    }
    comparisons.push_back(*std::move(comparison));
  }
  work_->rollback();
  return comparisons;
}

Result<ViewGenerations::Swapped> ViewGenerations::swap(std::int32_t generation, int lock_timeout_ms,
                                                       bool keep_retired) {
  const std::int32_t retired = frozen_generation_;
  auto done = swap_generations(*freeze_, control_,
                               {.projection = projection_,
                                .views = views_,
                                .retired = retired,
                                .generation = generation,
                                .keep_retired = keep_retired,
                                .lock_timeout_ms = lock_timeout_ms});
  const int process = freeze_->backend_id();
  const bool asked_to_commit = done.has_value();
  if (done) done = freeze_->commit();
  thaw();
  if (done) return Swapped{retired};
  const Failure& failure = done.error();
  if (asked_to_commit && failure.kind == FailureKind::kUnavailable) {
    const auto swapped = find_out(process, generation);
    if (!swapped) return tl::unexpected(swapped.error());
    if (*swapped) return Swapped{retired};
  }
  events::Error error = to_error(failure);
  if (failure.kind == FailureKind::kRetry || failure.kind == FailureKind::kFenced) {
    error = {Errc::kConflict, failure.message};
  }
  return tl::unexpected(std::move(error));
}

// The answer to a COMMIT is lost, and the server may still be at work on it: what came of it is
// known when the process that was asked is gone. On a connection of its own, for the others may be
// lost as well.
Result<bool> ViewGenerations::find_out(int process, std::int32_t generation) {
  const std::string number = std::to_string(process);
  const std::array<Parameter, 1> parameters{number};
  const std::int64_t deadline_ms = steady_now_ms() + kFindOutMaxMs;
  std::optional<Connection> asked;
  do {
    if (!asked || !asked->alive()) {
      asked.reset();
      if (auto opened = connect(kFreezeStatementMs)) asked.emplace(*std::move(opened));
    }
    if (asked) {
      const auto at_work = asked->query(
          "SELECT FROM pg_stat_activity WHERE pid = $1::integer AND pid <> pg_backend_pid()",
          parameters);
      if (at_work && at_work->count() == 0) {
        const auto live = GenerationRows(*asked, projection_).live();
        if (live) return *live >= generation;
      }
    }
    std::this_thread::sleep_for(kFindOutPoll);
  } while (steady_now_ms() < deadline_ms);
  return events::fail(Errc::kTimeout,
                      "the answer of PostgreSQL to the COMMIT of the swap was lost, and it has not "
                      "told within " +
                          std::to_string(kFindOutMaxMs / 1'000) + " s what came of it");
}

}  // namespace voketag::postgres
