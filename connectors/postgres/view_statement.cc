#include "connectors/postgres/view_statement.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <unordered_map>

#include "connectors/postgres/numeric.h"

namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;

// Oids of PostgreSQL's own types are fixed (src/include/catalog/pg_type.dat).
constexpr std::uint32_t kUuidOid = 2950;
constexpr std::uint32_t kInt8Oid = 20;
constexpr std::uint32_t kTextOid = 25;
constexpr std::uint32_t kTimestamptzOid = 1184;
constexpr std::uint32_t kNumericOid = 1700;

std::string type_name(const Column& column) {
  switch (column.type) {
    case ColumnType::kUuid:
      return "uuid";
    case ColumnType::kInt64:
      return "bigint";
    case ColumnType::kText:
    case ColumnType::kHash:
      return "text";
    case ColumnType::kTimestamp:
      return "timestamptz";
    case ColumnType::kNumeric:
      return "numeric";
    case ColumnType::kEnum:
      return "voketag." + std::string(column.enum_type);
  }
  return "text";
}

std::uint32_t type_id(const Column& column, const EnumTypes& enums) {
  switch (column.type) {
    case ColumnType::kUuid:
      return kUuidOid;
    case ColumnType::kInt64:
      return kInt8Oid;
    case ColumnType::kText:
    case ColumnType::kHash:
      return kTextOid;
    case ColumnType::kTimestamp:
      return kTimestamptzOid;
    case ColumnType::kNumeric:
      return kNumericOid;
    case ColumnType::kEnum:
      return enums.find(column.enum_type)->second.type_id;
  }
  return kTextOid;
}

bool grows(const Column& column) {
  return column.greatest || column.type == ColumnType::kEnum;
}

// Characters are compared as bytes, here as in memory, whatever the database's collation.
std::string comparable(std::string_view table, const Column& column) {
  std::string expression = std::string(table) + '.' + std::string(column.name);
  if (type_name(column) == "text") expression += " COLLATE \"C\"";
  return expression;
}

std::string column_names(std::span<const Column> columns) {
  std::string names;
  for (const Column& column : columns) {
    if (!names.empty()) names += ", ";
    names += column.name;
  }
  return names;
}

// Whether the arriving row's deciding value is the greater; none is the least.
std::string arrives_later(const Column& decider) {
  const std::string name(decider.name);
  return "(" + comparable("excluded", decider) + " > " + comparable("existing", decider) +
         " OR (existing." + name + " IS NULL AND excluded." + name + " IS NOT NULL))";
}

// The column that decides for this one; null: it goes by its own rule alone.
const Column* decider_of(const View& view, const Column& column) {
  if (column.decided_by.empty()) return nullptr;
  const auto found =
      std::find_if(view.columns.begin(), view.columns.end(),
                   [&](const Column& other) { return other.name == column.decided_by; });
  if (found == view.columns.end() || !grows(*found) || !found->decided_by.empty()) {
    throw std::logic_error("view " + std::string(view.name) + ": " + std::string(column.name) +
                           " needs a column that only grows to be decided by");
  }
  return &*found;
}

// The value that a column has after the merge.
std::string merged_value(const Column& column, const Column* decider) {
  const std::string name(column.name);
  const std::string own_rule = grows(column)
                                   ? "GREATEST(" + comparable("existing", column) + ", " +
                                         comparable("excluded", column) + ")"
                                   : "COALESCE(existing." + name + ", excluded." + name + ")";
  if (decider == nullptr) return own_rule;
  const std::string decided(decider->name);
  return "CASE WHEN " + arrives_later(*decider) + " THEN excluded." + name + " WHEN excluded." +
         decided + " IS NOT DISTINCT FROM existing." + decided + " THEN " + own_rule +
         " ELSE existing." + name + " END";
}

// Whether the merge changes the column, beside what its decider changes.
std::string change_of(const Column& column, const Column* decider) {
  const std::string name(column.name);
  std::string change = "(existing." + name + " IS NULL AND excluded." + name + " IS NOT NULL)";
  if (grows(column)) {
    change += " OR " + comparable("excluded", column) + " > " + comparable("existing", column);
  }
  if (decider == nullptr) return change;
  const std::string decided(decider->name);
  return "(excluded." + decided + " IS NOT DISTINCT FROM existing." + decided + " AND (" + change +
         "))";
}

