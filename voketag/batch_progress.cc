#include "voketag/batch_progress.h"

#include <algorithm>

#include "events/codec.h"
#include "events/topics.h"

namespace voketag::cli {
namespace {

// Keeps the first event of a kind: a repetition says the same.
template <class Event>
void keep_first(const events::RecordView& record, std::optional<Event>& kept,
                events::Timestamp* time = nullptr) {
  if (kept || !record.value) return;
  auto event = events::decode<Event>(*record.value);
  if (!event) return;
  kept = *std::move(event);
  if (time != nullptr) *time = record.timestamp;
}

}  // namespace

BatchProgress::BatchProgress(const events::Uuid& batch_id) : batch_id_(batch_id.to_string()) {}

std::vector<std::string_view> BatchProgress::topics() {
  return {events::BatchAccepted::kTopic,      events::MerkleSubtreeComputed::kTopic,
          events::MerkleRootComputed::kTopic, events::AnchorCompleted::kTopic,
          events::AnchorFailed::kTopic,       events::BatchCompleted::kTopic,
          events::BatchFailed::kTopic,        events::kDeadLetters};
}

void BatchProgress::apply(const events::RecordView& record) {
  if (record.key != batch_id_) return;
  if (record.topic == events::BatchAccepted::kTopic) {
    keep_first(record, accepted_, &times_.accepted);
  } else if (record.topic == events::MerkleSubtreeComputed::kTopic) {
    apply_subtree(record);
  } else if (record.topic == events::MerkleRootComputed::kTopic) {
    keep_first(record, root_, &times_.root);
  } else if (record.topic == events::AnchorCompleted::kTopic) {
    keep_first(record, anchor_, &times_.anchored);
  } else if (record.topic == events::AnchorFailed::kTopic) {
    anchor_failure_.reset();  // the last one tells when it is tried again
    keep_first(record, anchor_failure_);
  } else if (record.topic == events::BatchCompleted::kTopic) {
    keep_first(record, completed_, &times_.ended);
  } else if (record.topic == events::BatchFailed::kTopic) {
    keep_first(record, failed_, &times_.ended);
  } else if (record.topic == events::kDeadLetters) {
    apply_dead_letter(record);
  }
}

void BatchProgress::apply_subtree(const events::RecordView& record) {
  if (!record.value) return;
  const auto event = events::decode<events::MerkleSubtreeComputed>(*record.value);
  if (!event || event->chunk_index >= event->chunk_count ||
      event->chunk_count > events::kProductCountMax) {
    return;
  }
  if (chunks_.empty()) chunks_.resize(static_cast<std::size_t>(event->chunk_count));
  const auto chunk = static_cast<std::size_t>(event->chunk_index);
  if (chunk >= chunks_.size() || chunks_[chunk]) return;
  chunks_[chunk] = true;
  ++chunks_there_;
}

void BatchProgress::apply_dead_letter(const events::RecordView& record) {
  const auto topic = record.header("dead_letter_topic");
  if (topic != events::BatchRequested::kTopic && topic != events::BatchAccepted::kTopic) return;
  refusal_ = std::string(record.header("dead_letter_reason").value_or("unknown")) + ": " +
             std::string(record.header("dead_letter_detail").value_or(""));
}

BatchProgress::Stage BatchProgress::stage() const {
  if (completed_) return Stage::kCompleted;
  if (failed_) return Stage::kFailed;
  if (anchor_) return Stage::kAnchoring;
  if (anchor_failure_) return Stage::kAnchorFailed;
  if (root_) return Stage::kAnchoring;
  if (accepted_ || chunks_there_ > 0) return Stage::kGenerating;
  if (refusal_) return Stage::kRefused;
  return Stage::kUnknown;
}

bool BatchProgress::ended() const {
  const Stage now = stage();
  return now == Stage::kCompleted || now == Stage::kFailed || now == Stage::kRefused;
}

std::int64_t BatchProgress::product_count() const {
  if (accepted_) return accepted_->product_count;
  if (root_) return root_->product_count;
  return completed_ ? completed_->product_count : 0;
}

std::int64_t BatchProgress::generated() const {
  const std::int64_t all = product_count();
  if (root_ || completed_) return all;
  if (!accepted_) return 0;
  return std::min(all, chunks_there_ * accepted_->chunk_size);
}

std::string_view to_string(BatchProgress::Stage stage) {
  switch (stage) {
    case BatchProgress::Stage::kUnknown:
      return "unknown";
    case BatchProgress::Stage::kGenerating:
      return "generating";
    case BatchProgress::Stage::kAnchoring:
      return "anchoring";
    case BatchProgress::Stage::kAnchorFailed:
      return "anchor_failed";
    case BatchProgress::Stage::kCompleted:
      return "completed";
    case BatchProgress::Stage::kFailed:
      return "failed";
    case BatchProgress::Stage::kRefused:
      return "refused";
  }
  return "unknown";
}

}  // namespace voketag::cli
