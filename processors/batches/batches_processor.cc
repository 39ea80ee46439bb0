#include "processors/batches/batches_processor.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "processors/merkle/tree.h"
#include "processors/tokens/chunks.h"
#include "processors/tokens/make_chunk.h"
#include "processors/tokens/product_id.h"
#include "state/table.h"

namespace voketag::processors {
namespace {

using events::AnchorCompleted;
using events::AnchorFailed;
using events::BatchAccepted;
using events::MerkleRootComputed;
using events::MerkleSubtreeComputed;
using events::Timestamp;
using events::Uuid;

constexpr std::string_view kGenerating = "generating";
constexpr std::string_view kAnchoring = "anchoring";
constexpr std::string_view kAnchorFailed = "anchor_failed";
constexpr std::string_view kStallTimer = "stall:";
constexpr std::string_view kRetryTimer = "retry:";

state::Table<BatchState> batches(Context& context) {
  return {context.store(), "batch"};
}
state::Table<EndedBatch> ended_batches(Context& context) {
  return {context.store(), "ended"};
}
// Only of batches that have more than one chunk.
state::Table<ChunkWindow> windows(Context& context) {
  return {context.store(), "window"};
}

std::string timer_name(std::string_view kind, const Uuid& batch_id) {
  return std::string(kind) + batch_id.to_string();
}

Timestamp after(Timestamp time, std::int64_t delay_ms) {
  return {time.ms + delay_ms};
}

std::int64_t chunks_of(const BatchState& batch) {
  return chunk_count(batch.product_count, batch.chunk_size);
}

// The window of a batch of one chunk is told by the batch itself.
ChunkWindow window_of(Context& context, const Uuid& batch_id, const BatchState& batch) {
  if (chunks_of(batch) > 1) {
    if (auto window = windows(context).get(batch_id.to_string())) return *std::move(window);
    throw std::logic_error("batch " + batch_id.to_string() + " has several chunks and no window");
  }
  ChunkWindow only_chunk;
  only_chunk.next = 1;
  only_chunk.reminders = batch.reminders;
  only_chunk.changed_at = batch.changed_at;
  return only_chunk;
}

std::int64_t doubled(std::int64_t delay_ms, std::int64_t times, std::int64_t max_ms) {
  for (; times > 0 && delay_ms < max_ms; --times) delay_ms *= 2;
  return std::min(delay_ms, max_ms);
}

events::TokenChunkRequested chunk_of(const Uuid& batch_id, const BatchState& batch,
                                     std::int64_t chunk_index) {
  events::TokenChunkRequested request;
  request.batch_id = batch_id;
  request.chunk_index = chunk_index;
  request.chunk_count = chunks_of(batch);
  request.chunk_size = batch.chunk_size;
  request.product_count = batch.product_count;
  request.first_serial = batch.first_serial;
  request.key_id = batch.key_id;
  request.requested_at = batch.requested_at;
  return request;
}

void request_chunk(Context& context, const Uuid& batch_id, const BatchState& batch,
                   std::int64_t chunk_index) {
  context.emit(chunk_key(batch_id, chunk_index), chunk_of(batch_id, batch, chunk_index));
}

BatchState begin(const BatchAccepted& event, BatchContent content, Timestamp now) {
  BatchState batch;
  batch.status = kGenerating;
  batch.content = std::move(content);
  batch.tenant = event.tenant;
  batch.product_count = event.product_count;
  batch.first_serial = event.first_serial;
  batch.key_id = event.key_id;
  batch.chunk_size = event.chunk_size;
  batch.requested_at = event.requested_at;
  batch.changed_at = now;
  return batch;
}

// Leaves of a batch what tells a duplicate; its timers are void with it.
void end(Context& context, const Uuid& batch_id, const BatchState& batch, std::string_view status) {
  const auto key = batch_id.to_string();
  ended_batches(context).put(key, {std::string(status), batch.content, batch.duplicates});
  batches(context).erase(key);
  context.cancel_timer(timer_name(kStallTimer, batch_id));
  if (batch.status == kAnchorFailed) context.cancel_timer(timer_name(kRetryTimer, batch_id));
}

void complete(Context& context, const Uuid& batch_id, const BatchState& batch,
              const AnchorCompleted& anchor) {
  events::BatchCompleted completed;
  completed.batch_id = batch_id;
  completed.tenant = batch.tenant;
  completed.product_count = batch.product_count;
  completed.merkle_root = *batch.merkle_root;
  completed.anchor_id = anchor.anchor_id;
  completed.network = anchor.network;
  completed.transaction_id = anchor.transaction_id;
  completed.requested_at = batch.requested_at;
  completed.completed_at = context.now();
  context.emit(batch_id.to_string(), completed);
  end(context, batch_id, batch, "completed");
}

// What did not come, as far as the batch can tell: of an only chunk, or of all chunks that are
// back, the root may be what is missing.
std::string missing_of(const BatchState& batch, const ChunkWindow& window) {
  if (chunks_of(batch) == 1) return "its only chunk or its Merkle root did not come back";
  const auto open = window.open().size();
  if (open == 0) return "every chunk came back, but its Merkle root did not";
  return std::to_string(open) + (open == 1 ? " chunk" : " chunks") + " did not come back";
}

void fail_stalled(Context& context, const Uuid& batch_id, const BatchState& batch,
                  const ChunkWindow& window) {
  events::BatchFailed failed;
  failed.batch_id = batch_id;
  failed.tenant = batch.tenant;
  failed.reason = "generation_stalled";
  failed.detail = missing_of(batch, window) + " after " + std::to_string(window.reminders) +
                  " reminders; look for this batch_id in the dead letters (voketag dlq list), "
                  "mend the cause and request the products under a new batch_id";
  failed.failed_at = context.now();
  context.emit(batch_id.to_string(), failed);
  if (chunks_of(batch) > 1) windows(context).erase(batch_id.to_string());
  end(context, batch_id, batch, "failed");
}

}  // namespace

std::vector<std::string_view> BatchesProcessor::inputs() const {
  return {BatchAccepted::kTopic, MerkleSubtreeComputed::kTopic, MerkleRootComputed::kTopic,
          AnchorCompleted::kTopic, AnchorFailed::kTopic};
}

void BatchesProcessor::on_record(Context& context, const events::RecordView& record) {
  if (record.topic == BatchAccepted::kTopic) {
    decode_and_handle<BatchAccepted>(context, record,
                                     [&](const auto& event) { on_accepted(context, event); });
  } else if (record.topic == MerkleSubtreeComputed::kTopic) {
    decode_and_handle<MerkleSubtreeComputed>(
        context, record, [&](const auto& event) { on_subtree(context, event); });
  } else if (record.topic == MerkleRootComputed::kTopic) {
    decode_and_handle<MerkleRootComputed>(context, record,
                                          [&](const auto& event) { on_root(context, event); });
  } else if (record.topic == AnchorCompleted::kTopic) {
    decode_and_handle<AnchorCompleted>(context, record,
                                       [&](const auto& event) { on_anchored(context, event); });
  } else {
    decode_and_handle<AnchorFailed>(context, record,
                                    [&](const auto& event) { on_anchor_failed(context, event); });
  }
}

void BatchesProcessor::on_timer(Context& context, std::string_view name) {
  if (name.starts_with(kStallTimer)) {
    on_stall_timer(context, name.substr(kStallTimer.size()));
  } else if (name.starts_with(kRetryTimer)) {
    on_retry_timer(context, name.substr(kRetryTimer.size()));
  }
}

void BatchesProcessor::on_accepted(Context& context, const BatchAccepted& event) const {
  if (!is_chunk_size(event.chunk_size)) {
    context.dead_letter("invalid", "chunk_size must be a power of two up to " +
                                       std::to_string(kChunkSizeMax) + ", not " +
                                       std::to_string(event.chunk_size));
    return;
  }
  auto content = BatchContent::of(event);
  if (known_already(context, event, content)) return;

  const auto key = event.batch_id.to_string();
  auto batch = begin(event, std::move(content), context.now());
  const bool made = make_at_once(context, event.batch_id, batch);
  batches(context).put(key, batch);
  if (!made) {
    ChunkWindow window;
    window.changed_at = context.now();
    request_chunks(context, event.batch_id, batch, window);
    if (chunks_of(batch) > 1) windows(context).put(key, window);
  }
  const auto patience_ms = made ? anchoring_patience_ms(0) : generation_patience_ms(0);
  context.set_timer(timer_name(kStallTimer, event.batch_id), after(context.now(), patience_ms));
}

// Makes all products of a small batch, and announces its root. False, and nothing is done, if the
// batch is too great for that, or cannot be made here at all: then chunks are requested, and what
// is wrong with them is said where chunks are made.
bool BatchesProcessor::make_at_once(Context& context, const Uuid& batch_id,
                                    BatchState& batch) const {
  if (batch.product_count > config_.made_at_once_max) return false;
  const auto* key = keys_.find(static_cast<std::uint8_t>(batch.key_id));
  if (key == nullptr || !check_chunk(chunk_of(batch_id, batch, 0))) return false;
  const auto plan = BatchPlan::derive(*key, {batch_id, batch.requested_at.ms, batch.product_count});
  if (!plan) return false;

  std::vector<Hash> chunk_roots;
  for (std::int64_t index = 0; index < chunks_of(batch); ++index) {
    chunk_roots.push_back(make_chunk(context, chunk_of(batch_id, batch, index), *key, *plan));
  }
  batch.merkle_root = events::Hash{root_over_chunks(chunk_roots)};
  batch.status = kAnchoring;
  context.emit(batch_id.to_string(),
               MerkleRootComputed{batch_id, *batch.merkle_root, batch.product_count});
  return true;
}

// Whether the batch is there already; counts the duplicate, or refuses the other content.
bool BatchesProcessor::known_already(Context& context, const BatchAccepted& event,
                                     const BatchContent& content) const {
  const auto key = event.batch_id.to_string();
  const auto check = [&](auto table) {
    auto known = table.get(key);
    if (!known) return false;
    if (known->content.same_as(content)) {
      ++known->duplicates;
      table.put(key, *known);
    } else {
      context.dead_letter("conflicting_batch",
                          "batch " + key + " was requested before with another " +
                              known->content.differing_fields(content) +
                              "; the first request stands. Request under a new batch_id");
    }
    return true;
  };
  return check(batches(context)) || check(ended_batches(context));
}

void BatchesProcessor::on_subtree(Context& context, const MerkleSubtreeComputed& event) const {
  // Of an only chunk there is nothing to keep: its root is the batch's, which is on its way.
  if (event.chunk_count == 1) return;
  const auto key = event.batch_id.to_string();
  const auto batch = batches(context).get(key);
  if (!batch || batch->status != kGenerating) return;
  if (event.chunk_count != chunks_of(*batch)) {
    context.dead_letter("unrequested_chunk", "chunk " + std::to_string(event.chunk_index) + " of " +
                                                 std::to_string(event.chunk_count) + " of batch " +
                                                 key + ", which has " +
                                                 std::to_string(chunks_of(*batch)) + " chunks");
    return;
  }
  auto window = window_of(context, event.batch_id, *batch);
  switch (window.note_return(event.chunk_index)) {
    case ChunkWindow::Return::kAgain:
      return;
    case ChunkWindow::Return::kNeverRequested:
      context.dead_letter("unrequested_chunk", "chunk " + std::to_string(event.chunk_index) +
                                                   " of batch " + key + " was never requested");
      return;
    case ChunkWindow::Return::kFirst:
      break;
  }
  window.changed_at = context.now();
  request_chunks(context, event.batch_id, *batch, window);
  windows(context).put(key, window);
}

void BatchesProcessor::on_root(Context& context, const MerkleRootComputed& event) const {
  const auto key = event.batch_id.to_string();
  auto batch = batches(context).get(key);
  if (!batch) return;
  const bool contradicts = event.product_count != batch->product_count ||
                           (batch->merkle_root && *batch->merkle_root != event.merkle_root);
  if (contradicts) {
    context.dead_letter("conflicting_root",
                        "batch " + key +
                            " has another root or another product_count, and the one that it has "
                            "stands. Tokens follow from request and key: compare "
                            "VOKETAG_TOKEN_KEYS of all instances, and request the products under a "
                            "new batch_id if these were made with another key");
    return;
  }
  if (batch->merkle_root) return;
  batch->merkle_root = event.merkle_root;
  batch->reminders = 0;
  batch->changed_at = context.now();
  if (chunks_of(*batch) > 1) windows(context).erase(key);
  const auto early_anchor = std::move(batch->early_anchor);
  batch->early_anchor.reset();
  if (early_anchor && early_anchor->merkle_root == event.merkle_root) {
    complete(context, event.batch_id, *batch, *early_anchor);
    return;
  }
  if (batch->status == kGenerating) batch->status = kAnchoring;
  batches(context).put(key, *batch);
}

void BatchesProcessor::on_anchored(Context& context, const AnchorCompleted& event) const {
  const auto key = event.batch_id.to_string();
  auto batch = batches(context).get(key);
  if (!batch) return;
  if (!batch->merkle_root) {
    batch->early_anchor = event;
    batches(context).put(key, *batch);
  } else if (*batch->merkle_root == event.merkle_root) {
    complete(context, event.batch_id, *batch, event);
  }
  // Else it anchors what an outsider claimed of our batch; our own root is still on its way.
}

void BatchesProcessor::on_anchor_failed(Context& context, const AnchorFailed& event) const {
  if (event.origin == "external") return;
  const auto key = event.batch_id.to_string();
  auto batch = batches(context).get(key);
  if (!batch) return;
  batch->status = kAnchorFailed;
  batches(context).put(key, *batch);
  const auto retry_at = event.next_retry_at.value_or(after(context.now(), config_.anchor_retry_ms));
  context.set_timer(timer_name(kRetryTimer, event.batch_id), retry_at);
}

void BatchesProcessor::on_stall_timer(Context& context, std::string_view batch_id) const {
  const auto id = Uuid::parse(batch_id);
  auto batch = batches(context).get(batch_id);
  if (!id || !batch) return;
  if (batch->merkle_root) {
    watch_anchoring(context, *id, *batch);
  } else {
    watch_generation(context, *id, *batch);
  }
}

void BatchesProcessor::watch_generation(Context& context, const Uuid& batch_id,
                                        BatchState& batch) const {
  auto window = window_of(context, batch_id, batch);
  const auto due = after(window.changed_at, generation_patience_ms(window.reminders));
  if (context.now() < due) {  // it has moved since the timer was set
    context.set_timer(timer_name(kStallTimer, batch_id), due);
  } else if (window.reminders >= config_.reminders_max) {
    fail_stalled(context, batch_id, batch, window);
  } else {
    remind(context, batch_id, batch, window);
  }
}

// The root may never have reached the queue: refused, or set aside as a dead letter.
void BatchesProcessor::watch_anchoring(Context& context, const Uuid& batch_id,
                                       BatchState& batch) const {
  auto due = after(batch.changed_at, anchoring_patience_ms(batch.reminders));
  if (context.now() >= due) {
    // After a failure the retry timer asks, when the failure said to.
    if (batch.status != kAnchorFailed) ask_for_anchor(context, batch_id, batch);
    due = after(context.now(), anchoring_patience_ms(batch.reminders));
  }
  context.set_timer(timer_name(kStallTimer, batch_id), due);
}

void BatchesProcessor::on_retry_timer(Context& context, std::string_view batch_id) const {
  const auto id = Uuid::parse(batch_id);
  auto batch = batches(context).get(batch_id);
  if (!id || !batch || batch->status != kAnchorFailed) return;
  if (!batch->merkle_root) {  // the failure was seen before the root that it is about
    context.set_timer(timer_name(kRetryTimer, *id), after(context.now(), config_.stall_timeout_ms));
    return;
  }
  batch->status = kAnchoring;
  ask_for_anchor(context, *id, *batch);
}

void BatchesProcessor::ask_for_anchor(Context& context, const Uuid& batch_id,
                                      BatchState& batch) const {
  ++batch.reminders;
  batch.changed_at = context.now();
  batches(context).put(batch_id.to_string(), batch);
  events::AnchorAccepted again;
  again.batch_id = batch_id;
  again.merkle_root = *batch.merkle_root;
  again.product_count = batch.product_count;
  again.origin = "retry";
  again.requested_at = context.now();
  context.emit(batch_id.to_string(), again);
}

std::int64_t BatchesProcessor::in_flight_max(const BatchState& batch) const {
  return std::max<std::int64_t>(1, config_.products_in_flight_max / batch.chunk_size);
}

void BatchesProcessor::request_chunks(Context& context, const Uuid& batch_id,
                                      const BatchState& batch, ChunkWindow& window) const {
  const auto end = window.next + window.room(chunks_of(batch), in_flight_max(batch));
  for (; window.next < end; ++window.next) {
    request_chunk(context, batch_id, batch, window.next);
  }
}

void BatchesProcessor::remind(Context& context, const Uuid& batch_id, BatchState& batch,
                              ChunkWindow& window) const {
  for (const auto chunk_index : window.open()) {
    request_chunk(context, batch_id, batch, chunk_index);
  }
  ++window.reminders;
  window.changed_at = context.now();
  if (chunks_of(batch) > 1) {
    windows(context).put(batch_id.to_string(), window);
  } else {
    batch.reminders = window.reminders;
    batch.changed_at = window.changed_at;
    batches(context).put(batch_id.to_string(), batch);
  }
  context.set_timer(timer_name(kStallTimer, batch_id),
                    after(context.now(), generation_patience_ms(window.reminders)));
}

std::int64_t BatchesProcessor::generation_patience_ms(std::int64_t reminders) const {
  return doubled(config_.stall_timeout_ms, reminders, config_.stall_timeout_max_ms);
}

std::int64_t BatchesProcessor::anchoring_patience_ms(std::int64_t reminders) const {
  return doubled(config_.anchor_retry_ms, reminders, config_.anchor_retry_max_ms);
}

}  // namespace voketag::processors