std::string merge_clause(const View& view) {
  const auto merged = view.columns.subspan(view.key_columns);
  std::string clause =
      " ON CONFLICT (" + column_names(view.columns.first(view.key_columns)) + ") DO ";
  if (merged.empty()) return clause + "NOTHING";
  std::string assignments;
  std::string changes;
  for (const Column& column : merged) {
    const Column* const decider = decider_of(view, column);
    if (!assignments.empty()) assignments += ", ";
    if (!changes.empty()) changes += " OR ";
    assignments += std::string(column.name) + " = " + merged_value(column, decider);
    changes += change_of(column, decider);
  }
  return clause + "UPDATE SET " + assignments + " WHERE " + changes;
}

}  // namespace

Outcome<EnumTypes> read_enum_types(Connection& connection, std::span<const View* const> views) {
  EnumTypes enums;
  for (const View* view : views) {
    for (const Column& column : view->columns) {
      if (column.type != ColumnType::kEnum || enums.contains(column.enum_type)) continue;
      const std::string name = "voketag." + std::string(column.enum_type);
      const std::vector<Parameter> parameters{name};
      const auto rows = connection.query(
          "SELECT enumtypid, enumlabel FROM pg_enum WHERE enumtypid = $1::regtype "
          "ORDER BY enumsortorder",
          parameters);
      if (!rows) return tl::unexpected(rows.error());
      EnumType& type = enums[std::string(column.enum_type)];
      for (int row = 0; row < rows->count(); ++row) {
        type.type_id = static_cast<std::uint32_t>(rows->int64(row, 0));
        type.rank.emplace(rows->text(row, 1), row);
      }
    }
  }
  return enums;
}

std::string copy_sql(const View& view, std::string_view suffix) {
  return "COPY voketag." + std::string(view.name) + std::string(suffix) + " (" +
         column_names(view.columns) + ") FROM STDIN (FORMAT binary)";
}

std::string insert_sql(const View& view, std::string_view suffix) {
  std::string arrays;
  for (std::size_t index = 0; index < view.columns.size(); ++index) {
    if (index > 0) arrays += ", ";
    arrays += '$' + std::to_string(index + 1) + "::" + type_name(view.columns[index]) + "[]";
  }
  std::string sql = "INSERT INTO voketag." + std::string(view.name) + std::string(suffix) +
                    " AS existing (" + column_names(view.columns) + ") SELECT * FROM unnest(" +
                    arrays + ")";
  if (view.merge == Merge::kUpsert) sql += merge_clause(view);
  return sql;
}

std::string_view copy_header() {
  // Signature, flags, length of the header's extension.
  static constexpr std::array<char, 19> kHeader{'P', 'G',  'C',    'O',  'P',
                                                'Y', '\n', '\xff', '\r', '\n'};
  return {kHeader.data(), kHeader.size()};
}

std::string_view copy_trailer() {
  static constexpr std::array<char, 2> kTrailer{'\xff', '\xff'};
  return {kTrailer.data(), kTrailer.size()};
}

// ---- arrays ---------------------------------------------------------------------------------

ViewArrays::ViewArrays(const View& view, const EnumTypes& enums, std::string_view rows)
    : view_(view), enums_(enums) {
  parse(rows);
  if (view_.merge == Merge::kUpsert) merge_by_key();
  row_count_ = order_.size();
  arrays_.resize(view_.columns.size());
  for (std::size_t column = 0; column < view_.columns.size(); ++column) {
    encode_column(column, order_);
  }
}

std::vector<Parameter> ViewArrays::parameters() const {
  std::vector<Parameter> parameters;
  for (const ByteBuffer& array : arrays_) parameters.emplace_back(array.view());
  return parameters;
}

void ViewArrays::parse(std::string_view rows) {
  for (const char* at = rows.data(); at != rows.data() + rows.size();) {
    at += sizeof(std::int16_t);
    for (std::size_t column = 0; column < view_.columns.size(); ++column) {
      Value value;
      value.length = static_cast<std::int32_t>(ByteBuffer::load32(at));
      value.bytes = at + sizeof(std::int32_t);
      at = value.bytes + std::max(value.length, 0);
      values_.push_back(value);
    }
  }
  for (std::size_t first = 0; first < values_.size(); first += view_.columns.size()) {
    order_.push_back(&values_[first]);
  }
}

