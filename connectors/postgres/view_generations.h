#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/connection.h"
#include "events/error.h"
#include "processors/projection.h"
#include "runtime/log.h"
#include "runtime/replayer.h"

namespace voketag::postgres {

// A generation of a projection's views that is being built, or was, as its row tells.
struct Generation {
  std::int32_t number = 0;
  std::string state;         // building, live, retired, dropped
  std::string phase;         // loading, indexing, built
  std::string started_from;  // as it was asked for
  bool is_partial = false;   // it lacks rows of records before those it began with
  std::string wish;          // pause, abort, or nothing
  std::string begun_at;      // RFC 3339
  std::string changed_at;
};

// Where a partition begins in a new generation, and how far it is.
struct GenerationPosition {
  runtime::TopicPartition partition;
  std::int64_t first_offset = 0;
  std::int64_t next_offset = 0;
};

// A table of both generations, compared at equal offsets.
struct TableComparison {
  std::string table;
  std::int64_t live_rows = 0;
  std::int64_t built_rows = 0;
  std::string live_checksum;  // of all rows, whatever their order
  std::string built_checksum;
  // Only where the checksums differ: rows by their keys.
  std::int64_t only_live = 0;
  std::int64_t only_built = 0;
  std::int64_t different = 0;
  std::vector<std::string> examples;  // keys
  bool equal() const { return live_rows == built_rows && live_checksum == built_checksum; }
};

struct ListedReject {
  std::string topic;  // empty: a row whose record is not known
  std::int64_t partition = 0;
  std::int64_t offset = 0;
  std::string reason;
  std::string detail;
};

// The generations of one projection's views: their rows, tables, positions and rejects, and the
// swap. One process at a time builds one: it holds try_lock(). Four connections at most. Not
// thread-safe, but for what run_long says.
//
// The swap, in one transaction (docs/decisions/0012-replay-of-views.md tells why so): the live
// tables are locked against writers (readers go on), then the rows of the live positions; now
// nothing moves, and the caller brings the new generation to the same offsets. Then the tables are
// locked against readers, for which the swap waits no longer than its lock timeout; renamed; and
// the new generation becomes the live one. A projector that then commits rows of the old one is
// fenced by advance_positions (migration 0003), reads its positions again, and finds those of the
// new one: the very same offsets.
class ViewGenerations final : public runtime::ReplayRejectList {
 public:
  // More rejects than these are no list for people, but a projection that does not fit its topics.
  static constexpr std::int64_t kRejectsMax = 100'000;
  // How long the live projector's open transactions are waited for.
  static constexpr int kWriterLockTimeoutMs = 3'000;

  static events::Result<ViewGenerations> open(const ConnectionOptions& options,
                                              std::string projection,
                                              std::span<const processors::View* const> views);

  // ---- who builds

  // False: another process builds a generation of these views. Held as long as this object lives.
  events::Result<bool> try_lock();
  // Who holds the lock, for people; empty: nobody.
  events::Result<std::string> lock_holder();
  // Ends what a process that died may have left at work on the server. Only under the lock.
  events::Status end_leftovers();

  // ---- their rows

  events::Result<std::int32_t> live();
  events::Result<std::optional<Generation>> unfinished();
  // Generations by falling number, at most 20.
  events::Result<std::vector<Generation>> history();
  // Positions of the live generation, 0 where it has not begun.
  events::Result<std::vector<std::int64_t>> live_positions(
      std::span<const runtime::TopicPartition> partitions);
  events::Result<std::vector<GenerationPosition>> positions(std::int32_t generation);

  struct Plan {
    std::string started_from;
    bool is_partial = false;
    std::string program;
    std::vector<runtime::TopicPartitionOffset> from;
  };
  // The row, the positions and the tables of a new generation.
  events::Result<Generation> begin(const Plan& plan);
  events::Status set_phase(std::int32_t generation, std::string_view phase);
  // Asks the process that builds it to "pause" or to "abort".
  events::Status wish(std::int32_t generation, std::string_view wish);
  events::Result<std::string> wish_of(std::int32_t generation);
  events::Status forget_old_wish(std::int32_t generation);

