#include "runtime/memory_view_sink.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace voketag::runtime {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;

namespace {

// The labels of the enum types, in the order in which connectors/postgres declares them.
std::size_t rank_of(std::string_view type, std::string_view label) {
  static const std::map<std::string_view, std::vector<std::string_view>> kTypes{
      {"batch_status",
       {"requested", "generating", "anchoring", "anchor_failed", "completed", "failed"}},
      {"anchor_status", {"pending", "processing", "failed", "completed"}},
      {"product_status", {"active"}}};
  const auto& labels = kTypes.at(type);
  const auto found = std::find(labels.begin(), labels.end(), label);
  if (found == labels.end()) {
    throw std::logic_error("enum " + std::string(type) + " has no label " + std::string(label));
  }
  return static_cast<std::size_t>(found - labels.begin());
}

bool wins(const Column& column, const std::string& value, const std::string& old) {
  if (column.type == ColumnType::kEnum) {
    return rank_of(column.enum_type, value) > rank_of(column.enum_type, old);
  }
  if (!column.greatest) return false;
  if (column.type == ColumnType::kInt64) return std::stoll(value) > std::stoll(old);
  return value > old;  // times have a fixed number of digits
}

bool later(const Column& column, const MemoryViews::Value& value, const MemoryViews::Value& old) {
  return value && (!old || wins(column, *value, *old));
}

std::size_t column_index(const View& view, std::string_view name) {
  for (std::size_t i = 0; i < view.columns.size(); ++i) {
    if (view.columns[i].name == name) return i;
  }
  throw std::out_of_range("view " + std::string(view.name) + " has no column " + std::string(name));
}

std::string key_of(const View& view, const MemoryViews::Row& row) {
  std::string key;
  for (std::size_t i = 0; i < view.key_columns; ++i) key += (i == 0 ? "" : "|") + row[i].value();
  return key;
}

}  // namespace

// ---- the views ----------------------------------------------------------------------------------

const MemoryViews::Value& MemoryViews::Table::value(std::string_view key,
                                                    std::string_view column) const {
  return rows.at(std::string(key)).at(column_index(*view, column));
}

const MemoryViews::Table* MemoryViews::table(std::string_view view) const {
  const auto found = tables_.find(view);
  return found == tables_.end() ? nullptr : &found->second;
}

std::int64_t MemoryViews::position(std::string_view projection,
                                   const TopicPartition& partition) const {
  const auto of_projection = positions_.find(projection);
  if (of_projection == positions_.end()) return 0;
  const auto found = of_projection->second.find(partition);
  return found == of_projection->second.end() ? 0 : found->second;
}

bool MemoryViews::contains(const View& view, const Row& row) const {
  const Table* const known = table(view.name);
  return known != nullptr && known->rows.contains(key_of(view, row));
}

void MemoryViews::write(const View& view, Row row) {
  if (row.size() != view.columns.size()) {
    throw std::logic_error("a row of " + std::string(view.name) + " is incomplete");
  }
  Table& table = tables_[std::string(view.name)];
  table.view = &view;
  const auto [there, is_new] = table.rows.try_emplace(key_of(view, row), row);
  if (is_new) return;
  Row& old = there->second;
  for (const bool decided : {true, false}) {  // the deciding columns last: they are looked at
    for (std::size_t i = view.key_columns; i < row.size(); ++i) {
      const auto decider = view.columns[i].decided_by;
      if (decided == decider.empty()) continue;
      const std::size_t by = decided ? column_index(view, decider) : i;
      const bool arrives_later = decided && later(view.columns[by], row[by], old[by]);
      const bool is_late = decided && later(view.columns[by], old[by], row[by]);
      const bool by_own_rule = !old[i] || later(view.columns[i], row[i], old[i]);
      if (arrives_later || (!is_late && by_own_rule)) old[i] = row[i];
    }
  }
}

// ---- the sink -----------------------------------------------------------------------------------

