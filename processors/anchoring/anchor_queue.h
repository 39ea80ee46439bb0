#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "events/events.h"
#include "processors/anchoring/anchoring_state.h"
#include "processors/processor.h"
#include "state/store.h"
#include "state/table.h"

namespace voketag::processors {

// The roots that wait for one signing key, oldest first, and what became of those that waited. Each
// operation costs the same however many wait. Lives during one handler.
class AnchorQueue {
 public:
  // `queue_key` is "chain_id:address".
  AnchorQueue(state::Store& store, std::string_view queue_key);

  // Lets a root wait. False: it waits already, or is anchored already. Another root for a batch
  // replaces one that waits; one that is anchored it follows as the next revision.
  bool push(const events::AnchorQueued& root);

  // Takes the oldest out, at most so many. Each must then be completed() or failed().
  std::vector<WaitingRoot> take(std::size_t roots_max);
  bool empty() const { return lane_.first_slot == lane_.next_slot; }

  void completed(const WaitingRoot& root);
  void failed(const WaitingRoot& root);

  // The root of a batch whose last attempt failed, as the next attempt; none if it has been queued
  // again since.
  std::optional<events::AnchorQueued> next_attempt(std::string_view batch_id) const;

  // The key's account. Written back by save().
  LaneState& lane() { return lane_; }
  void save() { lanes_.put(queue_key_, lane_); }

 private:
  void note_attempt(const QueuePlace& place, const events::AnchorQueued& root);
  std::string slot_key(std::int64_t slot) const;

  std::string queue_key_;
  state::Table<LaneState> lanes_;
  state::Table<WaitingRoot> slots_;
  state::Table<QueuePlace> places_;
  LaneState lane_;
};

}  // namespace voketag::processors
