#include "connectors/postgres/generation_swap.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "connectors/postgres/generation_rows.h"
#include "connectors/postgres/generation_tables.h"
#include "connectors/postgres/lock_holders.h"

namespace voketag::postgres {
namespace {

using processors::View;

constexpr auto kSnapshotPoll = std::chrono::milliseconds(10);
// For one that came while the tables were locked; readers wait meanwhile.
constexpr int kLastLookMs = 50;
// A process that is stopped, or hangs, while it holds the tables keeps readers out for so long.
constexpr int kLockedIdleMs = 1'000;
// Nobody reads the new tables; an autovacuum that stands in the way is ended by PostgreSQL after
// its deadlock_timeout. Readers do not wait meanwhile.
constexpr int kNewTablesMs = 2'000;
// What is left to do takes no lock that anybody holds for long.
constexpr int kReplaceLockMs = 500;
// Readers that have waited get their turn.
constexpr auto kBetweenTries = std::chrono::milliseconds(20);

class Swap {
 public:
  Swap(Connection& frozen, Connection& control, const GenerationSwap& swap)
      : frozen_(frozen), control_(control), swap_(swap) {}

  Outcome<void> run() {
    auto done = check_equal_offsets();
    if (done) done = lock_new_tables();
    if (done) done = lock_readers_out();
    if (done) done = replace();
    return done;
  }

 private:
  Outcome<void> check_equal_offsets();
  Outcome<void> lock_new_tables();
  Outcome<void> lock_readers_out();
  Outcome<void> lock_live_tables(std::int64_t deadline_ms, std::int64_t try_max_ms);
  Outcome<std::int64_t> try_max_ms();
  Outcome<void> await_old_snapshots(std::int64_t deadline_ms);
  Outcome<void> replace();
  tl::unexpected<Failure> refused(Failure failure, const std::string& tables,
                                  const std::string& why);

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
Outcome<void> Swap::await_old_snapshots(std::int64_t deadline_ms) {
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

Outcome<void> Swap::lock_new_tables() {
  const std::string tables = table_list(swap_.views, generation_suffix(swap_.generation));
  const auto locked = frozen_.execute("SET LOCAL lock_timeout = " + std::to_string(kNewTablesMs) +
                                      "; LOCK TABLE " + tables + " IN ACCESS EXCLUSIVE MODE");
  if (!locked) {
    return refused(
        locked.error(), tables,
        "somebody holds the new tables for longer than " + std::to_string(kNewTablesMs) + " ms");
  }
  return {};
}

// One deadline for all that is waited for: who has an old snapshot, then who reads. What was locked
// in vain is let go at once.
Outcome<void> Swap::lock_readers_out() {
  const std::int64_t deadline_ms = steady_now_ms() + swap_.lock_timeout_ms;
  const auto try_max = try_max_ms();
  if (!try_max) return tl::unexpected(try_max.error());
  auto saved = frozen_.execute("SAVEPOINT readers_go_on");
  if (!saved) return tl::unexpected(saved.error());
  while (true) {
    auto done = await_old_snapshots(deadline_ms);
    if (!done) return done;
    done = lock_live_tables(deadline_ms, *try_max);
    if (done) done = await_old_snapshots(std::min(deadline_ms, steady_now_ms() + kLastLookMs));
    if (done || done.error().kind != FailureKind::kRetry) return done;
    const auto released = frozen_.execute("ROLLBACK TO SAVEPOINT readers_go_on");
    if (!released) return tl::unexpected(released.error());
    if (steady_now_ms() >= deadline_ms) {
      return refused(done.error(), table_list(swap_.views),
                     "a reader holds the view for longer than " +
                         std::to_string(swap_.lock_timeout_ms) + " ms");
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

// A reader that holds one of several tables and then asks for another waits for us while we wait
// for it. PostgreSQL ends one of the two after deadlock_timeout, and it may be the reader: so all
// of the tables are locked within less, or none. Who waits for a single table holds no reader's.
Outcome<std::int64_t> Swap::try_max_ms() {
  if (swap_.views.size() == 1) return std::int64_t{swap_.lock_timeout_ms};
  // In milliseconds, its unit there.
  const auto rows =
      control_.execute("SELECT setting FROM pg_settings WHERE name = 'deadlock_timeout'");
  if (!rows) return tl::unexpected(rows.error());
  return rows->int64(0, 0) * 7 / 10;
}

Outcome<void> Swap::lock_live_tables(std::int64_t deadline_ms, std::int64_t try_max_ms) {
  const std::int64_t wait_ms = std::min(deadline_ms - steady_now_ms(), try_max_ms);
  const std::int64_t each_ms =
      std::max<std::int64_t>(1, wait_ms / static_cast<std::int64_t>(swap_.views.size()));
  const auto locked = frozen_.execute(
      "SET LOCAL lock_timeout = " + std::to_string(each_ms) +
      "; SET LOCAL idle_in_transaction_session_timeout = " + std::to_string(kLockedIdleMs) +
      "; LOCK TABLE " + table_list(swap_.views) +
      " IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = " + std::to_string(kReplaceLockMs));
  if (!locked) return tl::unexpected(locked.error());
  return {};
}

// With who is to blame, if a lock was not to be had. `why` says so in words.
tl::unexpected<Failure> Swap::refused(Failure failure, const std::string& tables,
                                      const std::string& why) {
  const bool is_lock = failure.kind == FailureKind::kRetry && !failure.sqlstate.empty();
  if (!is_lock) return tl::unexpected(std::move(failure));
  // Else a deadlock, or somebody cancelled the statement.
  const bool is_timeout = failure.sqlstate == kLockNotAvailable;
  failure.message = "the swap was refused: " + (is_timeout ? why : failure.message) + ": " +
                    lock_holders(control_, tables, LockedAgainst::kEverybody);
  return tl::unexpected(std::move(failure));
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
