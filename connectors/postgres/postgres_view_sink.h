#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "connectors/postgres/connection.h"
#include "connectors/postgres/row_gatherer.h"
#include "connectors/postgres/view_statement.h"
#include "processors/projection.h"
#include "runtime/view_sink.h"

namespace voketag::postgres {

struct PostgresViewSinkOptions {
  ConnectionOptions connection;
  std::string projection;  // whose positions these are
  // None: the live one, asked for whenever positions are: who is fenced by a swap of generations
  // goes on with the new one.
  std::optional<std::int32_t> generation;
  // Behind the names of the tables: those of a generation that is being built.
  std::string table_suffix;
  // In the connection's name: stalled writers of one purpose are ended by each other.
  std::string purpose = "projector";
  // How long positions() and commit() try to reach a database that is away. Short: meanwhile the
  // caller cannot serve its group.
  int unavailable_timeout_ms = 2'000;
  // From so many gathered bytes of an insert view on, rows go to the database by COPY while more
  // are gathered; below, one INSERT at the end costs less (docs/decisions/0007-view-writes.md).
  std::size_t stream_bytes_min = 64U << 10;
  // Deadlocks, serialization failures and lock timeouts: the transaction is run so often, within
  // commit_timeout_ms.
  int attempts_max = 5;
  // One positions() or commit() takes no longer over all its attempts, the reject handler's time
  // aside. Half of max.poll.interval (60 s): a projector that waits longer loses its partitions.
  int commit_timeout_ms = 30'000;
};

// What a sink has done since it was made.
struct PostgresViewSinkCounts {
  std::int64_t commits = 0;
  std::int64_t rows_bytes = 0;  // encoded, of committed transactions
  std::int64_t copies = 0;      // COPY statements begun
  std::int64_t retries = 0;     // transactions run again
  std::int64_t careful = 0;     // transactions that needed savepoints to find a bad row
  std::int64_t connects = 0;
  std::int64_t stalled_ended = 0;  // connections of stalled writers that were ended
};

// Writes a projection's rows into PostgreSQL, rows and positions in one transaction.
//
// Insert views: once stream_bytes_min are gathered, BEGIN and COPY are sent, and from then on the
// rows of every complete record as soon as the socket takes them: the server parses, writes and
// indexes while the projection still works. What was sent is also kept until it is committed, for
// the case that the server refuses a row. All else is sent at commit() in one round trip: an INSERT
// per view, with one array per column, the move of the positions, COMMIT.
//
// A refused row (SQLSTATE classes 22, 23, 54000) fails the transaction as it stands. It is rolled
// back and run again with savepoints: all records; if they are refused, each half by itself; and so
// on down to the records at fault, and within these in the same way to the rows at fault: all
// others land. That costs at most two statements per record and view, and for one bad row among n
// about 2 log2 n; after kRowTriesMax of them in one transaction, rows that are refused together are
// left out together. A record of which any row was refused goes to the reject handler before
// COMMIT, with the keys of the first kRowsNamedMax such rows and their number. This time the
// positions are moved first: to a writer that has been taken over, rows that are there already look
// like refused ones.
//
// Nothing waits for the server's disk (synchronous_commit is off): a crash of the *server* may undo
// the last commits, half a second of them, rows and positions together. The log has it all, and
// what was undone is written again from the positions that are left.
//
// A writer that was stopped in the middle of a COPY may hold rows that its successor must wait for,
// and no time limit of the server applies to a COPY that waits for its client. So after a lock
// timeout the connections of this projection that are stalled like that are ended.
class PostgresViewSink final : public runtime::ViewSink {
 public:
  static constexpr int kRowTriesMax = 4'096;
  static constexpr std::size_t kRowsNamedMax = 10;

  PostgresViewSink(PostgresViewSinkOptions options, std::span<const processors::View* const> views);
  ~PostgresViewSink() override;

  events::Result<std::vector<std::int64_t>> positions(
      std::span<const runtime::TopicPartition> partitions) override;
  processors::RowWriter& rows() override { return gatherer_; }
  void begin_record(const runtime::TopicPartition& partition, std::int64_t offset) override;
  void drop_record() override { gatherer_.drop_record(); }
  void abandon() override;
  std::size_t gathered_bytes() const override { return gatherer_.bytes(); }
  events::Status commit(std::span<const Advance> advances, RejectHandler& rejects) override;

  const PostgresViewSinkCounts& counts() const { return counts_; }
  // The server process of the open connection, if there is one.
  std::optional<int> backend_id() const;

 private:
  struct RecordOrigin {
    std::uint32_t partition = 0;  // index into partitions_
    std::int64_t offset = 0;
  };
  // Records in [first, last).
  struct Range {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
  };
  // The rows of one record that were refused.
  struct RefusedRows {
    std::size_t total = 0;
    std::size_t refused = 0;
    std::string keys;     // of the first
    std::string refusal;  // of the first
    std::size_t named = 0;
  };
  // The transaction as the server knows it.
  struct Open {
    bool begun = false;
    const ViewRows* streaming = nullptr;  // the view whose COPY is under way
    std::size_t streamed_bytes = 0;       // of its rows
    std::optional<Failure> failure;       // met while streaming; commit() deals with it
  };

  std::string application_name() const;
  Outcome<void> connect();
  Outcome<void> connect_patiently();
  events::Result<std::vector<std::int64_t>> read_positions(
      std::span<const runtime::TopicPartition> partitions);
  void set_deadline();
  bool is_late() const;
  Outcome<void> prepare_statements();

  void stream();
  Outcome<void> begin_stream(const ViewRows& rows);
  Outcome<void> begin();

  Outcome<void> run_transaction(std::span<const Advance> advances, RejectHandler& rejects);
  Outcome<void> write_all(std::span<const Advance> advances);
  Outcome<void> write_carefully(std::span<const Advance> advances, RejectHandler& rejects);
  Outcome<void> write_range(Range range);
  Outcome<void> write_rows(const ViewRows& rows, std::string_view bytes);
  Outcome<void> write_good_rows(std::uint32_t record);
  Outcome<void> write_good_rows(const ViewRows& rows, std::span<const std::string_view> all,
                                RefusedRows& refused);
  // Writes under a savepoint; false: refused, and nothing of it was written.
  Outcome<bool> try_write(const std::function<Outcome<void>()>& write, std::string& refusal);
  Outcome<void> copy_rows(const ViewRows& rows, std::string_view bytes);
  Outcome<void> finish_stream();
  Outcome<void> finish(std::span<const Advance> advances, std::span<const ViewRows* const> inserts);
  Outcome<void> begin_with_positions(std::span<const Advance> advances);
  Outcome<void> report(RejectHandler& rejects);
  void reject(std::uint32_t record, std::string detail);
  void take_care();
  void end_stalled_writers();
  void roll_back();
  void forget();

  PostgresViewSinkOptions options_;
  std::vector<const processors::View*> views_;
  RowGatherer gatherer_;
  std::vector<runtime::TopicPartition> partitions_;
  std::vector<RecordOrigin> origins_;  // by record

  std::optional<Connection> connection_;
  EnumTypes enums_;
  std::int32_t generation_ = 1;  // whose positions were read last
  Open open_;
  bool careful_ = false;  // this transaction has been refused once
  int row_tries_ = 0;
  std::int64_t deadline_ms_ = 0;  // of the call under way, by the steady clock
  std::vector<Rejected> rejected_;
  std::optional<events::Error> reject_error_;  // what the reject handler said
  std::size_t reported_ = 0;                   // of rejected_
  PostgresViewSinkCounts counts_;
};

}  // namespace voketag::postgres
