#include "connectors/postgres/postgres_view_sink.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <thread>
#include <utility>

#include "connectors/postgres/row_text.h"
#include "connectors/postgres/text_array.h"

namespace voketag::postgres {
namespace {

using processors::Merge;
using runtime::TopicPartition;

constexpr const char* kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED";
constexpr std::string_view kAdvance = "advance";
constexpr int kConnectPauseMs = 200;
constexpr int kRetryPauseMs = 5;
// A writer that has waited for its own client for so long, in a transaction, is not at work.
constexpr const char* kStalledAfter = "3 seconds";

std::string insert_name(const processors::View& view) {
  return "insert_" + std::string(view.name);
}

void pause(int pause_ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
}

// The parameters of the statement that moves positions. Statements borrow from it.
class PositionMove {
 public:
  using Advance = runtime::ViewSink::Advance;

  PositionMove(std::string_view projection, std::int32_t generation,
               std::span<const Advance> advances)
      : projection_(projection),
        generation_(std::to_string(generation)),
        topics_(array_of_text(advances, [](const Advance& a) { return a.partition.topic; })),
        partitions_(array_of_text(
            advances, [](const Advance& a) { return std::to_string(a.partition.partition); })),
        from_(array_of_text(advances, [](const Advance& a) { return std::to_string(a.from); })),
        to_(array_of_text(advances, [](const Advance& a) { return std::to_string(a.to); })) {}

  Statement statement() const {
    return {kAdvance, {}, {projection_, generation_, topics_, partitions_, from_, to_}, false};
  }

 private:
  const std::string projection_;
  const std::string generation_;
  const std::string topics_;
  const std::string partitions_;
  const std::string from_;
  const std::string to_;
};

}  // namespace

PostgresViewSink::PostgresViewSink(PostgresViewSinkOptions options,
                                   std::span<const processors::View* const> views)
    : options_(std::move(options)), views_(views.begin(), views.end()), gatherer_(views) {
  options_.connection.application_name = application_name();
  generation_ = options_.generation.value_or(generation_);
}

PostgresViewSink::~PostgresViewSink() {
  abandon();
}

std::string PostgresViewSink::application_name() const {
  return "voketag." + options_.purpose + "-" + options_.projection;
}

std::optional<int> PostgresViewSink::backend_id() const {
  if (!connection_ || !connection_->alive()) return std::nullopt;
  return connection_->backend_id();
}

// ---- connection -----------------------------------------------------------------------------

Outcome<void> PostgresViewSink::connect() {
  if (connection_ && connection_->alive()) return {};
  connection_.reset();
  auto opened = Connection::open(options_.connection);
  if (!opened) return tl::unexpected(std::move(opened.error()));
  ++counts_.connects;
  connection_.emplace(std::move(*opened));
  connection_->give_up_at(deadline_ms_);
  auto prepared = prepare_statements();
  if (!prepared) connection_.reset();
  return prepared;
}

Outcome<void> PostgresViewSink::prepare_statements() {
  auto enums = read_enum_types(*connection_, views_);
  if (!enums) return tl::unexpected(std::move(enums.error()));
  enums_ = std::move(*enums);
  const auto relaxed = connection_->execute("SET synchronous_commit = off");
  if (!relaxed) return tl::unexpected(relaxed.error());
  for (const processors::View* view : views_) {
    auto prepared =
        connection_->prepare(insert_name(*view), insert_sql(*view, options_.table_suffix));
    if (!prepared) return prepared;
  }
  return connection_->prepare(std::string(kAdvance),
                              "SELECT voketag.advance_positions($1, $2, $3, $4, $5, $6)");
}

// A call begins: all that it does together ends by its deadline.
void PostgresViewSink::set_deadline() {
  deadline_ms_ = steady_now_ms() + options_.commit_timeout_ms;
  if (connection_) connection_->give_up_at(deadline_ms_);
}

bool PostgresViewSink::is_late() const {
  return steady_now_ms() >= deadline_ms_;
}

Outcome<void> PostgresViewSink::connect_patiently() {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.unavailable_timeout_ms);
  while (true) {
    auto connected = connect();
    if (connected || connected.error().kind == FailureKind::kFatal) return connected;
    if (std::chrono::steady_clock::now() + std::chrono::milliseconds(kConnectPauseMs) >= deadline) {
      return connected;
    }
    pause(kConnectPauseMs);
  }
}

