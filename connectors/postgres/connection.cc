#include "connectors/postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <utility>

namespace voketag::postgres {
namespace {

// How many bytes libpq is handed at once: it copies them, and sends in multiples of 8 KiB.
constexpr std::size_t kCopyPieceBytes = 64U << 10;
// The server ends a statement at its own limit; only when it fails to, we cut the connection.
constexpr int kAnswerGraceMs = 5'000;

std::string one_line(const char* text) {
  std::string line = text != nullptr ? text : "";
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

void erase_all(std::string& text, std::string_view secret) {
  if (secret.empty()) return;
  for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3)) {
    text.replace(at, secret.size(), "***");
  }
}

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using ParsedOptions = std::unique_ptr<PQconninfoOption, FreeOptions>;

// Keyword and value of every option that is set.
struct Keywords {
  std::vector<std::string> keywords;
  std::vector<std::string> values;

  void set(const char* keyword, std::string value) {
    keywords.emplace_back(keyword);
    values.push_back(std::move(value));
  }
  void set_default(const char* keyword, std::string value) {
    if (std::find(keywords.begin(), keywords.end(), keyword) == keywords.end()) {
      set(keyword, std::move(value));
    }
  }
  static std::vector<const char*> pointers(const std::vector<std::string>& strings) {
    std::vector<const char*> pointers;
    for (const std::string& string : strings) pointers.push_back(string.c_str());
    pointers.push_back(nullptr);
    return pointers;
  }
};

// A port, or several separated by commas, as hosts may be.
bool is_port_list(std::string_view text) {
  while (true) {
    const std::string_view port = text.substr(0, text.find(','));
    int number = 0;
    const auto read = std::from_chars(port.data(), port.data() + port.size(), number);
    const bool is_port =
        read.ec == std::errc() && read.ptr == port.data() + port.size() && number > 0;
    if (!port.empty() && (!is_port || number > 65535)) return false;
    if (port.size() == text.size()) return true;
    text.remove_prefix(port.size() + 1);
  }
}

constexpr const char* kUrlForm =
    "Write it as postgresql://user:password@host:port/database, with signs such as @ : / % in the "
    "password percent-encoded";

Outcome<Keywords> parse_url(const std::string& url) {
  char* ignored = nullptr;  // libpq's text may quote the URL, password and all
  const ParsedOptions parsed(PQconninfoParse(url.c_str(), &ignored));
  if (ignored != nullptr) PQfreemem(ignored);
  if (!parsed) {
    return fail(
        FailureKind::kFatal,
        std::string("VOKETAG_POSTGRES is not a connection string that libpq understands. ") +
            kUrlForm);
  }
  Keywords result;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    // An unencoded @ in a password makes its tail part of the host; an unencoded / makes its head
    // the port and its tail the database, and libpq's complaint would quote them.
    const std::string_view keyword = option->keyword;
    const std::string_view value = option->val;
    if ((keyword == "host" || keyword == "dbname") && value.find('@') != std::string_view::npos) {
      return fail(FailureKind::kFatal, "the " + std::string(keyword) +
                                           " in VOKETAG_POSTGRES contains an @. " + kUrlForm);
    }
    if (keyword == "port" && !is_port_list(value)) {
      return fail(
          FailureKind::kFatal,
          std::string("the port in VOKETAG_POSTGRES is no number from 1 to 65535. ") + kUrlForm);
    }
    result.set(option->keyword, option->val);
  }
  return result;
}

Keywords with_defaults(Keywords keywords, const ConnectionOptions& options) {
  // Stalled writers are recognised by this name, whatever the URL says.
  keywords.set("application_name", options.application_name);
  keywords.set_default("client_encoding", "UTF8");
  keywords.set_default("keepalives", "1");
  keywords.set_default("keepalives_idle", "10");
  keywords.set_default("keepalives_interval", "5");
  keywords.set_default("keepalives_count", "3");
  keywords.set_default("tcp_user_timeout", "30000");
  return keywords;
}

struct FlatStatement {
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

FlatStatement flatten(std::span<const Parameter> parameters, bool binary) {
  FlatStatement flat;
  for (const Parameter& parameter : parameters) {
    flat.values.push_back(parameter ? parameter->data() : nullptr);
    flat.lengths.push_back(parameter ? static_cast<int>(parameter->size()) : 0);
    flat.formats.push_back(binary ? 1 : 0);
  }
  return flat;
}

}  // namespace

