#include "processors/anchoring/anchoring_processor.h"

#include <string>
#include <utility>

#include "processors/anchoring/anchor_queue.h"
#include "state/table.h"

namespace voketag::processors {
namespace {

using events::AnchorAccepted;
using events::AnchorQueued;
using events::MerkleRootComputed;
using events::Uuid;

constexpr std::string_view kOwn = "own";
constexpr std::string_view kExternal = "external";
constexpr std::string_view kChainTimer = "chain:";
constexpr std::string_view kRetryTimer = "retry:";

state::Table<AnchorState> anchors(Context& context) {
  return {context.store(), "anchor"};
}

bool is_same(const AnchorState& anchor, const events::Hash& root, std::int64_t product_count) {
  return anchor.merkle_root == root && anchor.product_count == product_count;
}

void refuse_conflict(Context& context, const Uuid& batch_id) {
  context.dead_letter("conflicting_anchor",
                      "batch " + batch_id.to_string() +
                          " has an anchor for another root or product_count, and there is one "
                          "anchor per batch_id; anchor the other root under another batch_id");
}

}  // namespace

AnchoringProcessor::AnchoringProcessor(std::unique_ptr<Chain> chain) : chain_(std::move(chain)) {}

std::vector<std::string_view> AnchoringProcessor::inputs() const {
  return {MerkleRootComputed::kTopic, AnchorAccepted::kTopic, AnchorQueued::kTopic};
}

void AnchoringProcessor::on_record(Context& context, const events::RecordView& record) {
  if (record.topic == MerkleRootComputed::kTopic) {
    decode_and_handle<MerkleRootComputed>(context, record,
                                          [&](const auto& event) { on_own_root(context, event); });
  } else if (record.topic == AnchorAccepted::kTopic) {
    decode_and_handle<AnchorAccepted>(context, record,
                                      [&](const auto& event) { on_accepted(context, event); });
  } else {
    on_queued(context, record);
  }
}

void AnchoringProcessor::on_timer(Context& context, std::string_view name) {
  if (name.starts_with(kChainTimer)) {
    if (name.substr(kChainTimer.size()) == chain_->queue_key()) chain_->on_timer(context);
  } else if (name.starts_with(kRetryTimer)) {
    on_retry_timer(context, name.substr(kRetryTimer.size()));
  }
}

void AnchoringProcessor::on_own_root(Context& context, const MerkleRootComputed& event) const {
  const auto known = anchors(context).get(event.batch_id.to_string());
  if (known && is_same(*known, event.merkle_root, event.product_count)) {
    if (known->origin == kOwn) return;
    // An outsider named the very root before us: it is anchored or on its way. From now on it is
    // ours, so that a failure is led by `batches`.
  } else if (known && known->origin == kOwn) {
    refuse_conflict(context, event.batch_id);
    return;
  }
  enqueue(context, event.batch_id, {event.merkle_root, event.product_count, std::string(kOwn), 1});
}

void AnchoringProcessor::on_accepted(Context& context, const AnchorAccepted& event) const {
  if (event.origin == "retry") {
    on_retry(context, event);
  } else {
    on_external(context, event);
  }
}

void AnchoringProcessor::on_external(Context& context, const AnchorAccepted& event) const {
  const auto known = anchors(context).get(event.batch_id.to_string());
  if (!known) {
    enqueue(context, event.batch_id,
            {event.merkle_root, event.product_count, std::string(kExternal), 1});
  } else if (is_same(*known, event.merkle_root, event.product_count)) {
    return;
  } else if (known->origin == kOwn) {
    context.dead_letter("foreign_root", "batch " + event.batch_id.to_string() +
                                            " is a batch of ours, and this is not its root; "
                                            "anchor it under a batch_id of your own");
  } else {
    refuse_conflict(context, event.batch_id);
  }
}

void AnchoringProcessor::on_retry(Context& context, const AnchorAccepted& event) const {
  const auto known = anchors(context).get(event.batch_id.to_string());
  if (known && known->origin == kOwn && !is_same(*known, event.merkle_root, event.product_count)) {
    refuse_conflict(context, event.batch_id);
    return;
  }
  // Only `batches` asks again, for a root of ours: it wins, as it does when it comes by itself.
  const auto attempts = known && known->origin == kOwn ? known->attempt : 1;
  enqueue(context, event.batch_id,
          {event.merkle_root, event.product_count, std::string(kOwn), attempts + 1});
}

void AnchoringProcessor::on_queued(Context& context, const events::RecordView& record) const {
  if (record.key != chain_->queue_key()) {
    context.dead_letter("unknown_signing_key",
                        "this deployment anchors for the key " + std::string(chain_->queue_key()) +
                            ", not for " + std::string(record.key.value_or("none").substr(0, 128)) +
                            "; run an instance with that key, or request the anchor again");
    return;
  }
  decode_and_handle<AnchorQueued>(context, record, [&](const AnchorQueued& root) {
    AnchorQueue queue(context.store(), chain_->queue_key());
    if (!queue.push(root)) return;
    queue.save();
    chain_->on_queued(context);
  });
}

void AnchoringProcessor::on_retry_timer(Context& context, std::string_view batch_id) const {
  AnchorQueue queue(context.store(), chain_->queue_key());
  const auto root = queue.next_attempt(batch_id);
  if (!root || !queue.push(*root)) return;
  queue.save();
  chain_->on_queued(context);
}

void AnchoringProcessor::enqueue(Context& context, const Uuid& batch_id,
                                 const AnchorState& anchor) const {
  anchors(context).put(batch_id.to_string(), anchor);
  AnchorQueued queued;
  queued.anchor_id = anchor_id_of(batch_id);
  queued.batch_id = batch_id;
  queued.merkle_root = anchor.merkle_root;
  queued.product_count = anchor.product_count;
  queued.origin = anchor.origin;
  queued.attempt = anchor.attempt;
  context.emit(chain_->queue_key(), queued);
}

Uuid anchor_id_of(const Uuid& batch_id) {
  return Uuid::v5(events::kNamespace, "anchor:" + batch_id.to_string());
}

}  // namespace voketag::processors