events::Result<std::vector<std::int64_t>> PostgresViewSink::positions(
    std::span<const TopicPartition> partitions) {
  set_deadline();
  assert(!open_.begun && "positions are read between transactions");
  const auto connected = connect_patiently();
  if (!connected) return tl::unexpected(to_error(connected.error()));
  return read_positions(partitions);
}

// Positions and the live generation are of one moment: a swap changes both in one transaction.
events::Result<std::vector<std::int64_t>> PostgresViewSink::read_positions(
    std::span<const TopicPartition> partitions) {
  const std::string generation = std::to_string(options_.generation.value_or(0));
  const std::string topics = array_of_text(partitions, [](const auto& p) { return p.topic; });
  const std::string numbers =
      array_of_text(partitions, [](const auto& p) { return std::to_string(p.partition); });
  const std::vector<Parameter> parameters{options_.projection, generation, topics, numbers};
  const auto rows = connection_->query(
      "SELECT coalesce(recorded.next_offset, 0), wanted.generation"
      "  FROM (SELECT coalesce(nullif($2::integer, 0), voketag.live_generation($1)) AS generation)"
      "       AS wanted"
      " CROSS JOIN unnest($3::text[], $4::integer[]) WITH ORDINALITY"
      "       AS asked (topic, partition, place)"
      "  LEFT JOIN voketag.projection_positions AS recorded"
      "    ON recorded.projection = $1 AND recorded.generation = wanted.generation"
      "   AND recorded.topic = asked.topic AND recorded.partition = asked.partition"
      " ORDER BY asked.place",
      parameters);
  if (!rows) {
    connection_.reset();
    return tl::unexpected(to_error(rows.error()));
  }
  std::vector<std::int64_t> offsets;
  for (int row = 0; row < rows->count(); ++row) offsets.push_back(rows->int64(row, 0));
  if (rows->count() > 0) generation_ = static_cast<std::int32_t>(rows->int64(0, 1));
  return offsets;
}

// ---- gathering ------------------------------------------------------------------------------

void PostgresViewSink::begin_record(const TopicPartition& partition, std::int64_t offset) {
  gatherer_.end_record();
  stream();
  if (origins_.empty() || partitions_[origins_.back().partition] != partition) {
    const auto known = std::find(partitions_.begin(), partitions_.end(), partition);
    const auto index = static_cast<std::uint32_t>(known - partitions_.begin());
    if (known == partitions_.end()) partitions_.push_back(partition);
    origins_.push_back({index, offset});
  } else {
    origins_.push_back({origins_.back().partition, offset});
  }
  [[maybe_unused]] const std::uint32_t record = gatherer_.begin_record();
  assert(record + 1 == origins_.size());
}

void PostgresViewSink::abandon() {
  set_deadline();
  roll_back();
  forget();
}

void PostgresViewSink::forget() {
  gatherer_.clear();
  origins_.clear();
  partitions_.clear();
  rejected_.clear();
  reject_error_.reset();
  reported_ = 0;
  careful_ = false;
  open_ = {};
}

void PostgresViewSink::roll_back() {
  if (connection_ && open_.begun) {
    if (open_.streaming != nullptr) connection_->cancel_copy();
    connection_->rollback();
  }
  open_ = {};
}

// Hands the rows of complete records to the server, without waiting for it.
void PostgresViewSink::stream() {
  if (open_.failure || careful_ || !connection_) return;
  if (open_.streaming == nullptr) {
    for (const auto& rows : gatherer_.views()) {
      if (rows->view->merge != Merge::kInsert) continue;
      if (rows->bytes.size() < options_.stream_bytes_min) continue;
      auto begun = begin_stream(*rows);
      if (!begun) open_.failure = std::move(begun.error());
      break;
    }
  }
  if (open_.streaming == nullptr || open_.failure) return;
  const std::string_view gathered = open_.streaming->bytes.view();
  const auto taken = connection_->copy_some(gathered.substr(open_.streamed_bytes));
  if (taken) {
    open_.streamed_bytes += *taken;
  } else {
    open_.failure = taken.error();
  }
}

