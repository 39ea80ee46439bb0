#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "processors/projection.h"
#include "runtime/log.h"
#include "runtime/view_sink.h"

namespace voketag::runtime {

// A database of views in memory: what all sinks of a test write into. Rows meet as Merge says.
// Not thread-safe.
class MemoryViews {
 public:
  using Value = std::optional<std::string>;  // none: null
  using Row = std::vector<Value>;
  struct Table {
    const processors::View* view = nullptr;
    std::map<std::string, Row> rows;  // by key, "a|b" where the key has several columns

    // The value in the row of that key; throws where there is no such row or column.
    const Value& value(std::string_view key, std::string_view column) const;
  };

  // What the next commit meets: nothing, or an outcome that its projector does not learn.
  enum class Fault { kNone, kLost, kUnknownButDone };
  std::function<Fault()> next_fault = [] { return Fault::kNone; };

  // The table of a view, or null where nothing was written to it.
  const Table* table(std::string_view view) const;
  const std::map<std::string, Table, std::less<>>& tables() const { return tables_; }
  std::int64_t position(std::string_view projection, const TopicPartition& partition) const;

 private:
  friend class MemoryViewSink;
  bool contains(const processors::View& view, const Row& row) const;
  void write(const processors::View& view, Row row);

  std::map<std::string, Table, std::less<>> tables_;
  std::map<std::string, std::map<TopicPartition, std::int64_t>, std::less<>> positions_;
};

// A projector's sink into MemoryViews. Rows that the views refuse (a key that is there) are handed
// to the reject handler record by record, as a database that falls back to single rows would.
class MemoryViewSink final : public ViewSink, private processors::RowWriter {
 public:
  MemoryViewSink(MemoryViews& views, std::string projection)
      : views_(views), projection_(std::move(projection)) {}

  events::Result<std::vector<std::int64_t>> positions(
      std::span<const TopicPartition> partitions) override;
  processors::RowWriter& rows() override { return *this; }
  void begin_record(const TopicPartition& partition, std::int64_t offset) override;
  void drop_record() override;
  void abandon() override;
  std::size_t gathered_bytes() const override { return gathered_bytes_; }
  events::Status commit(std::span<const Advance> advances, RejectHandler& rejects) override;

 private:
  struct PendingRow {
    const processors::View* view = nullptr;
    MemoryViews::Row row;
  };
  struct PendingRecord {
    TopicPartition partition;
    std::int64_t offset = 0;
    std::vector<PendingRow> rows;
  };

  void begin_row(const processors::View& view) override;
  void null() override;
  void uuid(const events::Uuid& value) override;
  void int64(std::int64_t value) override;
  void text(std::string_view value) override;
  void timestamp(events::Timestamp value) override;
  void hash(const events::Hash& value) override;
  void numeric(std::string_view decimal) override;
  void enumeration(std::string_view label) override;
  void add(processors::ColumnType type, std::string value);

  MemoryViews& views_;
  const std::string projection_;
  std::vector<PendingRecord> records_;
  std::size_t gathered_bytes_ = 0;
};

}  // namespace voketag::runtime