events::Status check_url(const std::string& url) {
  const auto parsed = parse_url(url);
  if (!parsed) return events::fail(events::Errc::kInvalid, parsed.error().message);
  return {};
}

std::int64_t steady_now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// ---- rows -----------------------------------------------------------------------------------

Rows::Rows(pg_result* result) : result_(result) {}
void Rows::Clear::operator()(pg_result* result) const {
  PQclear(result);
}
int Rows::count() const {
  return PQntuples(result_.get());
}
int Rows::columns() const {
  return PQnfields(result_.get());
}
bool Rows::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}
std::string_view Rows::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}
std::int64_t Rows::int64(int row, int column) const {
  const std::string_view digits = text(row, column);
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}
std::int64_t Rows::affected() const {
  const std::string_view digits = PQcmdTuples(result_.get());
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

// ---- opening and closing --------------------------------------------------------------------

void Connection::Close::operator()(pg_conn* connection) const {
  PQfinish(connection);
}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Connection::Connection(pg_conn* connection, const ConnectionOptions& options)
    : connection_(connection), answer_timeout_ms_(options.statement_timeout_ms + kAnswerGraceMs) {}

Outcome<Connection> Connection::open(const ConnectionOptions& options) {
  auto parsed = parse_url(options.url);
  if (!parsed) return tl::unexpected(std::move(parsed.error()));
  const Keywords keywords = with_defaults(std::move(*parsed), options);
  Connection connection(PQconnectStartParams(Keywords::pointers(keywords.keywords).data(),
                                             Keywords::pointers(keywords.values).data(), 0),
                        options);
  if (!connection.connection_) return fail(FailureKind::kUnavailable, "out of memory");
  PGconn* raw = connection.connection_.get();
  PQsetNoticeReceiver(
      raw, [](void*, const PGresult*) {}, nullptr);

  const std::int64_t deadline_ms = steady_now_ms() + options.connect_timeout_ms;
  for (auto state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK; state = PQconnectPoll(raw)) {
    if (PQstatus(raw) == CONNECTION_BAD || state == PGRES_POLLING_FAILED) {
      return tl::unexpected(connection.connection_failure());
    }
    const auto waited = connection.wait(state == PGRES_POLLING_WRITING, deadline_ms);
    if (!waited) return tl::unexpected(waited.error());
  }
  const auto configured = connection.configure(options);
  if (!configured) return tl::unexpected(configured.error());
  return connection;
}

Outcome<void> Connection::configure(const ConnectionOptions& options) {
  PQsetnonblocking(connection_.get(), 1);
  const auto limit = [](int timeout_ms) { return std::to_string(timeout_ms); };
  const auto done =
      execute("SET client_min_messages = warning; SET statement_timeout = " +
              limit(options.statement_timeout_ms) +
              "; SET lock_timeout = " + limit(options.lock_timeout_ms) +
              "; SET idle_in_transaction_session_timeout = " + limit(options.statement_timeout_ms));
  if (!done) return tl::unexpected(done.error());
  return {};
}

bool Connection::alive() const {
  return connection_ != nullptr && PQstatus(connection_.get()) == CONNECTION_OK;
}
bool Connection::in_transaction() const {
  return alive() && PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
}
int Connection::backend_id() const {
  return PQbackendPID(connection_.get());
}
Cutter Connection::cutter() const {
  return Cutter(PQsocket(connection_.get()));
}

Cutter::Cutter(int socket) : socket_(::dup(socket)) {}
Cutter::~Cutter() {
  if (socket_ >= 0) ::close(socket_);
}
void Cutter::cut() const {
  ::shutdown(socket_, SHUT_RDWR);
}

// ---- failures -------------------------------------------------------------------------------

Failure Connection::connection_failure() {
  std::string message = one_line(PQerrorMessage(connection_.get()));
  if (const char* password = PQpass(connection_.get())) erase_all(message, password);
  if (message.empty()) message = "the connection was lost";
  return {FailureKind::kUnavailable, {}, std::move(message)};
}

Failure Connection::result_failure(const pg_result* result) const {
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  Failure failure;
  failure.sqlstate = sqlstate != nullptr ? sqlstate : "";
  failure.kind = classify(failure.sqlstate);
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  failure.message = one_line(primary != nullptr ? primary : PQresultErrorMessage(result));
  if (const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL)) {
    failure.message += ": " + one_line(detail);
  }
  return failure;
}

