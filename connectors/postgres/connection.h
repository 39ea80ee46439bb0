#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/failure.h"

struct pg_conn;
struct pg_result;

namespace voketag::postgres {

struct ConnectionOptions {
  std::string url;  // a libpq URL or keyword string; may hold a password and is never shown
  std::string application_name = "voketag";
  int connect_timeout_ms = 3'000;
  // Of one statement, on the server. The client gives up a little later, whatever the server does.
  int statement_timeout_ms = 30'000;
  int lock_timeout_ms = 3'000;
};

// Whether libpq can connect by this URL or keyword string, as far as its text tells; kInvalid says
// how to write it, without a word of what it is.
events::Status check_url(const std::string& url);

// What a statement returned. Owns it.
class Rows {
 public:
  explicit Rows(pg_result* result);
  int count() const;
  int columns() const;
  bool is_null(int row, int column) const;
  std::string_view text(int row, int column) const;  // valid as long as this object
  std::int64_t int64(int row, int column) const;     // 0 where the text is no number
  std::int64_t affected() const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

// A parameter: none is NULL.
using Parameter = std::optional<std::string_view>;

// One statement of a pipeline: prepared before, or SQL to be parsed now.
struct Statement {
  std::string_view prepared;  // the name it was prepared under; empty: use sql
  std::string_view sql;
  std::vector<Parameter> parameters = {};
  bool binary = false;  // the parameters' format
};

// Ends a connection from another thread, at once: whoever waits on it is told kUnavailable. Has a
// life of its own: the connection may be closed meanwhile.
class Cutter {
 public:
  explicit Cutter(int socket);  // which it duplicates
  ~Cutter();
  Cutter(const Cutter&) = delete;
  Cutter& operator=(const Cutter&) = delete;

  void cut() const;

 private:
  const int socket_;
};

// One connection to PostgreSQL over libpq, non-blocking underneath, so that every call is bounded
// by a deadline of ours. After a failure of kind kUnavailable the connection is dead: open another.
// Not thread-safe.
class Connection {
 public:
  // Adds keepalives, so that a server which vanished is noticed within half a minute, and a time
  // limit on statements, locks and idle transactions.
  static Outcome<Connection> open(const ConnectionOptions& options);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // From now on every call gives up at this time at the latest, in milliseconds of the steady
  // clock, whatever the statement's own limit; none: that limit alone.
  void give_up_at(std::optional<std::int64_t> deadline_ms) { give_up_at_ms_ = deadline_ms; }

  bool alive() const;
  // Whether a transaction is open, in order or failed.
  bool in_transaction() const;

  // Runs SQL, several statements if need be; the last one's rows.
  Outcome<Rows> execute(const std::string& sql);
  // Runs one statement with parameters in text format.
  Outcome<Rows> query(const std::string& sql, std::span<const Parameter> parameters);
  Outcome<void> prepare(const std::string& name, const std::string& sql);
  // Sends all statements at once and waits for all: one round trip. The first failure ends it; a
  // transaction that is open then stays open, failed.
  Outcome<void> pipeline(std::span<const Statement> statements);
  // COMMIT, and proof that it was one: a failed transaction answers COMMIT with ROLLBACK.
  Outcome<void> commit();
  // ROLLBACK of whatever is open; a dead connection counts as rolled back.
  void rollback();

  // COPY ... FROM STDIN. `sql` may hold statements before the COPY.
  Outcome<void> begin_copy(const std::string& sql);
  // Hands over as many bytes as the socket takes without waiting; how many were taken.
  Outcome<std::size_t> copy_some(std::string_view bytes);
  // Hands over all.
  Outcome<void> copy_all(std::string_view bytes);
  // Ends the COPY and learns what the server thinks of it.
  Outcome<void> end_copy();
  // Ends the COPY and makes it fail.
  void cancel_copy();

  // The server process that serves this connection.
  int backend_id() const;
  // Not of a dead one. To be made on the connection's own thread.
  Cutter cutter() const;

 private:
  struct Close {
    void operator()(pg_conn* connection) const;
  };

  explicit Connection(pg_conn* connection, const ConnectionOptions& options);

  Failure connection_failure();
  Failure result_failure(const pg_result* result) const;
  Outcome<void> configure(const ConnectionOptions& options);
  Outcome<void> await_flushed();
  Outcome<void> await_answer();
  std::int64_t answer_deadline_ms() const;
  Outcome<void> wait(bool for_write, std::int64_t deadline_ms);
  Outcome<Rows> last_result();
  Outcome<void> send(const Statement& statement);
  Outcome<void> pipeline_results(std::size_t statements);

  std::unique_ptr<pg_conn, Close> connection_;
  int answer_timeout_ms_ = 0;
  std::optional<std::int64_t> give_up_at_ms_;
};

// The steady clock that give_up_at() means.
std::int64_t steady_now_ms();

}  // namespace voketag::postgres
