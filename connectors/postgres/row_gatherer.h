#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/byte_buffer.h"
#include "processors/projection.h"

namespace voketag::postgres {

// Where the rows that one record gave rise to begin in a view's buffer; they end where the next
// span begins.
struct RowSpan {
  std::uint32_t record = 0;
  std::size_t begin = 0;
};

// The rows of one view, encoded as the tuples of binary COPY (PostgreSQL's manual, "COPY", Binary
// Format): int16 number of fields, then for each int32 length (-1: null) and value, all in network
// order. Elements of a binary array are encoded the same way, so a field can be moved as it is.
struct ViewRows {
  const processors::View* view = nullptr;
  ByteBuffer bytes;
  std::vector<RowSpan> spans;  // by rising record

  // The bytes of the rows of records in [first, last).
  std::string_view between(std::uint32_t first, std::uint32_t last) const;
};

// A record whose rows cannot even be encoded, and why.
struct InvalidRecord {
  std::uint32_t record = 0;
  std::string detail;
};

// Gathers the rows of one transaction, encoding each value as it comes. Memory is kept from one
// transaction to the next; no value allocates. Values, in the views' binary form: uuid 16 bytes;
// int64 and timestamptz (microseconds since 2000-01-01) 8; text, hash (64 hex digits) and enum
// their characters; numeric see numeric.h.
class RowGatherer final : public processors::RowWriter {
 public:
  explicit RowGatherer(std::span<const processors::View* const> views);

  // Rows from here on belong to the next record; returns its number, from 0. Ends the one before.
  std::uint32_t begin_record();
  // Ends the last record: its rows are complete. Rows of a record that is invalid are dropped.
  void end_record();
  // Forgets the rows of the last record, which must not have been ended.
  void drop_record();
  void clear();

  std::uint32_t record_count() const { return records_; }
  std::size_t bytes() const;
  std::span<const std::unique_ptr<ViewRows>> views() const { return views_; }
  std::span<const InvalidRecord> invalid() const { return invalid_; }

  void begin_row(const processors::View& view) override;
  void null() override;
  void uuid(const events::Uuid& uuid) override;
  void int64(std::int64_t number) override;
  void text(std::string_view text) override;
  void timestamp(events::Timestamp time) override;
  void hash(const events::Hash& hash) override;
  void numeric(std::string_view decimal) override;
  void enumeration(std::string_view label) override;

 private:
  char* value(processors::ColumnType type, std::size_t length);
  void count_value();
  void invalidate(std::string detail);
  void truncate_record();

  std::vector<std::unique_ptr<ViewRows>> views_;
  std::vector<InvalidRecord> invalid_;
  std::uint32_t records_ = 0;
  bool record_open_ = false;
  bool record_invalid_ = false;
  ViewRows* row_view_ = nullptr;    // the view of the row that is being written
  std::size_t values_missing_ = 0;  // of that row
};

}  // namespace voketag::postgres