// ---- waiting --------------------------------------------------------------------------------

Outcome<void> Connection::wait(bool for_write, std::int64_t deadline_ms) {
  while (true) {
    const std::int64_t left_ms = deadline_ms - steady_now_ms();
    if (left_ms <= 0) {
      connection_.reset();
      return fail(FailureKind::kUnavailable, "the server did not answer in time");
    }
    pollfd descriptor{PQsocket(connection_.get()),
                      static_cast<short>(for_write ? POLLIN | POLLOUT : POLLIN), 0};
    const int ready = ::poll(&descriptor, 1, static_cast<int>(left_ms));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) {
      return fail(FailureKind::kUnavailable, "waiting for the server failed");
    }
  }
}

std::int64_t Connection::answer_deadline_ms() const {
  const std::int64_t own = steady_now_ms() + answer_timeout_ms_;
  return give_up_at_ms_ ? std::min(own, *give_up_at_ms_) : own;
}

Outcome<void> Connection::await_flushed() {
  const std::int64_t deadline_ms = answer_deadline_ms();
  while (true) {
    const int state = PQflush(connection_.get());
    if (state == 0) return {};
    if (state < 0) return tl::unexpected(connection_failure());
    const auto waited = wait(true, deadline_ms);
    if (!waited) return waited;
    // The server may be telling us something before it takes more.
    if (PQconsumeInput(connection_.get()) == 0) return tl::unexpected(connection_failure());
  }
}

Outcome<void> Connection::await_answer() {
  const std::int64_t deadline_ms = answer_deadline_ms();
  while (true) {
    const int flushed = PQflush(connection_.get());
    if (flushed < 0) return tl::unexpected(connection_failure());
    if (PQisBusy(connection_.get()) == 0) return {};
    const auto waited = wait(flushed == 1, deadline_ms);
    if (!waited) return waited;
    if (PQconsumeInput(connection_.get()) == 0) return tl::unexpected(connection_failure());
  }
}

// Reads results to the end; the last one, or the first that is an error. A COPY ends the reading.
Outcome<Rows> Connection::last_result() {
  std::optional<Rows> last;
  std::optional<Failure> failure;
  while (true) {
    const auto waited = await_answer();
    if (!waited) return tl::unexpected(waited.error());
    PGresult* result = PQgetResult(connection_.get());
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && !failure) failure = result_failure(result);
    last.emplace(result);
    if (status == PGRES_COPY_IN) break;
    // A dead connection repeats its error for ever.
    if (PQstatus(connection_.get()) == CONNECTION_BAD) break;
  }
  if (failure) return tl::unexpected(std::move(*failure));
  if (!last) return tl::unexpected(connection_failure());
  return std::move(*last);
}

// ---- statements -----------------------------------------------------------------------------

Outcome<Rows> Connection::execute(const std::string& sql) {
  if (!alive()) return fail(FailureKind::kUnavailable, "the connection was lost");
  if (PQsendQuery(connection_.get(), sql.c_str()) == 0) {
    return tl::unexpected(connection_failure());
  }
  return last_result();
}

Outcome<Rows> Connection::query(const std::string& sql, std::span<const Parameter> parameters) {
  if (!alive()) return fail(FailureKind::kUnavailable, "the connection was lost");
  // Text parameters end with a zero byte.
  std::vector<std::string> texts;
  for (const Parameter& parameter : parameters) texts.emplace_back(parameter.value_or(""));
  std::vector<const char*> values;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    values.push_back(parameters[i] ? texts[i].c_str() : nullptr);
  }
  if (PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                        values.data(), nullptr, nullptr, 0) == 0) {
    return tl::unexpected(connection_failure());
  }
  return last_result();
}

Outcome<void> Connection::prepare(const std::string& name, const std::string& sql) {
  if (!alive()) return fail(FailureKind::kUnavailable, "the connection was lost");
  if (PQsendPrepare(connection_.get(), name.c_str(), sql.c_str(), 0, nullptr) == 0) {
    return tl::unexpected(connection_failure());
  }
  const auto result = last_result();
  if (!result) return tl::unexpected(result.error());
  return {};
}

