#include "processors/anchoring/anchor_queue.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

namespace voketag::processors {
namespace {

constexpr std::string_view kWaiting = "waiting";
constexpr std::string_view kFailed = "failed";
constexpr std::string_view kCompleted = "completed";

}  // namespace

AnchorQueue::AnchorQueue(state::Store& store, std::string_view queue_key)
    : queue_key_(queue_key),
      lanes_(store, "lane"),
      slots_(store, "slot"),
      places_(store, "place"),
      lane_(lanes_.get(queue_key).value_or(LaneState{})) {}

bool AnchorQueue::push(const events::AnchorQueued& root) {
  const auto batch_key = root.batch_id.to_string();
  const auto known = places_.get(batch_key);
  const bool same_root = known && known->merkle_root == root.merkle_root;
  if (same_root && known->status != kFailed) {
    if (known->status == kWaiting) note_attempt(*known, root);
    return false;
  }

  QueuePlace place;
  place.status = kWaiting;
  place.merkle_root = root.merkle_root;
  place.revision = known ? known->revision + (known->status == kCompleted ? 1 : 0) : 1;
  place.slot = known && known->status == kWaiting ? *known->slot : lane_.next_slot++;
  slots_.put(slot_key(*place.slot), {root, place.revision});
  places_.put(batch_key, place);
  return true;
}

// A root that waits and is asked for again goes by the later attempt: what becomes of it answers
// that one.
void AnchorQueue::note_attempt(const QueuePlace& place, const events::AnchorQueued& root) {
  const auto key = slot_key(place.slot.value());
  auto waiting = slots_.get(key);
  if (!waiting || waiting->root.attempt >= root.attempt) return;
  waiting->root = root;
  slots_.put(key, *waiting);
}

std::vector<WaitingRoot> AnchorQueue::take(std::size_t roots_max) {
  std::vector<WaitingRoot> roots;
  for (; roots.size() < roots_max && !empty(); ++lane_.first_slot) {
    const auto key = slot_key(lane_.first_slot);
    auto root = slots_.get(key);
    if (!root) {
      throw std::logic_error("slot " + key +
                             " of the anchor queue is empty, although its lane counts it among "
                             "those that wait");
    }
    slots_.erase(key);
    roots.push_back(*std::move(root));
  }
  return roots;
}

void AnchorQueue::completed(const WaitingRoot& root) {
  QueuePlace place;
  place.status = kCompleted;
  place.merkle_root = root.root.merkle_root;
  place.revision = root.revision;
  places_.put(root.root.batch_id.to_string(), place);
}

void AnchorQueue::failed(const WaitingRoot& root) {
  QueuePlace place;
  place.status = kFailed;
  place.merkle_root = root.root.merkle_root;
  place.revision = root.revision;
  if (root.root.origin == "external") place.failed = root.root;
  places_.put(root.root.batch_id.to_string(), place);
}

std::optional<events::AnchorQueued> AnchorQueue::next_attempt(std::string_view batch_id) const {
  auto place = places_.get(batch_id);
  if (!place || !place->failed) return std::nullopt;
  ++place->failed->attempt;
  return place->failed;
}

std::string AnchorQueue::slot_key(std::int64_t slot) const {
  return queue_key_ + "/" + std::to_string(slot);
}

}  // namespace voketag::processors
