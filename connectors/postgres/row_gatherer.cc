#include "connectors/postgres/row_gatherer.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <stdexcept>

#include "connectors/postgres/numeric.h"

namespace voketag::postgres {
namespace {

// 2000-01-01T00:00:00Z, where PostgreSQL's time begins.
constexpr std::int64_t kPostgresEpochMs = 946'684'800'000;
constexpr std::int64_t kTimestampMsMax = std::numeric_limits<std::int64_t>::max() / 2'000;
// What is kept for the next transaction; one record may have needed more.
constexpr std::size_t kKeptBytesMax = 32U << 20;
// A row, and a record, cost this much beside their bytes.
constexpr std::size_t kSpanBytes = sizeof(RowSpan);
constexpr std::size_t kRecordBytes = 64;
constexpr std::size_t kTextBytesMax = 256U << 20;

void copy(char* to, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
}

}  // namespace

std::string_view ViewRows::between(std::uint32_t first, std::uint32_t last) const {
  const auto before = [](const RowSpan& span, std::uint32_t record) {
    return span.record < record;
  };
  const auto from = std::lower_bound(spans.begin(), spans.end(), first, before);
  const auto to = std::lower_bound(from, spans.end(), last, before);
  if (from == to) return {};
  return bytes.view(from->begin, to == spans.end() ? bytes.size() : to->begin);
}

RowGatherer::RowGatherer(std::span<const processors::View* const> views) {
  for (const processors::View* view : views) {
    views_.push_back(std::make_unique<ViewRows>());
    views_.back()->view = view;
  }
}

std::uint32_t RowGatherer::begin_record() {
  end_record();
  record_open_ = true;
  return records_++;
}

void RowGatherer::end_record() {
  if (!record_open_) return;
  assert(values_missing_ == 0 && "the last row of a record has too few values");
  if (values_missing_ != 0) invalidate("the projection wrote too few values into a row");
  if (record_invalid_) truncate_record();
  record_open_ = false;
  record_invalid_ = false;
  row_view_ = nullptr;
  values_missing_ = 0;
}

void RowGatherer::drop_record() {
  assert(record_open_);
  truncate_record();
  if (record_invalid_) invalid_.pop_back();
  record_invalid_ = false;
  row_view_ = nullptr;
  values_missing_ = 0;
}

void RowGatherer::truncate_record() {
  for (const auto& rows : views_) {
    while (!rows->spans.empty() && rows->spans.back().record + 1 == records_) {
      rows->bytes.truncate(rows->spans.back().begin);
      rows->spans.pop_back();
    }
  }
}

void RowGatherer::clear() {
  for (const auto& rows : views_) {
    rows->bytes.clear();
    rows->bytes.release_above(kKeptBytesMax);
    rows->spans.clear();
  }
  invalid_.clear();
  records_ = 0;
  record_open_ = false;
  record_invalid_ = false;
  row_view_ = nullptr;
  values_missing_ = 0;
}

std::size_t RowGatherer::bytes() const {
  std::size_t bytes = records_ * kRecordBytes;
  for (const auto& rows : views_) bytes += rows->bytes.size() + rows->spans.size() * kSpanBytes;
  return bytes;
}

void RowGatherer::begin_row(const processors::View& view) {
  assert(record_open_ && values_missing_ == 0);
  if (row_view_ == nullptr || row_view_->view != &view) {
    const auto found = std::find_if(views_.begin(), views_.end(),
                                    [&](const auto& rows) { return rows->view == &view; });
    if (found == views_.end()) throw std::logic_error("a projection wrote to a view not its own");
    row_view_ = found->get();
  }
  ViewRows& rows = *row_view_;
  if (rows.spans.empty() || rows.spans.back().record + 1 != records_) {
    rows.spans.push_back({records_ - 1, rows.bytes.size()});
  }
  values_missing_ = view.columns.size();
  rows.bytes.append_int16(static_cast<std::int16_t>(view.columns.size()));
}

void RowGatherer::count_value() {
  if (values_missing_ == 0) throw std::logic_error("a projection wrote too many values into a row");
  --values_missing_;
}

// Room for a value of `length` bytes at its place in the row. That the column is of this type is
// the projection's own contract, tested with each projection.
char* RowGatherer::value(processors::ColumnType type, std::size_t length) {
  assert(values_missing_ > 0 &&
         row_view_->view->columns[row_view_->view->columns.size() - values_missing_].type == type);
  count_value();
  char* const room = row_view_->bytes.extend(4 + length);
  ByteBuffer::store32(room, static_cast<std::uint32_t>(length));
  return room + 4;
}

void RowGatherer::invalidate(std::string detail) {
  if (record_invalid_) return;
  record_invalid_ = true;
  invalid_.push_back({records_ - 1, std::move(detail)});
}

void RowGatherer::null() {
  count_value();
  row_view_->bytes.append_int32(-1);
}

void RowGatherer::uuid(const events::Uuid& uuid) {
  std::memcpy(value(processors::ColumnType::kUuid, uuid.bytes.size()), uuid.bytes.data(),
              uuid.bytes.size());
}

void RowGatherer::int64(std::int64_t number) {
  ByteBuffer::store64(value(processors::ColumnType::kInt64, 8), static_cast<std::uint64_t>(number));
}

void RowGatherer::text(std::string_view text) {
  if (text.size() > kTextBytesMax) {
    invalidate("a text is longer than 256 MiB");
    text = {};
  }
  copy(value(processors::ColumnType::kText, text.size()), text);
}

void RowGatherer::timestamp(events::Timestamp time) {
  std::int64_t ms = time.ms;
  if (ms > kTimestampMsMax || ms < -kTimestampMsMax) {
    invalidate("a time is out of range: " + std::to_string(ms) + " ms");
    ms = 0;
  }
  ByteBuffer::store64(value(processors::ColumnType::kTimestamp, 8),
                      static_cast<std::uint64_t>((ms - kPostgresEpochMs) * 1'000));
}

void RowGatherer::hash(const events::Hash& hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  char* to = value(processors::ColumnType::kHash, 2 * hash.bytes.size());
  for (const std::uint8_t byte : hash.bytes) {
    *to++ = kDigits[byte >> 4];
    *to++ = kDigits[byte & 0x0f];
  }
}

void RowGatherer::numeric(std::string_view decimal) {
  value(processors::ColumnType::kNumeric, 0);
  ByteBuffer& bytes = row_view_->bytes;
  const std::size_t begin = bytes.size();
  if (!append_numeric(bytes, decimal)) {
    invalidate("not a decimal number: \"" + std::string(decimal.substr(0, 40)) + '"');
  }
  ByteBuffer::store32(bytes.at(begin - 4), static_cast<std::uint32_t>(bytes.size() - begin));
}

void RowGatherer::enumeration(std::string_view label) {
  copy(value(processors::ColumnType::kEnum, label.size()), label);
}

}  // namespace voketag::postgres