Outcome<void> PostgresViewSink::begin_stream(const ViewRows& rows) {
  set_deadline();
  auto begun = connection_->begin_copy(std::string(kBegin) + "; " +
                                       copy_sql(*rows.view, options_.table_suffix));
  if (!begun) return begun;
  ++counts_.copies;
  open_.begun = true;
  open_.streaming = &rows;
  return connection_->copy_all(copy_header());
}

// ---- commit ---------------------------------------------------------------------------------

events::Status PostgresViewSink::commit(std::span<const Advance> advances, RejectHandler& rejects) {
  set_deadline();
  gatherer_.end_record();
  for (const InvalidRecord& invalid : gatherer_.invalid()) reject(invalid.record, invalid.detail);
  if (!rejected_.empty()) take_care();
  const std::size_t bytes = gatherer_.bytes();
  auto done = run_transaction(advances, rejects);
  if (done) {
    ++counts_.commits;
    counts_.rows_bytes += static_cast<std::int64_t>(bytes);
    open_ = {};
    forget();
    return {};
  }
  // What became of a transaction whose connection failed is not known; another connection shows it.
  if (done.error().kind == FailureKind::kUnavailable) connection_.reset();
  roll_back();
  events::Error error = reject_error_ ? std::move(*reject_error_) : to_error(done.error());
  forget();
  return tl::unexpected(std::move(error));
}

// From here on this transaction is written with savepoints, positions first.
void PostgresViewSink::take_care() {
  roll_back();
  careful_ = true;
  ++counts_.careful;
}

Outcome<void> PostgresViewSink::run_transaction(std::span<const Advance> advances,
                                                RejectHandler& rejects) {
  if (!connection_ || !connection_->alive()) {
    if (open_.begun) return fail(FailureKind::kUnavailable, "the connection was lost");
    auto connected = connect_patiently();
    if (!connected) return connected;
  }
  for (int attempt = 1;; ++attempt) {
    auto done = careful_ ? write_carefully(advances, rejects) : write_all(advances);
    if (done || reject_error_) return done;
    const Failure& failure = done.error();
    if (failure.kind == FailureKind::kRefused && !careful_) {
      take_care();
      continue;
    }
    if (failure.kind != FailureKind::kRetry) return done;
    if (attempt >= options_.attempts_max || is_late()) return done;
    spdlog::info("projection {}: the transaction is run again: {}", options_.projection,
                 failure.message);
    ++counts_.retries;
    roll_back();
    if (failure.sqlstate == "55P03") end_stalled_writers();
    pause(kRetryPauseMs << attempt);
  }
}

Outcome<void> PostgresViewSink::begin() {
  if (open_.begun) return {};
  const auto begun = connection_->execute(kBegin);
  if (!begun) return tl::unexpected(begun.error());
  open_.begun = true;
  return {};
}

// The usual way: nothing is known to be wrong with any row.
Outcome<void> PostgresViewSink::write_all(std::span<const Advance> advances) {
  if (open_.failure) return tl::unexpected(*std::exchange(open_.failure, std::nullopt));
  const ViewRows* const streamed = open_.streaming;
  if (streamed != nullptr) {
    auto finished = finish_stream();
    if (!finished) return finished;
  }
  std::vector<const ViewRows*> inserts;
  for (const auto& rows : gatherer_.views()) {
    if (rows.get() == streamed || rows->bytes.size() == 0) continue;
    if (rows->view->merge == Merge::kInsert && rows->bytes.size() >= options_.stream_bytes_min) {
      auto begun = begin();
      if (!begun) return begun;
      auto copied = copy_rows(*rows, rows->bytes.view());
      if (!copied) return copied;
    } else {
      inserts.push_back(rows.get());
    }
  }
  return finish(advances, inserts);
}

Outcome<void> PostgresViewSink::finish_stream() {
  const std::string_view gathered = open_.streaming->bytes.view();
  auto sent = connection_->copy_all(gathered.substr(open_.streamed_bytes));
  if (!sent) return sent;
  sent = connection_->copy_all(copy_trailer());
  if (!sent) return sent;
  open_.streaming = nullptr;
  return connection_->end_copy();
}

