#include "connectors/postgres/row_text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "connectors/postgres/byte_buffer.h"
#include "events/uuid.h"

namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::View;

constexpr std::size_t kTextShownMax = 64;

// A field of a row, and where the next begins.
struct FieldBytes {
  bool is_null = false;
  std::string_view bytes;
  const char* end = nullptr;
};

FieldBytes field_at(const char* at) {
  const auto length = static_cast<std::int32_t>(ByteBuffer::load32(at));
  const char* const bytes = at + sizeof(std::int32_t);
  const auto size = static_cast<std::size_t>(std::max(length, 0));
  return {length < 0, {bytes, size}, bytes + size};
}

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kTextShownMax)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kTextShownMax) shown += "...";
  return shown;
}

std::string value_text(const Column& column, const FieldBytes& field) {
  if (field.is_null) return "null";
  switch (column.type) {
    case ColumnType::kUuid: {
      events::Uuid id;
      if (field.bytes.size() != id.bytes.size()) break;
      std::memcpy(id.bytes.data(), field.bytes.data(), id.bytes.size());
      return id.to_string();
    }
    case ColumnType::kInt64:
      return std::to_string(static_cast<std::int64_t>(ByteBuffer::load64(field.bytes.data())));
    case ColumnType::kText:
    case ColumnType::kHash:
    case ColumnType::kEnum:
      return printable(field.bytes);
    case ColumnType::kTimestamp:
    case ColumnType::kNumeric:
      break;  // no view has such a key
  }
  return std::to_string(field.bytes.size()) + " bytes";
}

}  // namespace

std::vector<std::string_view> split_rows(const View& view, std::string_view rows) {
  std::vector<std::string_view> pieces;
  const char* const end = rows.data() + rows.size();
  for (const char* at = rows.data(); at != end;) {
    const char* const begin = at;
    at += sizeof(std::int16_t);
    for (std::size_t column = 0; column < view.columns.size(); ++column) at = field_at(at).end;
    pieces.emplace_back(begin, static_cast<std::size_t>(at - begin));
  }
  return pieces;
}

std::string key_text(const View& view, std::string_view row) {
  std::string text(view.name);
  const char* at = row.data() + sizeof(std::int16_t);
  for (const Column& column : view.columns.first(view.key_columns)) {
    const auto field = field_at(at);
    text += ' ' + std::string(column.name) + '=' + value_text(column, field);
    at = field.end;
  }
  return text;
}

}  // namespace voketag::postgres