  // ---- their tables

  // Indexes, as far as they are missing. A row whose key stands in an earlier one is taken out and
  // listed, as the live view would have refused it.
  events::Status create_indexes(std::int32_t generation);
  // How much of the index under way is made, from 0 to 1; none: not known.
  events::Result<std::optional<double>> index_progress();
  events::Status analyze(std::int32_t generation);
  // Why the live tables cannot be replaced, before anything is built; empty: they can.
  events::Result<std::string> why_not_replaceable();
  // Bytes of the live tables with their indexes: a new generation needs as much again.
  events::Result<std::int64_t> live_bytes();

  // Runs what may take hours on a thread of its own, while `go_on` is asked about every half
  // second. When it says no, the statement is cancelled, and the answer is kTimeout. `work` may use
  // create_indexes, analyze and compare, and nothing else.
  events::Status run_long(const std::function<events::Status()>& work,
                          const std::function<bool()>& go_on);

  // ---- equal offsets

  // Stops the live projector where it stands, and tells where; until thaw() or swap(). Readers go
  // on. kUnavailable: its transactions did not end in time; nothing is frozen.
  events::Result<std::vector<std::int64_t>> freeze(
      std::span<const runtime::TopicPartition> partitions);
  void thaw();
  // Takes what compare() will see: both generations, at equal offsets, frozen.
  events::Status take_snapshot();
  events::Result<std::vector<TableComparison>> compare(std::int32_t generation);

  struct Swapped {
    std::int32_t retired = 0;
  };
  // Frozen, and at equal offsets. On any error nothing has changed and nothing is frozen.
  // kConflict: refused, the message says by whom.
  events::Result<Swapped> swap(std::int32_t generation, int lock_timeout_ms, bool keep_retired);

  // ---- the end

  // Drops the tables and positions; of the rejects the list stays.
  events::Status drop(std::int32_t generation);
  // Retired ones that are not kept (or all): their numbers.
  events::Result<std::vector<std::int32_t>> retired(bool kept_too);

  events::Status add(std::span<const runtime::ReplayReject> rejects) override;
  events::Result<std::int64_t> reject_count(std::int32_t generation);
  events::Result<std::vector<ListedReject>> rejects(std::int32_t generation, std::int64_t limit);
  // The generation whose rejects add() lists.
  void list_rejects_of(std::int32_t generation) { reject_generation_ = generation; }

 private:
  ViewGenerations(ConnectionOptions options, std::string projection,
                  std::span<const processors::View* const> views, Connection control);

  events::Result<Connection> connect(int statement_timeout_ms);
  events::Result<Connection*> work();
  events::Status create_indexes(const processors::View& view, std::int32_t generation);
  Outcome<void> list_duplicates(Connection& connection, std::int32_t generation,
                                const processors::View& view, std::span<const std::string> keys);
  events::Result<TableComparison> compare(const processors::View& view, std::int32_t generation);
  Outcome<void> find_differences(const processors::View& view, std::int32_t generation,
                                 TableComparison& comparison);
  std::string table_list(std::string_view suffix = {}) const;

  Outcome<void> lock_readers_out(std::int32_t generation, int lock_timeout_ms);
  Outcome<void> await_old_snapshots(int timeout_ms);
  Outcome<void> check_equal_offsets(std::int32_t retired, std::int32_t generation);
  Outcome<void> replace(std::int32_t retired, std::int32_t generation, bool keep_retired);
  std::string blockers();

  ConnectionOptions options_;
  std::string projection_;
  std::vector<const processors::View*> views_;
  Connection control_;                // the lock, rows, rejects
  std::optional<Connection> work_;    // what takes long, and the comparison's snapshot
  std::optional<Connection> freeze_;  // the transaction in which nothing moves
  std::int32_t reject_generation_ = 0;
  std::int32_t frozen_generation_ = 0;  // the live one, while it is frozen
};

}  // namespace voketag::postgres
