#include "connectors/postgres/generation_rows.h"

#include <array>

#include "connectors/postgres/text_array.h"

namespace voketag::postgres {
namespace {

using events::Result;
using events::Status;
using runtime::TopicPartition;

Status status_of(const Outcome<Rows>& outcome) {
  if (!outcome) return tl::unexpected(to_error(outcome.error()));
  return {};
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

}  // namespace

Result<std::int32_t> GenerationRows::live() {
  const std::array<Parameter, 1> parameters{projection_};
  const auto rows = connection_.query("SELECT voketag.live_generation($1)", parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return static_cast<std::int32_t>(rows->int64(0, 0));
}

Result<std::optional<Generation>> GenerationRows::unfinished() {
  const std::array<Parameter, 1> parameters{projection_};
  const auto rows = connection_.query("SELECT " + generation_columns() +
                                          " FROM voketag.projection_generations"
                                          " WHERE projection = $1 AND state = 'building'",
                                      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  if (rows->count() == 0) return std::nullopt;
  return read_generation(*rows, 0);
}

Result<std::vector<std::int32_t>> GenerationRows::retired(bool kept_too) {
  const std::array<Parameter, 2> parameters{projection_, kept_too ? "true" : "false"};
  const auto rows = connection_.query(
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

Result<std::vector<std::int64_t>> GenerationRows::live_positions(
    std::span<const TopicPartition> partitions) {
  const std::string topics = array_of_text(partitions, [](const auto& p) { return p.topic; });
  const std::string numbers =
      array_of_text(partitions, [](const auto& p) { return std::to_string(p.partition); });
  const std::array<Parameter, 3> parameters{projection_, topics, numbers};
  const auto rows = connection_.query(
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

Result<std::vector<GenerationPosition>> GenerationRows::positions(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  const auto rows = connection_.query(
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

Status GenerationRows::set_phase(std::int32_t generation, std::string_view phase) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 3> parameters{projection_, number, phase};
  return status_of(connection_.query(
      "UPDATE voketag.projection_generations SET phase = $3, changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
      parameters));
}

Status GenerationRows::wish(std::int32_t generation, std::string_view wish) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 3> parameters{projection_, number, wish};
  return status_of(connection_.query(
      "UPDATE voketag.projection_generations SET wish = nullif($3, ''), changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
      parameters));
}

Status GenerationRows::forget_old_wish(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  return status_of(connection_.query(
      "UPDATE voketag.projection_generations SET wish = NULL"
      " WHERE projection = $1 AND generation = $2::integer AND changed_at <"
      "       (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())",
      parameters));
}

Result<std::string> GenerationRows::wish_of(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  const auto rows = connection_.query(
      "SELECT coalesce(wish, '') FROM voketag.projection_generations"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'building'",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  // Whoever took the row away wants it to end.
  return rows->count() == 0 ? std::string("abort") : std::string(rows->text(0, 0));
}

// ---- parts of a transaction ---------------------------------------------------------------------

// A projection that was never rebuilt has no row for its first generation yet.
Outcome<Generation> GenerationRows::insert_generation(const GenerationPlan& plan) {
  const std::array<Parameter, 1> projection{projection_};
  auto done = connection_.query(
      "INSERT INTO voketag.projection_generations (projection, generation, state, phase)"
      " SELECT $1, 1, 'live', 'built' WHERE NOT EXISTS ("
      "  SELECT FROM voketag.projection_generations WHERE projection = $1)",
      projection);
  if (!done) return tl::unexpected(done.error());
  const std::array<Parameter, 4> values{projection_, plan.started_from,
                                        plan.is_partial ? "true" : "false", plan.program};
  done = connection_.query(
      "INSERT INTO voketag.projection_generations"
      " (projection, generation, state, started_from, is_partial, program)"
      " SELECT $1, max(generation) + 1, 'building', $2, $3::boolean, $4"
      "   FROM voketag.projection_generations WHERE projection = $1"
      " RETURNING " +
          generation_columns(),
      values);
  if (!done) return tl::unexpected(done.error());
  return read_generation(*done, 0);
}

Outcome<Generation> GenerationRows::insert(const GenerationPlan& plan) {
  auto generation = insert_generation(plan);
  if (!generation) return generation;
  const std::string number = std::to_string(generation->number);
  const std::string topics = array_of_text(plan.from, [](const auto& p) { return p.topic; });
  const std::string partitions =
      array_of_text(plan.from, [](const auto& p) { return std::to_string(p.partition); });
  const std::string offsets =
      array_of_text(plan.from, [](const auto& p) { return std::to_string(p.offset); });
  const std::array<Parameter, 5> from{projection_, number, topics, partitions, offsets};
  const auto done = connection_.query(
      "INSERT INTO voketag.projection_positions"
      " (projection, generation, topic, partition, next_offset, first_offset)"
      " SELECT $1, $2::integer, topic, partition, at, at"
      "   FROM unnest($3::text[], $4::integer[], $5::bigint[]) AS from_here"
      "        (topic, partition, at)",
      from);
  if (!done) return tl::unexpected(done.error());
  return generation;
}

Outcome<GenerationRows::LivePositions> GenerationRows::lock_live_positions(
    std::span<const TopicPartition> partitions) {
  const std::string topics = array_of_text(partitions, [](const auto& p) { return p.topic; });
  const std::string numbers =
      array_of_text(partitions, [](const auto& p) { return std::to_string(p.partition); });
  const std::array<Parameter, 3> parameters{projection_, topics, numbers};
  // A partition that has no position yet could get one.
  auto rows = connection_.query(
      "INSERT INTO voketag.projection_positions"
      " (projection, generation, topic, partition, next_offset)"
      " SELECT $1, voketag.live_generation($1), topic, partition, 0"
      "   FROM unnest($2::text[], $3::integer[]) AS asked (topic, partition)"
      " ON CONFLICT DO NOTHING",
      parameters);
  if (!rows) return tl::unexpected(rows.error());
  rows = connection_.query(
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
  LivePositions positions;
  for (int row = 0; row < rows->count(); ++row) positions.offsets.push_back(rows->int64(row, 0));
  positions.generation = static_cast<std::int32_t>(rows->int64(0, 1));
  return positions;
}

Outcome<bool> GenerationRows::stands_at_live_positions(std::int32_t live, std::int32_t generation) {
  const std::string old_number = std::to_string(live);
  const std::string new_number = std::to_string(generation);
  const std::array<Parameter, 3> parameters{projection_, old_number, new_number};
  const auto rows = connection_.query(
      "SELECT count(*) FROM voketag.projection_positions AS built"
      "  LEFT JOIN voketag.projection_positions AS live ON live.projection = built.projection"
      "   AND live.generation = $2::integer AND live.topic = built.topic"
      "   AND live.partition = built.partition"
      " WHERE built.projection = $1 AND built.generation = $3::integer"
      "   AND live.next_offset IS DISTINCT FROM built.next_offset",
      parameters);
  if (!rows) return tl::unexpected(rows.error());
  return rows->int64(0, 0) == 0;
}

Outcome<void> GenerationRows::make_live(std::int32_t generation, std::int32_t retired,
                                        bool keep_retired) {
  const std::string old_number = std::to_string(retired);
  const std::string new_number = std::to_string(generation);
  const std::array<Parameter, 3> old_values{projection_, old_number,
                                            keep_retired ? "true" : "false"};
  auto done = connection_.query(
      "UPDATE voketag.projection_generations"
      "   SET state = 'retired', is_kept = $3::boolean, changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state = 'live'",
      old_values);
  if (!done) return tl::unexpected(done.error());
  const std::array<Parameter, 2> new_values{projection_, new_number};
  done = connection_.query(
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

Outcome<void> GenerationRows::make_dropped(std::int32_t generation) {
  const std::string number = std::to_string(generation);
  const std::array<Parameter, 2> parameters{projection_, number};
  auto done = connection_.query(
      "DELETE FROM voketag.projection_positions"
      " WHERE projection = $1 AND generation = $2::integer",
      parameters);
  if (!done) return tl::unexpected(done.error());
  done = connection_.query(
      "UPDATE voketag.projection_generations"
      "   SET state = 'dropped', wish = NULL, changed_at = now()"
      " WHERE projection = $1 AND generation = $2::integer AND state IN ('building', 'retired')",
      parameters);
  if (!done) return tl::unexpected(done.error());
  if (done->affected() != 1) {
    return fail(FailureKind::kFatal, "generation " + number + " is not one to be dropped");
  }
  return {};
}

}  // namespace voketag::postgres
