#include "connectors/postgres/migrations.h"

#include <string>
#include <utility>

namespace voketag::postgres {
namespace {

using events::Errc;

// "voketag" in ASCII: the advisory lock that all who migrate this schema take.
constexpr std::string_view kLockKey = "33336554306167143";

constexpr const char* kCreateHistory =
    "CREATE TABLE IF NOT EXISTS voketag.schema_migrations ("
    " version integer PRIMARY KEY,"
    " name text NOT NULL,"
    " checksum text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";

events::Status run(Connection& connection, const std::string& sql) {
  const auto done = connection.execute(sql);
  if (!done) return tl::unexpected(to_error(done.error()));
  return {};
}

events::Result<bool> is_true(Connection& connection, const std::string& expression) {
  const auto rows = connection.execute("SELECT " + expression);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return rows->text(0, 0) == "t";
}

events::Status create_history(Connection& connection) {
  // CREATE SCHEMA asks for a right on the database even where the schema exists.
  const auto exists = is_true(connection, "to_regnamespace('voketag') IS NOT NULL");
  if (!exists) return tl::unexpected(exists.error());
  if (!*exists) {
    const auto created = run(connection, "CREATE SCHEMA voketag");
    if (!created) return created;
  }
  return run(connection, kCreateHistory);
}

events::Status check(const Rows& applied, std::span<const Migration> steps) {
  for (int row = 0; row < applied.count(); ++row) {
    const auto index = static_cast<std::size_t>(row);
    const std::string version(applied.text(row, 0));
    if (index >= steps.size()) {
      return events::fail(Errc::kConflict,
                          "the schema voketag is of version " + version +
                              " or newer, this program knows up to " +
                              std::to_string(steps.back().version) +
                              ". Run the program that migrated it, or a newer one");
    }
    const Migration& step = steps[index];
    if (applied.int64(row, 0) != step.version || applied.text(row, 1) != step.checksum) {
      return events::fail(
          Errc::kConflict,
          "migration " + version +
              " was applied to this database with other content "
              "than this program has. Views can be rebuilt: drop the schema voketag and "
              "migrate again, or run the program that migrated it");
    }
  }
  return {};
}

events::Status apply(Connection& connection, const Migration& step) {
  const auto done = [&]() -> Outcome<Rows> {
    auto applied =
        connection.execute("BEGIN; SET LOCAL search_path = voketag;\n" + std::string(step.sql));
    if (!applied) return applied;
    const std::string version = std::to_string(step.version);
    const std::vector<Parameter> values{version, step.name, step.checksum};
    auto recorded = connection.query(
        "INSERT INTO voketag.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
        values);
    if (!recorded) return recorded;
    return connection.execute("COMMIT");
  }();
  if (done) return {};
  connection.rollback();
  events::Error error = to_error(done.error());
  error.message = "migration " + std::to_string(step.version) + " (" + std::string(step.name) +
                  ") failed and was undone. " + error.message;
  return tl::unexpected(std::move(error));
}

// A role may set its own defaults. Within this database only: others of its are not our concern.
events::Status put_on_search_path(Connection& connection) {
  const auto first =
      is_true(connection, "coalesce((current_schemas(false))[1] = 'voketag', false)");
  if (!first) return tl::unexpected(first.error());
  if (*first) return {};
  return run(connection,
             "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET search_path = "
             "voketag, \"$user\", public', current_database()); END $$");
}

events::Result<MigrationResult> migrate_locked(Connection& connection,
                                               std::span<const Migration> steps) {
  const auto created = create_history(connection);
  if (!created) return tl::unexpected(created.error());
  const auto applied = connection.execute(
      "SELECT version, checksum FROM voketag.schema_migrations ORDER BY version");
  if (!applied) return tl::unexpected(to_error(applied.error()));
  const auto checked = check(*applied, steps);
  if (!checked) return tl::unexpected(checked.error());

  MigrationResult result;
  if (applied->count() > 0) {
    result.from = static_cast<int>(applied->int64(applied->count() - 1, 0));
  }
  result.to = result.from;
  for (const Migration& step : steps.subspan(static_cast<std::size_t>(applied->count()))) {
    const auto done = apply(connection, step);
    if (!done) return tl::unexpected(done.error());
    result.to = step.version;
  }
  const auto on_path = put_on_search_path(connection);
  if (!on_path) return tl::unexpected(on_path.error());
  return result;
}

}  // namespace

events::Result<MigrationResult> migrate(Connection& connection, std::span<const Migration> steps) {
  // Waits for another one that migrates: for as long as a statement may take.
  const auto locked = run(
      connection, "SET lock_timeout = 0; SELECT pg_advisory_lock(" + std::string(kLockKey) + ")");
  if (!locked) return tl::unexpected(locked.error());
  auto result = migrate_locked(connection, steps);
  const auto unlocked = run(connection, "SELECT pg_advisory_unlock(" + std::string(kLockKey) + ")");
  if (result && !unlocked) return tl::unexpected(unlocked.error());
  return result;
}

events::Result<int> schema_version(Connection& connection) {
  const auto exists = is_true(connection, "to_regclass('voketag.schema_migrations') IS NOT NULL");
  if (!exists) return tl::unexpected(exists.error());
  if (!*exists) return 0;
  const auto rows =
      connection.execute("SELECT coalesce(max(version), 0) FROM voketag.schema_migrations");
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return static_cast<int>(rows->int64(0, 0));
}

}  // namespace voketag::postgres
