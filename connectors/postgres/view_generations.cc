#include "connectors/postgres/view_generations.h"

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>

#include "connectors/postgres/generation_tables.h"
#include "connectors/postgres/text_array.h"

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
constexpr auto kSnapshotPoll = std::chrono::milliseconds(10);
// For one that came while the tables were locked; readers wait meanwhile.
constexpr int kLastLookMs = 50;
constexpr int kExamplesMax = 10;

Status status_of(const Outcome<void>& outcome) {
  if (!outcome) return tl::unexpected(to_error(outcome.error()));
  return {};
}
Status status_of(const Outcome<Rows>& outcome) {
  if (!outcome) return tl::unexpected(to_error(outcome.error()));
  return {};
}

// A detail may quote what was refused; the database takes UTF-8 alone.
std::string legible(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

std::string time_text(const std::string& column) {
  return "to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
}

std::string generation_columns() {
  return "generation, state, phase, started_from, is_partial, coalesce(wish, ''), " +
         time_text("begun_at") + ", " + time_text("changed_at");
}

Generation read_generation(const Rows& rows, int row) {
  const auto text = [&](int column) { return std::string(rows.text(row, column)); };
  return {static_cast<std::int32_t>(rows.int64(row, 0)),
          text(1),
          text(2),
          text(3),
          rows.text(row, 4) == "t",
          text(5),
          text(6),
          text(7)};
}

std::string key_columns(const View& view) {
  std::string columns;
  for (const auto& column : view.columns.first(view.key_columns)) {
    if (!columns.empty()) columns += ", ";
    columns += column.name;
  }
  return columns;
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

// ---- rows ---------------------------------------------------------------------------------------

Result<std::int32_t> ViewGenerations::live() {
  const std::array<Parameter, 1> parameters{projection_};
  const auto rows = control_.query("SELECT voketag.live_generation($1)", parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return static_cast<std::int32_t>(rows->int64(0, 0));
}

Result<std::optional<Generation>> ViewGenerations::unfinished() {
  const std::array<Parameter, 1> parameters{projection_};
  const auto rows = control_.query("SELECT " + generation_columns() +
                                       " FROM voketag.projection_generations"
                                       " WHERE projection = $1 AND state = 'building'",
                                   parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  if (rows->count() == 0) return std::nullopt;
  return read_generation(*rows, 0);
}

Result<std::vector<Generation>> ViewGenerations::history() {
  const std::array<Parameter, 1> parameters{projection_};
  const auto rows = control_.query("SELECT " + generation_columns() +
                                       " FROM voketag.projection_generations"
                                       " WHERE projection = $1 ORDER BY generation DESC LIMIT 20",
                                   parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  std::vector<Generation> generations;
  for (int row = 0; row < rows->count(); ++row) generations.push_back(read_generation(*rows, row));
  return generations;
}

Result<std::vector<std::int64_t>> ViewGenerations::live_positions(
    std::span<const TopicPartition> partitions) {
  const std::string topics = array_of_text(partitions, [](const auto& p) { return p.topic; });
  const std::string numbers =
      array_of_text(partitions, [](const auto& p) { return std::to_string(p.partition); });
  const std::array<Parameter, 3> parameters{projection_, topics, numbers};
  const auto rows = control_.query(
      "SELECT coalesce(recorded.next_offset, 0)"
      "  FROM unnest($2::text[], $3::integer[]) WITH ORDINALITY AS asked (topic, partition, place)"
      "  LEFT JOIN voketag.projection_positions AS recorded ON recorded.projection = $1"
      "   AND recorded.generation = voketag.live_generation($1)"
      "   AND recorded.topic = asked.topic AND recorded.partition = asked.partition"
      " ORDER BY asked.place",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  std::vector<std::int64_t> offsets;
  for (int row = 0; row < rows->count(); ++row) offsets.push_back(rows->int64(row, 0));
  return offsets;
}

Result<std::vector<GenerationPosition>> ViewGenerations::positions(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  const auto rows = control_.query(
      "SELECT topic, partition, first_offset, next_offset FROM voketag.projection_positions"
      " WHERE projection = $1 AND generation = $2::integer ORDER BY topic, partition",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  std::vector<GenerationPosition> positions;
  for (int row = 0; row < rows->count(); ++row) {
    positions.push_back(
        {{std::string(rows->text(row, 0)), static_cast<std::int32_t>(rows->int64(row, 1))},
         rows->int64(row, 2),
         rows->int64(row, 3)});
  }
  return positions;
}

Result<Generation> ViewGenerations::begin(const Plan& plan) {
  const auto begun = [&]() -> Outcome<Generation> {
    auto done = control_.execute("BEGIN");
    if (!done) return tl::unexpected(done.error());
    const std::array<Parameter, 1> projection{projection_};
    done = control_.query(
        "INSERT INTO voketag.projection_generations (projection, generation, state, phase)"
        " SELECT $1, 1, 'live', 'built' WHERE NOT EXISTS ("
        "  SELECT FROM voketag.projection_generations WHERE projection = $1)",
        projection);
    if (!done) return tl::unexpected(done.error());
    const std::array<Parameter, 4> values{projection_, plan.started_from,
                                          plan.is_partial ? "true" : "false", plan.program};
    done = control_.query(
        "INSERT INTO voketag.projection_generations"
        " (projection, generation, state, started_from, is_partial, program)"
        " SELECT $1, max(generation) + 1, 'building', $2, $3::boolean, $4"
        "   FROM voketag.projection_generations WHERE projection = $1"
        " RETURNING " +
            generation_columns(),
        values);
    if (!done) return tl::unexpected(done.error());
    Generation generation = read_generation(*done, 0);
    const std::string number = std::to_string(generation.number);
    const std::string topics = array_of_text(plan.from, [](const auto& p) { return p.topic; });
    const std::string partitions =
        array_of_text(plan.from, [](const auto& p) { return std::to_string(p.partition); });
    const std::string offsets =
        array_of_text(plan.from, [](const auto& p) { return std::to_string(p.offset); });
    const std::array<Parameter, 5> from{projection_, number, topics, partitions, offsets};
    done = control_.query(
        "INSERT INTO voketag.projection_positions"
        " (projection, generation, topic, partition, next_offset, first_offset)"
        " SELECT $1, $2::integer, topic, partition, at, at"
        "   FROM unnest($3::text[], $4::integer[], $5::bigint[]) AS from_here"
        "        (topic, partition, at)",
        from);
    if (!done) return tl::unexpected(done.error());
    for (const View* view : views_) {
      auto created = create_generation_table(control_, *view, generation.number);
      // Rows that are merged need their key while they come; the others' are made at the end.
      if (created) {
        created = view->merge == Merge::kUpsert
                      ? create_missing_indexes(control_, *view, generation.number)
                      : set_autovacuum(control_, *view, generation.number, false);
      }
      if (!created) return tl::unexpected(created.error());
    }
    auto committed = control_.commit();
    if (!committed) return tl::unexpected(committed.error());
    return generation;
  }();
  if (begun) return *begun;
  control_.rollback();
  return tl::unexpected(to_error(begun.error()));
}

Status ViewGenerations::set_phase(std::int32_t generation, std::string_view phase) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 3> parameters{projection_, number, phase};
  return status_of(
      control_.query("UPDATE voketag.projection_generations SET phase = $3, changed_at = now()"
                     " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
                     parameters));
}

Status ViewGenerations::wish(std::int32_t generation, std::string_view wish) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 3> parameters{projection_, number, wish};
  return status_of(control_.query(
      "UPDATE voketag.projection_generations SET wish = nullif($3, ''), changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
      parameters));
}

// A wish that is older than this process is not meant for it.
Status ViewGenerations::forget_old_wish(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  return status_of(control_.query(
      "UPDATE voketag.projection_generations SET wish = NULL"
      " WHERE projection = $1 AND generation = $2::integer AND changed_at <"
      "       (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())",
      parameters));
}

Result<std::string> ViewGenerations::wish_of(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  const auto rows = control_.query(
      "SELECT coalesce(wish, '') FROM voketag.projection_generations"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  // Whoever took the row away wants it to end.
  return rows->count() == 0 ? std::string("abort") : std::string(rows->text(0, 0));
}

// ---- tables -------------------------------------------------------------------------------------

std::string ViewGenerations::table_list(std::string_view suffix) const {
  std::string list;
  for (const View* view : views_) {
    list += (list.empty() ? "voketag." : ", voketag.") + std::string(view->name);
    list += suffix;
  }
  return list;
}

Status ViewGenerations::create_indexes(std::int32_t generation) {
  for (const View* view : views_) {
    if (auto created = create_indexes(*view, generation); !created) return created;
    if (view->merge == Merge::kUpsert) continue;
    const auto cleaned = set_autovacuum(*work_, *view, generation, true);
    if (!cleaned) return tl::unexpected(to_error(cleaned.error()));
  }
  return {};
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

Status ViewGenerations::create_indexes(const View& view, std::int32_t generation) {
  auto connection = work();
  if (!connection) return tl::unexpected(connection.error());
  auto created = create_missing_indexes(**connection, view, generation);
  const bool doubled = !created && created.error().sqlstate == "23505";
  if (!doubled || view.merge != Merge::kInsert) return status_of(created);
  const auto done = [&]() -> Outcome<void> {
    auto step = (*connection)->execute("BEGIN");
    if (!step) return tl::unexpected(step.error());
    const auto keys = delete_later_duplicates(**connection, view, generation);
    if (!keys) return tl::unexpected(keys.error());
    auto listed = list_duplicates(**connection, generation, view, *keys);
    if (!listed) return listed;
    listed = create_missing_indexes(**connection, view, generation);
    if (!listed) return listed;
    return (*connection)->commit();
  }();
  if (!done) (*connection)->rollback();
  return status_of(done);
}

Outcome<void> ViewGenerations::list_duplicates(Connection& connection, std::int32_t generation,
                                               const View& view,
                                               std::span<const std::string> keys) {
  if (static_cast<std::int64_t>(keys.size()) > kRejectsMax) {
    return fail(FailureKind::kFatal, std::to_string(keys.size()) + " rows of " +
                                         std::string(view.name) +
                                         " have the key of an earlier one: look for who else "
                                         "writes to the topic, before this view is rebuilt");
  }
  const std::string number = std::to_string(generation);
  const std::string list = array_of_text(keys, [](const std::string& key) { return key; });
  const std::string name(view.name);
  const std::array<Parameter, 4> parameters{projection_, number, list, name};
  const auto done = connection.query(
      "INSERT INTO voketag.replay_rejects (projection, generation, reason, detail)"
      " SELECT $1, $2::integer, 'refused_by_view', $4 || ' ' || key ||"
      "        ': a row with this key came before'"
      "   FROM unnest($3::text[]) AS doubled (key)",
      parameters);
  if (!done) return tl::unexpected(done.error());
  return {};
}

Status ViewGenerations::analyze(std::int32_t generation) {
  auto connection = work();
  if (!connection) return tl::unexpected(connection.error());
  return status_of((*connection)->execute("ANALYZE " + table_list(generation_suffix(generation))));
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
  auto done = std::async(std::launch::async, work_to_do);
  bool cancelled = false;
  while (done.wait_for(kLongTick) != std::future_status::ready) {
    if (!cancelled && go_on()) continue;
    cancelled = true;
    const std::array<Parameter, 1> parameters{process};
    // Again and again: between two statements there is nothing to cancel.
    if (!control_.query("SELECT pg_cancel_backend($1::integer)", parameters)) break;
  }
  auto status = done.get();
  if (cancelled && !status) return events::fail(Errc::kTimeout, "cancelled as asked");
  return status;
}

// ---- equal offsets ------------------------------------------------------------------------------

Result<std::vector<std::int64_t>> ViewGenerations::freeze(
    std::span<const TopicPartition> partitions) {
  auto connection = connect(kFreezeStatementMs);
  if (!connection) return tl::unexpected(connection.error());
  freeze_.emplace(std::move(*connection));
  const std::string topics = array_of_text(partitions, [](const auto& p) { return p.topic; });
  const std::string numbers =
      array_of_text(partitions, [](const auto& p) { return std::to_string(p.partition); });
  const std::array<Parameter, 3> parameters{projection_, topics, numbers};
  const auto frozen = [&]() -> Outcome<std::vector<std::int64_t>> {
    // Tables first and positions after, as a projector's transaction does.
    auto rows =
        freeze_->execute("BEGIN; SET LOCAL lock_timeout = " + std::to_string(kWriterLockTimeoutMs) +
                         "; LOCK TABLE " + table_list() + " IN SHARE ROW EXCLUSIVE MODE");
    if (!rows) return tl::unexpected(rows.error());
    // A partition that has no position yet could get one.
    rows = freeze_->query(
        "INSERT INTO voketag.projection_positions"
        " (projection, generation, topic, partition, next_offset)"
        " SELECT $1, voketag.live_generation($1), topic, partition, 0"
        "   FROM unnest($2::text[], $3::integer[]) AS asked (topic, partition)"
        " ON CONFLICT DO NOTHING",
        parameters);
    if (!rows) return tl::unexpected(rows.error());
    rows = freeze_->query(
        "SELECT recorded.next_offset, recorded.generation"
        "  FROM unnest($2::text[], $3::integer[]) WITH ORDINALITY"
        "       AS asked (topic, partition, place)"
        "  JOIN voketag.projection_positions AS recorded ON recorded.projection = $1"
        "   AND recorded.generation = voketag.live_generation($1)"
        "   AND recorded.topic = asked.topic AND recorded.partition = asked.partition"
        " ORDER BY asked.place FOR UPDATE OF recorded",
        parameters);
    if (!rows) return tl::unexpected(rows.error());
    if (rows->count() != static_cast<int>(partitions.size())) {
      return fail(FailureKind::kRetry, "the live positions changed while they were locked");
    }
    std::vector<std::int64_t> offsets;
    for (int row = 0; row < rows->count(); ++row) offsets.push_back(rows->int64(row, 0));
    frozen_generation_ = static_cast<std::int32_t>(rows->int64(0, 1));
    return offsets;
  }();
  if (frozen) return *frozen;
  thaw();
  return tl::unexpected(to_error(frozen.error()));
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
    auto comparison = compare(*view, generation);
    if (!comparison) {
      if (work_) work_->rollback();
      return tl::unexpected(comparison.error());
    }
    comparisons.push_back(*std::move(comparison));
  }
  work_->rollback();
  return comparisons;
}

// The sum of the rows' 64-bit hashes: equal for the same rows in any order, and what a row that is
// missing, doubled or changed alters.
Result<TableComparison> ViewGenerations::compare(const View& view, std::int32_t generation) {
  TableComparison comparison;
  comparison.table = view.name;
  for (const bool live : {true, false}) {
    const std::string suffix = live ? "" : generation_suffix(generation);
    const auto rows = work_->execute(
        "SELECT count(*), coalesce(sum(hash_record_extended(row, 0)), 0)::text FROM voketag." +
        comparison.table + suffix + " AS row");
    if (!rows) return tl::unexpected(to_error(rows.error()));
    (live ? comparison.live_rows : comparison.built_rows) = rows->int64(0, 0);
    (live ? comparison.live_checksum : comparison.built_checksum) = rows->text(0, 1);
  }
  if (comparison.equal()) return comparison;
  if (const auto found = find_differences(view, generation, comparison); !found) {
    return tl::unexpected(to_error(found.error()));
  }
  return comparison;
}

Outcome<void> ViewGenerations::find_differences(const View& view, std::int32_t generation,
                                                TableComparison& comparison) {
  const std::string keys = key_columns(view);
  const std::string first_key(view.columns.front().name);
  const std::string joined = " FROM voketag." + comparison.table + " AS live FULL JOIN voketag." +
                             comparison.table + generation_suffix(generation) +
                             " AS built USING (" + keys + ")";
  const std::string differs =
      "live." + first_key + " IS NOT NULL AND built." + first_key +
      " IS NOT NULL AND hash_record_extended(live, 0) <> hash_record_extended(built, 0)";
  auto rows = work_->execute("SELECT count(*) FILTER (WHERE built." + first_key +
                             " IS NULL), count(*) FILTER (WHERE live." + first_key +
                             " IS NULL), count(*) FILTER (WHERE " + differs + ")" + joined);
  if (!rows) return tl::unexpected(rows.error());
  comparison.only_live = rows->int64(0, 0);
  comparison.only_built = rows->int64(0, 1);
  comparison.different = rows->int64(0, 2);
  rows = work_->execute("SELECT concat_ws(' ', " + keys + ")" + joined + " WHERE built." +
                        first_key + " IS NULL OR live." + first_key + " IS NULL OR (" + differs +
                        // What a partial generation cannot have is the least interesting.
                        ") ORDER BY built." + first_key + " IS NULL LIMIT " +
                        std::to_string(kExamplesMax));
  if (!rows) return tl::unexpected(rows.error());
  for (int row = 0; row < rows->count(); ++row) {
    comparison.examples.emplace_back(rows->text(row, 0));
  }
  return {};
}

// ---- the swap -----------------------------------------------------------------------------------

Result<ViewGenerations::Swapped> ViewGenerations::swap(std::int32_t generation, int lock_timeout_ms,
                                                       bool keep_retired) {
  const std::int32_t retired = frozen_generation_;
  auto done = check_equal_offsets(retired, generation);
  if (done) done = await_old_snapshots(lock_timeout_ms);
  if (done) done = lock_readers_out(generation, lock_timeout_ms);
  if (done) done = await_old_snapshots(kLastLookMs);
  if (done) done = replace(retired, generation, keep_retired);
  if (done) done = freeze_->commit();
  if (done) {
    thaw();
    return Swapped{retired};
  }
  thaw();
  const Failure& failure = done.error();
  // The answer to a COMMIT may be lost.
  if (failure.kind == FailureKind::kUnavailable) {
    if (const auto now = live(); now && *now == generation) return Swapped{retired};
  }
  events::Error error = to_error(failure);
  if (failure.kind == FailureKind::kRetry || failure.kind == FailureKind::kFenced) {
    error = {Errc::kConflict, failure.message};
  }
  return tl::unexpected(std::move(error));
}

Outcome<void> ViewGenerations::check_equal_offsets(std::int32_t retired, std::int32_t generation) {
  const std::string old_number = std::to_string(retired);
  const std::string new_number = std::to_string(generation);
  const std::array<Parameter, 3> parameters{projection_, old_number, new_number};
  const auto rows = freeze_->query(
      "SELECT count(*) FROM voketag.projection_positions AS built"
      "  LEFT JOIN voketag.projection_positions AS live ON live.projection = built.projection"
      "   AND live.generation = $2::integer AND live.topic = built.topic"
      "   AND live.partition = built.partition"
      " WHERE built.projection = $1 AND built.generation = $3::integer"
      "   AND live.next_offset IS DISTINCT FROM built.next_offset",
      parameters);
  if (!rows) return tl::unexpected(rows.error());
  if (rows->int64(0, 0) > 0) {
    return fail(FailureKind::kFatal, "the generations do not stand at equal offsets");
  }
  const auto reason = postgres::why_not_replaceable(*freeze_, views_, generation);
  if (!reason) return tl::unexpected(reason.error());
  if (!reason->empty()) return fail(FailureKind::kRetry, "the swap was refused: " + *reason);
  return {};
}

// A transaction that looks at the database as it was some time ago (REPEATABLE READ, or with a
// cursor open) would find the new tables under the old names, and in them only the rows that were
// there then. As long as there is one, generations are not swapped. Who merely runs one statement
// is none: its names are resolved already.
Outcome<void> ViewGenerations::await_old_snapshots(int timeout_ms) {
  const std::int64_t deadline_ms = steady_now_ms() + timeout_ms;
  while (true) {
    const auto rows = control_.execute(
        "SELECT coalesce(string_agg('process ' || pid || ' (' || coalesce(nullif("
        "                application_name, ''), usename) || ')', ', '), '')"
        "  FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        "   AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
        // Projectors write, and their statements see what is there.
        "   AND application_name NOT LIKE 'voketag.projector-%'"
        "   AND application_name NOT LIKE 'voketag.replay-%'"
        "   AND (state LIKE 'idle in transaction%'"
        "        OR xact_start < query_start - interval '20 milliseconds')");
    if (!rows) return tl::unexpected(rows.error());
    const std::string holders(rows->text(0, 0));
    if (holders.empty()) return {};
    if (steady_now_ms() >= deadline_ms) {
      return fail(FailureKind::kRetry,
                  "the swap was refused: a transaction still reads the database as it was some "
                  "time ago: " +
                      holders + ". It would see the new tables without their latest rows");
    }
    std::this_thread::sleep_for(kSnapshotPoll);
  }
}

Outcome<void> ViewGenerations::lock_readers_out(std::int32_t generation, int lock_timeout_ms) {
  // Nobody reads the new ones but, perhaps, autovacuum.
  auto locked = freeze_->execute(
      "LOCK TABLE " + table_list(generation_suffix(generation)) +
      " IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = " + std::to_string(lock_timeout_ms));
  if (!locked) return tl::unexpected(locked.error());
  locked = freeze_->execute("LOCK TABLE " + table_list() + " IN ACCESS EXCLUSIVE MODE");
  if (locked) return {};
  Failure failure = locked.error();
  if (failure.sqlstate != "55P03") return tl::unexpected(std::move(failure));
  failure.message = "the swap was refused: a reader holds the view for longer than " +
                    std::to_string(lock_timeout_ms) + " ms: " + blockers();
  return tl::unexpected(std::move(failure));
}

std::string ViewGenerations::blockers() {
  std::string tables;
  for (const View* view : views_) {
    tables +=
        (tables.empty() ? "'voketag." : ", 'voketag.") + std::string(view->name) + "'::regclass";
  }
  const auto rows = control_.execute(
      "SELECT coalesce(string_agg(DISTINCT 'process ' || pid || coalesce(' (' || coalesce(nullif("
      "                application_name, ''), usename) || ', since ' ||"
      "                to_char(xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS') || ' UTC)', ''),"
      "                ', '), 'it has ended meanwhile')"
      "  FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)"
      " WHERE relation IN (" +
      tables +
      ") AND granted AND pg_locks.mode = 'AccessShareLock'"
      "   AND application_name IS DISTINCT FROM '" +
      options_.application_name + "'");
  return rows ? std::string(rows->text(0, 0)) : std::string("unknown");
}

Outcome<void> ViewGenerations::replace(std::int32_t retired, std::int32_t generation,
                                       bool keep_retired) {
  for (const View* view : views_) {
    auto replaced = replace_live_table(*freeze_, *view, retired, generation);
    if (!replaced) return replaced;
  }
  const std::string old_number = std::to_string(retired);
  const std::string new_number = std::to_string(generation);
  const std::array<Parameter, 3> old_values{projection_, old_number,
                                            keep_retired ? "true" : "false"};
  auto done = freeze_->query(
      "UPDATE voketag.projection_generations"
      "   SET state = 'retired', is_kept = $3::boolean, changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'live'",
      old_values);
  if (!done) return tl::unexpected(done.error());
  const std::array<Parameter, 2> new_values{projection_, new_number};
  done = freeze_->query(
      "UPDATE voketag.projection_generations"
      "   SET state = 'live', phase = 'built', wish = NULL, changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
      new_values);
  if (!done) return tl::unexpected(done.error());
  if (done->affected() != 1) {
    return fail(FailureKind::kFenced, "generation " + new_number + " is no longer being built");
  }
  return {};
}

// ---- the end ------------------------------------------------------------------------------------

Status ViewGenerations::drop(std::int32_t generation) {
  const auto dropped = [&]() -> Outcome<void> {
    auto done = control_.execute("BEGIN");
    if (!done) return tl::unexpected(done.error());
    for (const View* view : views_) {
      auto table = drop_generation_table(control_, *view, generation);
      if (!table) return table;
    }
    const std::string number = std::to_string(generation);
    const std::array<Parameter, 2> parameters{projection_, number};
    done = control_.query(
        "DELETE FROM voketag.projection_positions"
        " WHERE projection = $1 AND generation = $2::integer",
        parameters);
    if (!done) return tl::unexpected(done.error());
    done = control_.query(
        "UPDATE voketag.projection_generations"
        "   SET state = 'dropped', wish = NULL, changed_at = now()"
        " WHERE projection = $1 AND generation = $2::integer AND state IN ('building', 'retired')",
        parameters);
    if (!done) return tl::unexpected(done.error());
    if (done->affected() != 1) {
      return fail(FailureKind::kFatal, "generation " + number + " is not one to be dropped");
    }
    return control_.commit();
  }();
  if (!dropped) control_.rollback();
  return status_of(dropped);
}

Result<std::vector<std::int32_t>> ViewGenerations::retired(bool kept_too) {
  const std::array<Parameter, 2> parameters{projection_, kept_too ? "true" : "false"};
  const auto rows = control_.query(
      "SELECT generation FROM voketag.projection_generations"
      " WHERE projection = $1 AND state = 'retired' AND (NOT is_kept OR $2::boolean)"
      " ORDER BY generation",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  std::vector<std::int32_t> numbers;
  for (int row = 0; row < rows->count(); ++row) {
    numbers.push_back(static_cast<std::int32_t>(rows->int64(row, 0)));
  }
  return numbers;
}

// ---- rejects ------------------------------------------------------------------------------------

Status ViewGenerations::add(std::span<const runtime::ReplayReject> rejects) {
  const std::string number = std::to_string(reject_generation_);
  const std::string topics =
      array_of_text(rejects, [](const auto& r) { return r.partition.topic; });
  const std::string partitions =
      array_of_text(rejects, [](const auto& r) { return std::to_string(r.partition.partition); });
  const std::string offsets =
      array_of_text(rejects, [](const auto& r) { return std::to_string(r.offset); });
  const std::string reasons = array_of_text(rejects, [](const auto& r) { return r.reason; });
  const std::string details =
      array_of_text(rejects, [](const auto& r) { return legible(r.detail); });
  const std::array<Parameter, 7> parameters{projection_, number,  topics, partitions,
                                            offsets,     reasons, details};
  const auto done = control_.query(
      "INSERT INTO voketag.replay_rejects"
      " (projection, generation, topic, partition, record_offset, reason, detail)"
      " SELECT $1, $2::integer, topic, partition, at, reason, left(detail, 2000)"
      "   FROM unnest($3::text[], $4::integer[], $5::bigint[], $6::text[], $7::text[])"
      "        AS refused (topic, partition, at, reason, detail)"
      " ON CONFLICT DO NOTHING",
      parameters);
  if (!done) return tl::unexpected(to_error(done.error()));
  const auto count = reject_count(reject_generation_);
  if (!count) return tl::unexpected(count.error());
  if (*count > kRejectsMax) {
    return events::fail(Errc::kExhausted,
                        "more than " + std::to_string(kRejectsMax) +
                            " records are refused: the projection does not fit its topics");
  }
  return {};
}

Result<std::int64_t> ViewGenerations::reject_count(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  const auto rows = control_.query(
      "SELECT count(*) FROM voketag.replay_rejects"
      " WHERE projection = $1 AND generation = $2::integer",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return rows->int64(0, 0);
}

Result<std::vector<ListedReject>> ViewGenerations::rejects(std::int32_t generation,
                                                           std::int64_t limit) {
  const std::string number = std::to_string(generation);
  const std::string most = std::to_string(limit);
  const std::array<Parameter, 3> parameters{projection_, number, most};
  const auto rows = control_.query(
      "SELECT coalesce(topic, ''), coalesce(partition, 0), coalesce(record_offset, 0), reason,"
      "       detail FROM voketag.replay_rejects"
      " WHERE projection = $1 AND generation = $2::integer"
      " ORDER BY topic, partition, record_offset, id LIMIT $3::bigint",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  std::vector<ListedReject> listed;
  for (int row = 0; row < rows->count(); ++row) {
    listed.push_back({std::string(rows->text(row, 0)), rows->int64(row, 1), rows->int64(row, 2),
                      std::string(rows->text(row, 3)), std::string(rows->text(row, 4))});
  }
  return listed;
}

}  // namespace voketag::postgres