Outcome<void> PostgresViewSink::copy_rows(const ViewRows& rows, std::string_view bytes) {
  auto done = connection_->begin_copy(copy_sql(*rows.view, options_.table_suffix));
  if (!done) return done;
  ++counts_.copies;
  for (const std::string_view piece : {copy_header(), bytes, copy_trailer()}) {
    done = connection_->copy_all(piece);
    if (!done) return done;
  }
  return connection_->end_copy();
}

// The rest of the transaction in one round trip: inserts, positions, COMMIT.
Outcome<void> PostgresViewSink::finish(std::span<const Advance> advances,
                                       std::span<const ViewRows* const> inserts) {
  std::vector<std::string> names;
  std::vector<ViewArrays> arrays;
  names.reserve(inserts.size());
  arrays.reserve(inserts.size());
  std::vector<Statement> statements;
  if (!open_.begun) statements.push_back({.prepared = {}, .sql = kBegin});
  for (const ViewRows* rows : inserts) {
    names.push_back(insert_name(*rows->view));
    arrays.emplace_back(*rows->view, enums_, rows->bytes.view());
    statements.push_back({names.back(), {}, arrays.back().parameters(), true});
  }
  const PositionMove move(options_.projection, generation_, advances);
  statements.push_back(move.statement());
  statements.push_back({.prepared = {}, .sql = "COMMIT"});
  open_.begun = true;
  return connection_->pipeline(statements);
}

Outcome<void> PostgresViewSink::report(RejectHandler& rejects) {
  if (reported_ == rejected_.size()) return {};
  const auto fresh = std::span<const Rejected>(rejected_).subspan(reported_);
  const std::int64_t begun_ms = steady_now_ms();
  auto handled = rejects.on_rejected(fresh);
  deadline_ms_ += steady_now_ms() - begun_ms;
  connection_->give_up_at(deadline_ms_);
  if (!handled) {
    reject_error_ = std::move(handled.error());
    return fail(FailureKind::kFatal, "the rejected records could not be reported");
  }
  reported_ = rejected_.size();
  return {};
}

void PostgresViewSink::reject(std::uint32_t record, std::string detail) {
  const RecordOrigin& origin = origins_[record];
  const TopicPartition& partition = partitions_[origin.partition];
  // The same record may be refused again when the transaction is run again.
  const bool known = std::any_of(rejected_.begin(), rejected_.end(), [&](const Rejected& other) {
    return other.partition == partition && other.offset == origin.offset;
  });
  if (!known) rejected_.push_back({partition, origin.offset, std::move(detail)});
}

// ---- finding the rows that are refused --------------------------------------------------------

Outcome<void> PostgresViewSink::write_carefully(std::span<const Advance> advances,
                                                RejectHandler& rejects) {
  auto begun = begin_with_positions(advances);
  if (!begun) return begun;
  row_tries_ = 0;
  std::vector<Range> ranges;
  if (gatherer_.record_count() > 0) ranges.push_back({0, gatherer_.record_count()});
  while (!ranges.empty()) {
    const Range range = ranges.back();
    ranges.pop_back();
    std::string refusal;
    const auto written = try_write([&] { return write_range(range); }, refusal);
    if (!written) return tl::unexpected(written.error());
    if (*written) continue;
    if (range.last - range.first == 1) {
      auto rest = write_good_rows(range.first);
      if (!rest) return rest;
      continue;
    }
    const std::uint32_t middle = range.first + (range.last - range.first) / 2;
    ranges.push_back({middle, range.last});
    ranges.push_back({range.first, middle});
  }
  auto reported = report(rejects);
  if (!reported) return reported;
  return connection_->commit();
}

Outcome<void> PostgresViewSink::begin_with_positions(std::span<const Advance> advances) {
  const PositionMove move(options_.projection, generation_, advances);
  const std::array statements{Statement{.prepared = {}, .sql = kBegin}, move.statement()};
  open_.begun = true;
  return connection_->pipeline(statements);
}

