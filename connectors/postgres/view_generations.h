#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "connectors/postgres/connection.h"
#include "connectors/postgres/generation_comparison.h"
#include "connectors/postgres/generation_rows.h"
#include "connectors/postgres/replay_rejects.h"
#include "events/error.h"
#include "processors/projection.h"
#include "runtime/log.h"

namespace voketag::postgres {

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
class ViewGenerations {
 public:
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

  GenerationRows rows() { return {control_, projection_}; }
  ReplayRejects rejects_of(std::int32_t generation) { return {control_, projection_, generation}; }

  // The row, the positions and the tables of a new generation.
  events::Result<Generation> begin(const GenerationPlan& plan);
  // Drops the tables and positions; of the rejects the list stays.
  events::Status drop(std::int32_t generation);

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
  // second. When it says no, the statement is cancelled, and the answer is kTimeout; where it
  // cannot be, its connection is cut. `work` may use create_indexes, analyze and compare, and
  // nothing else.
  events::Status run_long(const std::function<events::Status()>& work,
                          const std::function<bool()>& go_on);

  // ---- equal offsets

  // Stops the live projector where it stands, and tells where; until thaw() or swap(). Readers go
  // on. kUnavailable: its transactions (they are named) did not end in time; nothing is frozen.
  events::Result<std::vector<std::int64_t>> freeze(
      std::span<const runtime::TopicPartition> partitions);
  void thaw();
  // Takes what compare() will see: both generations, at equal offsets, frozen.
  events::Status take_snapshot();
  events::Result<std::vector<TableComparison>> compare(std::int32_t generation);

  struct Swapped {
    std::int32_t retired = 0;
  };
  // Frozen, and at equal offsets. On an error nothing has changed and nothing is frozen; but for
  // kTimeout: whether it was done is not known. kConflict: refused, the message says by whom.
  events::Result<Swapped> swap(std::int32_t generation, int lock_timeout_ms, bool keep_retired);

 private:
  ViewGenerations(ConnectionOptions options, std::string projection,
                  std::span<const processors::View* const> views, Connection control);

  events::Result<Connection> connect(int statement_timeout_ms);
  events::Result<Connection*> work();
  events::Result<bool> find_out(int process, std::int32_t generation);
  Outcome<Generation> begin_rows_and_tables(const GenerationPlan& plan);
  events::Status create_indexes(const processors::View& view, std::int32_t generation);
  Outcome<void> create_indexes_without_duplicates(const processors::View& view,
                                                  std::int32_t generation);

  ConnectionOptions options_;
  std::string projection_;
  std::vector<const processors::View*> views_;
  Connection control_;                  // the lock, rows, rejects
  std::optional<Connection> work_;      // what takes long, and the comparison's snapshot
  std::optional<Connection> freeze_;    // the transaction in which nothing moves
  std::int32_t frozen_generation_ = 0;  // the live one, while it is frozen
};

}  // namespace voketag::postgres
