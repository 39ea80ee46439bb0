#include "processors/views/anchors_projection.h"

#include <array>
#include <optional>
#include <string>

#include "events/events.h"
#include "processors/views/row_values.h"

namespace voketag::processors {
namespace {

using events::AnchorCompleted;
using events::AnchorFailed;
using events::AnchorQueued;
using events::AnchorSubmitted;
using events::Timestamp;

constexpr bool kGreatest = true;

// A column that tells what was anchored where: all of them are of one revision.
constexpr Column anchored(std::string_view name, ColumnType type) {
  return {name, type, {}, false, "revision"};
}

constexpr std::array kAnchorColumns{
    Column{"anchor_id", ColumnType::kUuid},
    Column{"batch_id", ColumnType::kUuid},
    anchored("merkle_root", ColumnType::kHash),
    anchored("product_count", ColumnType::kInt64),
    Column{"status", ColumnType::kEnum, "anchor_status"},
    anchored("transaction_id", ColumnType::kText),
    anchored("leaf_index", ColumnType::kInt64),
    anchored("block_number", ColumnType::kInt64),
    anchored("gas_used", ColumnType::kInt64),
    anchored("gas_price_gwei", ColumnType::kNumeric),
    anchored("network", ColumnType::kText),
    Column{"error", ColumnType::kText, {}, false, "status"},
    Column{"retry_count", ColumnType::kInt64, {}, kGreatest},
    Column{"created_at", ColumnType::kTimestamp},
    Column{"updated_at", ColumnType::kTimestamp, {}, kGreatest},
    anchored("anchored_at", ColumnType::kTimestamp),
    anchored("chain_id", ColumnType::kInt64),
    anchored("block_hash", ColumnType::kText),
    Column{"revision", ColumnType::kInt64, {}, kGreatest},
    Column{"next_retry_at", ColumnType::kTimestamp, {}, kGreatest, "status"},
    anchored("aggregate_root", ColumnType::kHash),
    anchored("tree_size", ColumnType::kInt64),
    anchored("aggregate_path", ColumnType::kText)};
constexpr View kAnchors{"anchors", kAnchorColumns, 1, Merge::kUpsert};

constexpr std::array kTransactionColumns{
    Column{"transaction_id", ColumnType::kText},  Column{"network", ColumnType::kText},
    Column{"chain_id", ColumnType::kInt64},       Column{"nonce", ColumnType::kInt64},
    Column{"raw_transaction", ColumnType::kText}, Column{"aggregate_root", ColumnType::kHash},
    Column{"tree_size", ColumnType::kInt64},      Column{"submitted_at", ColumnType::kTimestamp}};
constexpr View kTransactions{"anchor_transactions", kTransactionColumns, 1, Merge::kUpsert};

constexpr std::array kViews{&kAnchors, &kTransactions};

// What every event knows of an anchor. Borrows from the event.
struct AnchorRow {
  events::Uuid anchor_id;
  events::Uuid batch_id;
  std::string_view status;
  Timestamp updated_at;
  std::optional<events::Hash> merkle_root;
  std::optional<std::int64_t> product_count;
  std::optional<std::string_view> error;
  std::optional<std::int64_t> retry_count;
  std::optional<Timestamp> created_at;
  std::optional<Timestamp> next_retry_at;
  const AnchorCompleted* completed = nullptr;  // all about transaction and block, or nothing

  // In the order of kAnchorColumns.
  void write(RowWriter& rows) const {
    rows.begin_row(kAnchors);
    rows.uuid(anchor_id);
    rows.uuid(batch_id);
    put(rows, merkle_root);
    put(rows, product_count);
    rows.enumeration(status);
    completed ? rows.text(completed->transaction_id.text) : rows.null();
    completed ? rows.int64(completed->aggregate.leaf_index) : rows.null();
    completed ? rows.int64(completed->block_number) : rows.null();
    completed ? rows.int64(completed->gas_used) : rows.null();
    completed ? rows.numeric(completed->gas_price_gwei.text) : rows.null();
    completed ? rows.text(completed->network) : rows.null();
    put(rows, error);
    put(rows, retry_count);
    put(rows, created_at);
    rows.timestamp(updated_at);
    completed ? rows.timestamp(completed->anchored_at) : rows.null();
    completed ? rows.int64(completed->chain_id) : rows.null();
    completed ? rows.text(completed->block_hash.text) : rows.null();
    completed ? rows.int64(completed->revision) : rows.null();
    put(rows, next_retry_at);
    completed ? rows.hash(completed->aggregate.root) : rows.null();
    completed ? rows.int64(completed->aggregate.tree_size) : rows.null();
    completed ? rows.text(path_json(completed->aggregate.path)) : rows.null();
  }

  // A JSON array of hex strings, as in the event.
  static std::string path_json(const std::vector<events::Hash>& path) {
    std::string json = "[";
    for (const auto& hash : path) {
      if (json.size() > 1) json += ',';
      json += '"' + hash.to_string() + '"';
    }
    return json + ']';
  }
};

void write_queued(const AnchorQueued& event, Timestamp at, RowWriter& rows) {
  AnchorRow row{event.anchor_id, event.batch_id, "pending", at};
  row.merkle_root = event.merkle_root;
  row.product_count = event.product_count;
  row.retry_count = event.attempt - 1;
  if (event.attempt == 1) row.created_at = at;
  row.write(rows);
}

void write_submitted(const AnchorSubmitted& event, Timestamp at, RowWriter& rows) {
  rows.begin_row(kTransactions);
  rows.text(event.transaction_id.text);
  rows.text(event.network);
  rows.int64(event.chain_id);
  rows.int64(event.nonce);
  rows.text(event.raw_transaction.text);
  rows.hash(event.aggregate_root);
  rows.int64(event.tree_size);
  rows.timestamp(event.submitted_at);
  for (const auto& leaf : event.leaves) {
    AnchorRow{leaf.anchor_id, leaf.batch_id, "processing", at}.write(rows);
  }
}

void write_failed(const AnchorFailed& event, Timestamp at, RowWriter& rows) {
  AnchorRow row{event.anchor_id, event.batch_id, "failed", at};
  row.error = event.detail;
  row.retry_count = event.retry_count;
  row.next_retry_at = event.next_retry_at;
  row.write(rows);
}

void write_completed(const AnchorCompleted& event, Timestamp at, RowWriter& rows) {
  AnchorRow row{event.anchor_id, event.batch_id, "completed", at};
  row.merkle_root = event.merkle_root;
  row.product_count = event.product_count;
  row.completed = &event;
  row.write(rows);
}

}  // namespace

std::vector<std::string_view> AnchorsProjection::inputs() const {
  return {AnchorQueued::kTopic, AnchorSubmitted::kTopic, AnchorFailed::kTopic,
          AnchorCompleted::kTopic};
}

std::span<const View* const> AnchorsProjection::views() const {
  return kViews;
}

events::Status AnchorsProjection::project(const events::RecordView& record, RowWriter& rows) {
  const auto with = [&](auto write) {
    return [&rows, write, at = record.timestamp](const auto& event) { write(event, at, rows); };
  };
  if (record.topic == AnchorQueued::kTopic) {
    return decode_and_write<AnchorQueued>(record, with(write_queued));
  }
  if (record.topic == AnchorSubmitted::kTopic) {
    return decode_and_write<AnchorSubmitted>(record, with(write_submitted));
  }
  if (record.topic == AnchorFailed::kTopic) {
    return decode_and_write<AnchorFailed>(record, with(write_failed));
  }
  return decode_and_write<AnchorCompleted>(record, with(write_completed));
}

}  // namespace voketag::processors