events::Result<std::vector<std::int64_t>> MemoryViewSink::positions(
    std::span<const TopicPartition> partitions) {
  std::vector<std::int64_t> result;
  for (const auto& partition : partitions) {
    result.push_back(views_.position(projection_, partition));
  }
  return result;
}

void MemoryViewSink::begin_record(const TopicPartition& partition, std::int64_t offset) {
  records_.push_back({partition, offset, {}});
}

void MemoryViewSink::drop_record() {
  records_.pop_back();
}

void MemoryViewSink::abandon() {
  records_.clear();
  gathered_bytes_ = 0;
}

events::Status MemoryViewSink::commit(std::span<const Advance> advances, RejectHandler& rejects) {
  const auto records = std::exchange(records_, {});
  gathered_bytes_ = 0;
  for (const auto& advance : advances) {
    if (views_.position(projection_, advance.partition) == advance.from) continue;
    return events::fail(events::Errc::kFenced, "another projector has moved " +
                                                   advance.partition.topic + " " +
                                                   std::to_string(advance.partition.partition));
  }
  const auto fault = views_.next_fault();
  const auto lost = events::fail(events::Errc::kUnavailable, "the connection to the views broke");
  if (fault == MemoryViews::Fault::kLost) return lost;

  std::vector<Rejected> rejected;
  std::vector<const PendingRecord*> accepted;
  std::set<std::string> fresh;  // keys of this transaction
  for (const auto& record : records) {
    const bool is_new = std::ranges::all_of(record.rows, [&](const PendingRow& pending) {
      if (pending.view->merge != Merge::kInsert) return true;
      return !views_.contains(*pending.view, pending.row) &&
             fresh
                 .insert(std::string(pending.view->name) + "/" + key_of(*pending.view, pending.row))
                 .second;
    });
    if (is_new) {
      accepted.push_back(&record);
    } else {
      rejected.push_back({record.partition, record.offset, "its key is there already"});
    }
  }
  if (!rejected.empty()) {
    if (auto told = rejects.on_rejected(rejected); !told) return told;
  }
  for (const auto* record : accepted) {
    for (const auto& pending : record->rows) views_.write(*pending.view, pending.row);
  }
  for (const auto& advance : advances) {
    views_.positions_[projection_][advance.partition] = advance.to;
  }
  if (fault == MemoryViews::Fault::kUnknownButDone) return lost;
  return {};
}

// ---- rows ---------------------------------------------------------------------------------------

void MemoryViewSink::begin_row(const View& view) {
  records_.back().rows.push_back({&view, {}});
}

void MemoryViewSink::add(ColumnType type, std::string value) {
  PendingRow& pending = records_.back().rows.back();
  if (pending.row.size() >= pending.view->columns.size() ||
      pending.view->columns[pending.row.size()].type != type) {
    throw std::logic_error("value " + std::to_string(pending.row.size()) + " of a row of " +
                           std::string(pending.view->name) + " does not fit its column");
  }
  gathered_bytes_ += value.size();
  pending.row.emplace_back(std::move(value));
}

void MemoryViewSink::null() {
  records_.back().rows.back().row.emplace_back(std::nullopt);
}
void MemoryViewSink::uuid(const events::Uuid& value) {
  add(ColumnType::kUuid, value.to_string());
}
void MemoryViewSink::int64(std::int64_t value) {
  add(ColumnType::kInt64, std::to_string(value));
}
void MemoryViewSink::text(std::string_view value) {
  add(ColumnType::kText, std::string(value));
}
void MemoryViewSink::timestamp(events::Timestamp value) {
  add(ColumnType::kTimestamp, value.to_string());
}
void MemoryViewSink::hash(const events::Hash& value) {
  add(ColumnType::kHash, value.to_string());
}
void MemoryViewSink::numeric(std::string_view decimal) {
  add(ColumnType::kNumeric, std::string(decimal));
}
void MemoryViewSink::enumeration(std::string_view label) {
  add(ColumnType::kEnum, std::string(label));
}

}  // namespace voketag::runtime
