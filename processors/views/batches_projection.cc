#include "processors/views/batches_projection.h"

#include <algorithm>
#include <array>
#include <optional>

#include "events/events.h"
#include "processors/anchoring/anchoring_processor.h"
#include "processors/views/row_values.h"

namespace voketag::processors {
namespace {

using events::AnchorFailed;
using events::AnchorQueued;
using events::BatchAccepted;
using events::BatchCompleted;
using events::BatchFailed;
using events::MerkleRootComputed;
using events::TokenChunkRequested;

constexpr std::array kColumns{
    Column{"batch_id", ColumnType::kUuid},
    Column{"tenant", ColumnType::kText},
    Column{"status", ColumnType::kEnum, "batch_status", false, "progress"},
    Column{"product_count", ColumnType::kInt64},
    Column{"merkle_root", ColumnType::kHash},
    Column{"transaction_id", ColumnType::kText},
    Column{"job_id", ColumnType::kUuid},
    Column{"error", ColumnType::kText, {}, false, "progress"},
    Column{"requested_at", ColumnType::kTimestamp},
    Column{"completed_at", ColumnType::kTimestamp},
    Column{"network", ColumnType::kText},
    Column{"first_serial", ColumnType::kInt64},
    Column{"sku", ColumnType::kText},
    Column{"gtin", ColumnType::kText},
    Column{"lot", ColumnType::kText},
    Column{"name", ColumnType::kText},
    Column{"metadata", ColumnType::kText},
    Column{"callback_url", ColumnType::kText},
    Column{"key_id", ColumnType::kInt64},
    Column{"chunk_size", ColumnType::kInt64},
    Column{"progress", ColumnType::kInt64, {}, true}};
constexpr View kBatches{"batches", kColumns, 1, Merge::kUpsert};
constexpr std::array kViews{&kBatches};

using Text = std::optional<std::string_view>;

// How far an event says that the batch is: of several events the greatest gives status and error.
// From kAnchoring on two steps for each attempt at anchoring: it is under way, it has failed.
constexpr std::int64_t kRequested = 0;
constexpr std::int64_t kGenerating = 1;
constexpr std::int64_t kAnchoring = 2;
constexpr std::int64_t kCompleted = std::int64_t{1} << 62;
constexpr std::int64_t kFailed = kCompleted + 1;

constexpr std::int64_t anchoring(std::int64_t attempts_before) {
  return kAnchoring + 2 * std::min(attempts_before, std::int64_t{1} << 60);
}

// A row as one event knows it. Borrows its text from the event.
struct BatchRow {
  events::Uuid batch_id;
  std::string_view status;
  std::int64_t progress = kRequested;
  Text tenant;
  std::optional<std::int64_t> product_count;
  std::optional<events::Hash> merkle_root;
  Text transaction_id;
  std::optional<events::Uuid> job_id;
  Text error;
  std::optional<events::Timestamp> requested_at;
  std::optional<events::Timestamp> completed_at;
  Text network;
  std::optional<std::int64_t> first_serial;
  Text sku;
  Text gtin;
  Text lot;
  Text name;
  Text metadata;
  Text callback_url;
  std::optional<std::int64_t> key_id;
  std::optional<std::int64_t> chunk_size;

  // In the order of kColumns.
  void write(RowWriter& rows) const {
    rows.begin_row(kBatches);
    rows.uuid(batch_id);
    put(rows, tenant);
    rows.enumeration(status);
    put(rows, product_count);
    put(rows, merkle_root);
    put(rows, transaction_id);
    put(rows, job_id);
    put(rows, error);
    put(rows, requested_at);
    put(rows, completed_at);
    put(rows, network);
    put(rows, first_serial);
    put(rows, sku);
    put(rows, gtin);
    put(rows, lot);
    put(rows, name);
    put(rows, metadata);
    put(rows, callback_url);
    put(rows, key_id);
    put(rows, chunk_size);
    rows.int64(progress);
  }
};

BatchRow row_of(const BatchAccepted& event) {
  BatchRow row{event.batch_id, "requested", kRequested};
  row.tenant = event.tenant;
  row.product_count = event.product_count;
  row.requested_at = event.requested_at;
  row.first_serial = event.first_serial;
  row.sku = borrow(event.sku);
  row.gtin = borrow(event.gtin);
  row.lot = borrow(event.lot);
  row.name = borrow(event.name);
  if (event.metadata) row.metadata = event.metadata->text;
  row.callback_url = borrow(event.callback_url);
  row.key_id = event.key_id;
  row.chunk_size = event.chunk_size;
  return row;
}

BatchRow row_of(const TokenChunkRequested& event) {
  return {event.batch_id, "generating", kGenerating};
}

BatchRow row_of(const MerkleRootComputed& event) {
  BatchRow row{event.batch_id, "anchoring", anchoring(0)};
  row.merkle_root = event.merkle_root;
  row.job_id = anchor_id_of(event.batch_id);
  return row;
}

BatchRow row_of(const AnchorQueued& event) {
  return {event.batch_id, "anchoring", anchoring(event.attempt - 1)};
}

BatchRow row_of(const AnchorFailed& event) {
  BatchRow row{event.batch_id, "anchor_failed", anchoring(event.retry_count) + 1};
  row.error = event.detail;
  return row;
}

BatchRow row_of(const BatchCompleted& event) {
  BatchRow row{event.batch_id, "completed", kCompleted};
  row.transaction_id = event.transaction_id.text;
  row.job_id = event.anchor_id;
  row.network = event.network;
  row.completed_at = event.completed_at;
  return row;
}

BatchRow row_of(const BatchFailed& event) {
  BatchRow row{event.batch_id, "failed", kFailed};
  row.error = event.detail;
  row.completed_at = event.failed_at;
  return row;
}

// Decided by the key, unread: of the many chunks of a batch only the first changes the row.
bool is_later_chunk(const events::RecordView& record) {
  return record.key && !record.key->ends_with(":0");
}

}  // namespace

std::vector<std::string_view> BatchesProjection::inputs() const {
  return {BatchAccepted::kTopic, TokenChunkRequested::kTopic, MerkleRootComputed::kTopic,
          AnchorQueued::kTopic,  AnchorFailed::kTopic,        BatchCompleted::kTopic,
          BatchFailed::kTopic};
}

std::span<const View* const> BatchesProjection::views() const {
  return kViews;
}

events::Status BatchesProjection::project(const events::RecordView& record, RowWriter& rows) {
  const auto write = [&](const auto& event) { row_of(event).write(rows); };
  if (record.topic == BatchAccepted::kTopic) return decode_and_write<BatchAccepted>(record, write);
  if (record.topic == TokenChunkRequested::kTopic) {
    if (is_later_chunk(record)) return {};
    return decode_and_write<TokenChunkRequested>(record, write);
  }
  if (record.topic == MerkleRootComputed::kTopic) {
    return decode_and_write<MerkleRootComputed>(record, write);
  }
  if (record.topic == AnchorQueued::kTopic) {
    // The first attempt says nothing that the root has not said.
    return decode_and_write<AnchorQueued>(record, [&](const AnchorQueued& event) {
      if (event.origin == "own" && event.attempt > 1) write(event);
    });
  }
  if (record.topic == AnchorFailed::kTopic) {
    return decode_and_write<AnchorFailed>(record, [&](const AnchorFailed& event) {
      if (event.origin != "external") write(event);
    });
  }
  if (record.topic == BatchCompleted::kTopic) {
    return decode_and_write<BatchCompleted>(record, write);
  }
  return decode_and_write<BatchFailed>(record, write);
}

}  // namespace voketag::processors
