#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/field.h"
#include "events/record.h"
#include "events/timestamp.h"
#include "events/uuid.h"

// A projection turns events into rows of a view. Pure: the same record gives the same rows.
namespace voketag::processors {

enum class ColumnType { kUuid, kInt64, kText, kTimestamp, kHash, kNumeric, kEnum };

struct Column {
  std::string_view name;
  ColumnType type = ColumnType::kText;
  std::string_view enum_type = {};  // the PostgreSQL type, for kEnum
  bool greatest = false;  // where rows are merged: the greater value wins, as for every enum; for
                          // what only grows (a count of retries, the time of the last change)
  std::string_view decided_by = {};  // where rows are merged: the column that this one goes with
};

// How rows that a projection writes meet rows that are there.
enum class Merge {
  kInsert,  // each row is new; its key comes from one event only
  kUpsert,  // rows of one key are merged column by column: the first value that is not null stays;
            // the greater value wins for an enum (its type declares the order of a life cycle) and
            // for a column that says `greatest`. Columns that are `decided_by` another, which must
            // be of the latter kind, are first merged as one: the row with the greater deciding
            // value (null is the least) gives them all, its nulls too; between equals, each follows
            // its own rule. Events of several topics may so arrive in any order and give the same
            // row.
};

struct View {
  std::string_view name;  // the table, in schema voketag
  std::span<const Column> columns;
  std::size_t key_columns = 1;  // the first so many columns are the key
  Merge merge = Merge::kInsert;
};

// Receives a projection's rows, value by value, in the order of the view's columns. Calls
// alternate: begin_row, then one call per column. Implementations encode straight into COPY format
// or memory.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  virtual void begin_row(const View& view) = 0;
  virtual void null() = 0;
  virtual void uuid(const events::Uuid& value) = 0;
  virtual void int64(std::int64_t value) = 0;
  virtual void text(std::string_view value) = 0;
  virtual void timestamp(events::Timestamp value) = 0;
  virtual void hash(const events::Hash& value) = 0;  // stored as 64 hex digits
  virtual void numeric(std::string_view decimal) = 0;
  virtual void enumeration(std::string_view label) = 0;
};

class Projection {
 public:
  virtual ~Projection() = default;
  virtual std::string_view name() const = 0;
  virtual std::vector<std::string_view> inputs() const = 0;
  virtual std::span<const View* const> views() const = 0;

  // Writes the rows that the record gives rise to. An error sends the record to the dead letters;
  // rows written before it are dropped with it.
  virtual events::Status project(const events::RecordView& record, RowWriter& rows) = 0;
};

}  // namespace voketag::processors
