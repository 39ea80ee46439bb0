#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/byte_buffer.h"
#include "connectors/postgres/connection.h"
#include "processors/projection.h"

namespace voketag::postgres {

// A PostgreSQL enum as this database declares it.
struct EnumType {
  std::uint32_t type_id = 0;                     // its oid
  std::map<std::string, int, std::less<>> rank;  // label: its place in the declaration
};
using EnumTypes = std::map<std::string, EnumType, std::less<>>;

// Reads the enums that these views use; kFatal when one does not exist.
Outcome<EnumTypes> read_enum_types(Connection& connection,
                                   std::span<const processors::View* const> views);

// "COPY voketag.name (columns) FROM STDIN (FORMAT binary)". `suffix` follows the table's name: that
// of a generation which is not live.
std::string copy_sql(const processors::View& view, std::string_view suffix = {});

// One INSERT whose parameters are one array per column. For an upsert view it merges with the row
// that is there by the rule of processors::Merge, and leaves a row alone that would not change.
std::string insert_sql(const processors::View& view, std::string_view suffix = {});

// What binary COPY begins and ends with.
std::string_view copy_header();
std::string_view copy_trailer();

// The arrays for insert_sql, made from rows in the form of ViewRows. Of an upsert view, rows of one
// key become one row first (one statement may not change a row twice), and rows are sorted by key,
// so that statements of several connections lock them in one order. Borrows `rows`.
class ViewArrays {
 public:
  ViewArrays(const processors::View& view, const EnumTypes& enums, std::string_view rows);

  std::size_t row_count() const { return row_count_; }
  std::vector<Parameter> parameters() const;

 private:
  struct Value {
    const char* bytes = nullptr;
    std::int32_t length = -1;  // -1: null
    std::string_view view() const { return {bytes, static_cast<std::size_t>(length)}; }
  };

  void parse(std::string_view rows);
  void merge_by_key();
  void merge(Value* into, const Value* from) const;
  void merge_column(std::size_t index, Value* into, const Value* from) const;
  int compare_or_null(const processors::Column& column, const Value& left,
                      const Value& right) const;
  int compare(const processors::Column& column, const Value& left, const Value& right) const;
  int rank(const processors::Column& column, std::string_view label) const;
  std::string_view key(const Value* row) const;
  void encode_column(std::size_t column, const std::vector<const Value*>& order);

  const processors::View& view_;
  const EnumTypes& enums_;
  std::vector<Value> values_;  // row by row
  std::vector<const Value*> order_;
  std::vector<const processors::Column*> deciders_;  // by column; null: none
  std::size_t row_count_ = 0;
  std::vector<ByteBuffer> arrays_;
};

}  // namespace voketag::postgres