// Lands the rows of a refused record that the database takes, and rejects it for the others.
Outcome<void> PostgresViewSink::write_good_rows(std::uint32_t record) {
  RefusedRows refused;
  for (const auto& rows : gatherer_.views()) {
    const auto all = split_rows(*rows->view, rows->between(record, record + 1));
    refused.total += all.size();
    auto written = write_good_rows(*rows, all, refused);
    if (!written) return written;
  }
  if (refused.refused == 0) return {};  // the refusal was of a passing kind
  std::string detail = refused.refusal + ". Refused: " + refused.keys;
  if (refused.refused > refused.named) {
    detail += " and " + std::to_string(refused.refused - refused.named) + " more";
  }
  detail += "; " + std::to_string(refused.refused) + " of the record's " +
            std::to_string(refused.total) + " rows";
  if (refused.refused < refused.total) detail += ", the others are in the view";
  reject(record, std::move(detail));
  return {};
}

Outcome<void> PostgresViewSink::write_good_rows(const ViewRows& rows,
                                                std::span<const std::string_view> all,
                                                RefusedRows& refused) {
  std::vector<std::span<const std::string_view>> parts;
  if (!all.empty()) parts.push_back(all);
  while (!parts.empty()) {
    const auto part = parts.back();
    parts.pop_back();
    const char* const begin = part.front().data();
    const char* const end = part.back().data() + part.back().size();
    const std::string_view bytes(begin, static_cast<std::size_t>(end - begin));
    ++row_tries_;
    std::string refusal;
    const auto written = try_write([&] { return write_rows(rows, bytes); }, refusal);
    if (!written) return tl::unexpected(written.error());
    if (*written) continue;
    if (part.size() > 1 && row_tries_ < kRowTriesMax) {
      parts.push_back(part.subspan(part.size() / 2));
      parts.push_back(part.first(part.size() / 2));
      continue;
    }
    if (refused.refused == 0) refused.refusal = refusal;
    refused.refused += part.size();
    for (const auto row : part.first(std::min(part.size(), kRowsNamedMax - refused.named))) {
      refused.keys += (refused.named++ == 0 ? "" : ", ") + key_text(*rows.view, row);
    }
  }
  return {};
}

Outcome<bool> PostgresViewSink::try_write(const std::function<Outcome<void>()>& write,
                                          std::string& refusal) {
  auto step = connection_->execute("SAVEPOINT range");
  if (!step) return tl::unexpected(step.error());
  const auto written = write();
  if (written) {
    step = connection_->execute("RELEASE range");
    if (!step) return tl::unexpected(step.error());
    return true;
  }
  if (written.error().kind != FailureKind::kRefused) return tl::unexpected(written.error());
  refusal = to_error(written.error()).message;
  step = connection_->execute("ROLLBACK TO range; RELEASE range");
  if (!step) return tl::unexpected(step.error());
  return false;
}

Outcome<void> PostgresViewSink::write_range(Range range) {
  for (const auto& rows : gatherer_.views()) {
    const std::string_view bytes = rows->between(range.first, range.last);
    if (bytes.empty()) continue;
    auto written = write_rows(*rows, bytes);
    if (!written) return written;
  }
  return {};
}

Outcome<void> PostgresViewSink::write_rows(const ViewRows& rows, std::string_view bytes) {
  if (rows.view->merge == Merge::kInsert && bytes.size() >= options_.stream_bytes_min) {
    return copy_rows(rows, bytes);
  }
  const ViewArrays arrays(*rows.view, enums_, bytes);
  const std::string name = insert_name(*rows.view);
  const Statement statement{name, {}, arrays.parameters(), true};
  return connection_->pipeline({&statement, 1});
}

// ---- stalled writers ------------------------------------------------------------------------

void PostgresViewSink::end_stalled_writers() {
  const std::string name = application_name();
  const std::vector<Parameter> parameters{name, kStalledAfter};
  const auto ended = connection_->query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
      " WHERE application_name = $1 AND usename = current_user AND datname = current_database()"
      "   AND pid <> pg_backend_pid() AND wait_event = 'ClientRead'"
      "   AND xact_start < clock_timestamp() - $2::interval"
      "   AND state_change < clock_timestamp() - $2::interval",
      parameters);
  if (!ended || ended->count() == 0) return;
  counts_.stalled_ended += ended->count();
  spdlog::warn(
      "projection {}: ended {} stalled connection(s) that held rows in an open transaction",
      options_.projection, ended->count());
}

}  // namespace voketag::postgres
