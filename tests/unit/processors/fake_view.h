#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "processors/projection.h"

namespace voketag::processors::testing {

// A database in memory that keeps to the rules of projection.h: which type each column takes, and
// how rows meet. Values are held as text.
class FakeView : public RowWriter {
 public:
  using Value = std::optional<std::string>;
  using Row = std::vector<Value>;

  void begin_row(const View& view) override {
    finish_row();
    view_ = &view;
  }
  void null() override { row_.push_back(std::nullopt); }
  void uuid(const events::Uuid& value) override { add(ColumnType::kUuid, value.to_string()); }
  void int64(std::int64_t value) override { add(ColumnType::kInt64, std::to_string(value)); }
  void text(std::string_view value) override { add(ColumnType::kText, value); }
  void timestamp(events::Timestamp value) override {
    add(ColumnType::kTimestamp, value.to_string());
  }
  void hash(const events::Hash& value) override { add(ColumnType::kHash, value.to_string()); }
  void numeric(std::string_view decimal) override { add(ColumnType::kNumeric, decimal); }
  void enumeration(std::string_view label) override { add(ColumnType::kEnum, label); }

  // Projects one record; its rows take effect all or not at all.
  events::Status project(Projection& projection, const events::RecordView& record) {
    pending_.clear();
    auto status = projection.project(record, *this);
    finish_row();
    if (!status) return status;
    for (auto& [view, row] : pending_) merge(*view, std::move(row));
    return status;
  }

  std::size_t size(std::string_view view) const {
    const auto found = tables_.find(view);
    return found == tables_.end() ? 0 : found->second.size();
  }

  // The value of a column in the row of that key ("a|b" for two key columns).
  Value value(const View& view, std::string_view key, std::string_view column) const {
    const auto& rows = tables_.at(std::string(view.name));
    return rows.at(std::string(key)).at(index_of(view, column));
  }

  const auto& tables() const { return tables_; }

  static const View& view_of(const Projection& projection, std::string_view name) {
    for (const auto* view : projection.views()) {
      if (view->name == name) return *view;
    }
    throw std::logic_error("no view " + std::string(name));
  }

 private:
  static std::size_t index_of(const View& view, std::string_view column) {
    for (std::size_t i = 0; i < view.columns.size(); ++i) {
      if (view.columns[i].name == column) return i;
    }
    throw std::logic_error("no column " + std::string(column));
  }

  void add(ColumnType type, std::string_view value) {
    if (row_.size() >= view_->columns.size() || view_->columns[row_.size()].type != type) {
      throw std::logic_error("value " + std::to_string(row_.size()) + " of a row of " +
                             std::string(view_->name) + " is of another type than its column");
    }
    row_.emplace_back(value);
  }

  void finish_row() {
    if (view_ == nullptr) return;
    if (row_.size() != view_->columns.size()) throw std::logic_error("a row is incomplete");
    pending_.emplace_back(view_, std::move(row_));
    row_.clear();
    view_ = nullptr;
  }

  void merge(const View& view, Row row) {
    std::string key;
    for (std::size_t i = 0; i < view.key_columns; ++i) key += (i ? "|" : "") + row[i].value();
    auto& table = tables_[std::string(view.name)];
    const auto [there, is_new] = table.try_emplace(key, row);
    if (is_new) return;
    if (view.merge == Merge::kInsert) throw std::logic_error("key " + key + " is there already");
    Row& old = there->second;
    for (const bool decided : {true, false}) {  // the deciding columns last: they are looked at
      for (std::size_t i = view.key_columns; i < row.size(); ++i) {
        const auto& decider = view.columns[i].decided_by;
        if (decided == decider.empty()) continue;
        const std::size_t by = decided ? index_of(view, decider) : i;
        const bool arrives_later = decided && later(view.columns[by], row[by], old[by]);
        const bool is_late = decided && later(view.columns[by], old[by], row[by]);
        const bool by_own_rule = !old[i] || later(view.columns[i], row[i], old[i]);
        if (arrives_later || (!is_late && by_own_rule)) old[i] = row[i];
      }
    }
  }

  static bool later(const Column& column, const Value& value, const Value& old) {
    return value && (!old || wins(column, *value, *old));
  }

  static bool wins(const Column& column, const std::string& value, const std::string& old) {
    if (column.type == ColumnType::kEnum) {
      return rank(column.enum_type, value) > rank(column.enum_type, old);
    }
    if (!column.greatest) return false;
    if (column.type == ColumnType::kInt64) return std::stoll(value) > std::stoll(old);
    return value > old;  // RFC 3339 with a fixed number of digits sorts as text
  }

  // A label's place in the life cycle that the column's type declares.
  static std::size_t rank(std::string_view type, const std::string& label) {
    static const std::map<std::string_view, std::vector<std::string>> kTypes{
        {"batch_status",
         {"requested", "generating", "anchoring", "anchor_failed", "completed", "failed"}},
        {"anchor_status", {"pending", "processing", "failed", "completed"}}};
    const auto& labels = kTypes.at(type);
    const auto found = std::find(labels.begin(), labels.end(), label);
    if (found == labels.end()) throw std::logic_error("unknown label " + label);
    return static_cast<std::size_t>(found - labels.begin());
  }

  const View* view_ = nullptr;
  Row row_;
  std::vector<std::pair<const View*, Row>> pending_;
  std::map<std::string, std::map<std::string, Row>, std::less<>> tables_;
};

}  // namespace voketag::processors::testing
