#include "connectors/postgres/generation_swap.h"

#include <chrono>
#include <string>
#include <thread>

#include "connectors/postgres/generation_rows.h"
#include "connectors/postgres/generation_tables.h"

namespace voketag::postgres {
namespace {

using processors::View;

constexpr auto kSnapshotPoll = std::chrono::milliseconds(10);
// For one that came while the tables were locked; readers wait meanwhile.
constexpr int kLastLookMs = 50;
// A process that is stopped, or hangs, while it holds the tables keeps readers out for so long.
constexpr int kLockedIdleMs = 1'000;

class Swap {
 public:
  Swap(Connection& frozen, Connection& control, const GenerationSwap& swap)
      : frozen_(frozen), control_(control), swap_(swap) {}

  Outcome<void> run() {
    auto done = check_equal_offsets();
    if (done) done = await_old_snapshots(swap_.lock_timeout_ms);
    if (done) done = lock_readers_out();
    if (done) done = await_old_snapshots(kLastLookMs);
    if (done) done = replace();
    return done;
  }

 private:
  Outcome<void> check_equal_offsets();
  Outcome<void> await_old_snapshots(int timeout_ms);
  Outcome<void> lock_readers_out();
  Outcome<void> replace();
  std::string blockers();

  Connection& frozen_;
  Connection& control_;
  const GenerationSwap& swap_;
};

Outcome<void> Swap::check_equal_offsets() {
  const auto equal = GenerationRows(frozen_, swap_.projection)
                         .stands_at_live_positions(swap_.retired, swap_.generation);
  if (!equal) return tl::unexpected(equal.error());
  if (!*equal) return fail(FailureKind::kFatal, "the generations do not stand at equal offsets");
  const auto reason = why_not_replaceable(frozen_, swap_.views, swap_.generation);
  if (!reason) return tl::unexpected(reason.error());
  if (!reason->empty()) return fail(FailureKind::kRetry, "the swap was refused: " + *reason);
  return {};
}

// A transaction that looks at the database as it was some time ago (REPEATABLE READ, or with a
// cursor open) would find the new tables under the old names, and in them only the rows that were
// there then. As long as there is one, generations are not swapped. Who merely runs one statement
// is none: its names are resolved already.
Outcome<void> Swap::await_old_snapshots(int timeout_ms) {
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

Outcome<void> Swap::lock_readers_out() {
  // Nobody reads the new ones but, perhaps, autovacuum.
  auto locked = frozen_.execute(
      "LOCK TABLE " + table_list(swap_.views, generation_suffix(swap_.generation)) +
      " IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = " +
      std::to_string(swap_.lock_timeout_ms) +
      "; SET LOCAL idle_in_transaction_session_timeout = " + std::to_string(kLockedIdleMs));
  if (!locked) return tl::unexpected(locked.error());
  locked = frozen_.execute("LOCK TABLE " + table_list(swap_.views) + " IN ACCESS EXCLUSIVE MODE");
  if (locked) return {};
  Failure failure = locked.error();
  if (failure.sqlstate != "55P03") return tl::unexpected(std::move(failure));
  failure.message = "the swap was refused: a reader holds the view for longer than " +
                    std::to_string(swap_.lock_timeout_ms) + " ms: " + blockers();
  return tl::unexpected(std::move(failure));
}

std::string Swap::blockers() {
  std::string tables;
  for (const View* view : swap_.views) {
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
      "   AND coalesce(application_name, '') NOT LIKE 'voketag.replay-%'");
  return rows ? std::string(rows->text(0, 0)) : std::string("unknown");
}

Outcome<void> Swap::replace() {
  for (const View* view : swap_.views) {
    auto replaced = replace_live_table(frozen_, *view, swap_.retired, swap_.generation);
    if (!replaced) return replaced;
  }
  return GenerationRows(frozen_, swap_.projection)
      .make_live(swap_.generation, swap_.retired, swap_.keep_retired);
}

}  // namespace

Outcome<void> swap_generations(Connection& frozen, Connection& control,
                               const GenerationSwap& swap) {
  return Swap(frozen, control, swap).run();
}

}  // namespace voketag::postgres