// The key's values with their lengths: one run of bytes, equal when all values are.
std::string_view ViewArrays::key(const Value* row) const {
  const char* const begin = row[0].bytes - sizeof(std::int32_t);
  const Value& last = row[view_.key_columns - 1];
  return {begin, static_cast<std::size_t>(last.bytes + std::max(last.length, 0) - begin)};
}

void ViewArrays::merge_by_key() {
  for (const Column& column : view_.columns) deciders_.push_back(decider_of(view_, column));
  std::unordered_map<std::string_view, Value*> by_key;
  by_key.reserve(order_.size());
  std::vector<const Value*> merged;
  for (std::size_t first = 0; first < values_.size(); first += view_.columns.size()) {
    Value* const row = &values_[first];
    // The key is where it was gathered, also after a merge: merged values lie behind it.
    const auto [found, is_new] = by_key.emplace(key(row), row);
    if (is_new) {
      merged.push_back(row);
    } else {
      merge(found->second, row);
    }
  }
  std::sort(merged.begin(), merged.end(),
            [&](const Value* left, const Value* right) { return key(left) < key(right); });
  order_ = std::move(merged);
}

void ViewArrays::merge(Value* into, const Value* from) const {
  // The deciding columns last: until then they tell which row is the later.
  for (const bool decided : {true, false}) {
    for (std::size_t index = view_.key_columns; index < view_.columns.size(); ++index) {
      if (decided == (deciders_[index] != nullptr)) merge_column(index, into, from);
    }
  }
}

void ViewArrays::merge_column(std::size_t index, Value* into, const Value* from) const {
  const Column& column = view_.columns[index];
  if (const Column* const decider = deciders_[index]) {
    const auto decided_by = static_cast<std::size_t>(decider - view_.columns.data());
    const int order = compare_or_null(*decider, from[decided_by], into[decided_by]);
    if (order > 0) into[index] = from[index];
    if (order != 0) return;
  }
  const int order = compare_or_null(column, from[index], into[index]);
  if (into[index].length < 0 || (grows(column) && order > 0)) into[index] = from[index];
}

// Null is less than any value.
int ViewArrays::compare_or_null(const Column& column, const Value& left, const Value& right) const {
  if (left.length < 0 || right.length < 0) {
    return static_cast<int>(left.length >= 0) - static_cast<int>(right.length >= 0);
  }
  return compare(column, left, right);
}

// A label that the type does not have ranks above all: so it reaches the database, which refuses
// it.
int ViewArrays::rank(const Column& column, std::string_view label) const {
  const EnumType& type = enums_.find(column.enum_type)->second;
  const auto found = type.rank.find(label);
  return found == type.rank.end() ? std::numeric_limits<int>::max() : found->second;
}

int ViewArrays::compare(const Column& column, const Value& left, const Value& right) const {
  switch (column.type) {
    case ColumnType::kInt64:
    case ColumnType::kTimestamp: {
      const auto left_number = static_cast<std::int64_t>(ByteBuffer::load64(left.bytes));
      const auto right_number = static_cast<std::int64_t>(ByteBuffer::load64(right.bytes));
      return left_number < right_number ? -1 : (left_number > right_number ? 1 : 0);
    }
    case ColumnType::kNumeric:
      return compare_numeric(left.view(), right.view());
    case ColumnType::kEnum: {
      const int left_rank = rank(column, left.view());
      const int right_rank = rank(column, right.view());
      return left_rank < right_rank ? -1 : (left_rank > right_rank ? 1 : 0);
    }
    case ColumnType::kUuid:
    case ColumnType::kText:
    case ColumnType::kHash:
      return left.view().compare(right.view());
  }
  return 0;
}

// PostgreSQL's binary array of one dimension (array_recv): int32 dimensions, int32 whether nulls
// occur, the element's type, int32 length, int32 first index; then the elements as in COPY.
void ViewArrays::encode_column(std::size_t column, const std::vector<const Value*>& order) {
  ByteBuffer& array = arrays_[column];
  const bool has_null = std::any_of(order.begin(), order.end(),
                                    [&](const Value* row) { return row[column].length < 0; });
  array.append_int32(1);
  array.append_int32(has_null ? 1 : 0);
  array.append_int32(static_cast<std::int32_t>(type_id(view_.columns[column], enums_)));
  array.append_int32(static_cast<std::int32_t>(order.size()));
  array.append_int32(1);
  for (const Value* row : order) {
    const Value& value = row[column];
    array.append_int32(value.length);
    if (value.length > 0) array.append(value.view());
  }
}

}  // namespace voketag::postgres