Outcome<void> Connection::send(const Statement& statement) {
  const FlatStatement flat = flatten(statement.parameters, statement.binary);
  const int count = static_cast<int>(flat.values.size());
  const int sent =
      statement.prepared.empty()
          ? PQsendQueryParams(connection_.get(), std::string(statement.sql).c_str(), count, nullptr,
                              flat.values.data(), flat.lengths.data(), flat.formats.data(), 0)
          : PQsendQueryPrepared(connection_.get(), std::string(statement.prepared).c_str(), count,
                                flat.values.data(), flat.lengths.data(), flat.formats.data(), 0);
  if (sent == 0) return tl::unexpected(connection_failure());
  return {};
}

Outcome<void> Connection::pipeline(std::span<const Statement> statements) {
  if (!alive()) return fail(FailureKind::kUnavailable, "the connection was lost");
  if (PQenterPipelineMode(connection_.get()) == 0) return tl::unexpected(connection_failure());
  for (const Statement& statement : statements) {
    const auto sent = send(statement);
    if (!sent) return sent;
  }
  if (PQpipelineSync(connection_.get()) == 0) return tl::unexpected(connection_failure());
  auto results = pipeline_results(statements.size());
  if (connection_ && PQexitPipelineMode(connection_.get()) == 0 && results) {
    return tl::unexpected(connection_failure());
  }
  return results;
}

Outcome<void> Connection::pipeline_results(std::size_t statements) {
  std::optional<Failure> failure;
  // Each statement answers with a result and a null; the end of the pipeline with one result.
  for (std::size_t answered = 0; answered <= statements;) {
    const auto waited = await_answer();
    if (!waited) return waited;
    PGresult* result = PQgetResult(connection_.get());
    if (result == nullptr) {
      if (!alive()) return tl::unexpected(failure.value_or(connection_failure()));
      ++answered;
      continue;
    }
    const Rows owner(result);
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && !failure) failure = result_failure(result);
    if (status == PGRES_PIPELINE_SYNC) break;
    if (!alive()) return tl::unexpected(failure.value_or(connection_failure()));
  }
  if (failure) return tl::unexpected(std::move(*failure));
  return {};
}

Outcome<void> Connection::commit() {
  if (!alive()) return fail(FailureKind::kUnavailable, "the connection was lost");
  const bool failed = PQtransactionStatus(connection_.get()) == PQTRANS_INERROR;
  const auto result = execute("COMMIT");
  if (!result) return tl::unexpected(result.error());
  if (failed) return fail(FailureKind::kFatal, "a failed transaction was committed");
  return {};
}

void Connection::rollback() {
  if (!in_transaction()) return;
  // When even this fails, closing ends the transaction as well.
  if (!execute("ROLLBACK")) connection_.reset();
}

// ---- COPY -----------------------------------------------------------------------------------

Outcome<void> Connection::begin_copy(const std::string& sql) {
  const auto result = execute(sql);
  if (!result) return tl::unexpected(result.error());
  return {};
}

Outcome<std::size_t> Connection::copy_some(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    const int state = PQflush(connection_.get());
    if (state < 0) return tl::unexpected(connection_failure());
    if (state == 1) {
      if (PQconsumeInput(connection_.get()) == 0) return tl::unexpected(connection_failure());
      break;
    }
    const std::size_t piece = std::min(kCopyPieceBytes, bytes.size() - taken);
    if (PQputCopyData(connection_.get(), bytes.data() + taken, static_cast<int>(piece)) != 1) {
      return tl::unexpected(connection_failure());
    }
    taken += piece;
  }
  return taken;
}

Outcome<void> Connection::copy_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto taken = copy_some(bytes);
    if (!taken) return tl::unexpected(taken.error());
    bytes.remove_prefix(*taken);
    const auto flushed = await_flushed();
    if (!flushed) return flushed;
  }
  return {};
}

Outcome<void> Connection::end_copy() {
  if (!alive()) return fail(FailureKind::kUnavailable, "the connection was lost");
  if (PQputCopyEnd(connection_.get(), nullptr) != 1) return tl::unexpected(connection_failure());
  const auto result = last_result();
  if (!result) return tl::unexpected(result.error());
  return {};
}

void Connection::cancel_copy() {
  if (!alive()) return;
  if (PQputCopyEnd(connection_.get(), "abandoned") != 1) {
    connection_.reset();
    return;
  }
  // An error of ours is what comes back; anything but an answer closes the connection.
  const auto result = last_result();
  if (!result && result.error().kind == FailureKind::kUnavailable && !alive()) connection_.reset();
}

}  // namespace voketag::postgres
