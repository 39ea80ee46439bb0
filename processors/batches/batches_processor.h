#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "events/events.h"
#include "processors/batches/batch_state.h"
#include "processors/batches/chunk_window.h"
#include "processors/processor.h"
#include "processors/tokens/chunks.h"
#include "processors/tokens/token_keys.h"

namespace voketag::processors {

struct BatchesConfig {
  // A batch of at most so many products is made whole where it is accepted; a greater one is cut
  // into chunks that every partition works on. 131,072 products are 30 ms of one core: less than
  // the three transactions that asking others to make them would take, and no more than another
  // batch may be kept waiting.
  std::int64_t made_at_once_max = kMadeAtOnceMax;
  // How many products of one batch may be in generation at a time; at least one chunk is. It bounds
  // how long a small batch waits behind a great one: 393,216 products are 0.1 s of one core.
  std::int64_t products_in_flight_max = 393'216;
  // How long a batch may stand still before its open chunks are requested again. Doubles each time,
  // up to a limit.
  std::int64_t stall_timeout_ms = 60'000;
  std::int64_t stall_timeout_max_ms = 15 * 60'000;
  // After so many reminders without a chunk coming back, the batch fails. It must outlast any
  // outage that ends, for a failure does not: 100 are 24 hours and 15 minutes.
  std::int64_t reminders_max = 100;
  // When anchoring is asked for again after a failure that names no time, or when nothing is heard
  // of it. The latter doubles each time, up to a limit, and never ends: the products stand.
  std::int64_t anchor_retry_ms = 15 * 60'000;
  std::int64_t anchor_retry_max_ms = 6 * 3'600'000;
};

// Leads each batch from its request to its end.
//
//    batch-accepted           first sight: a small batch is made at once (tokens-generated,
//                             merkle-root-computed); of a greater one, the first chunks are
//                             requested. The same again: nothing. The same id with other content:
//                             dead letter conflicting_batch.
//    merkle-subtree-computed  a chunk is back: requests the next ones
//    merkle-root-computed     generation is over, anchoring has begun
//    anchor-completed         batch-completed
//    anchor-failed            the products stand; asks for anchoring again by timer
//    timer stall:<batch_id>   stands as long as the batch is on its way. In generation: requests
//                             open chunks again, at last batch-failed generation_stalled. In
//                             anchoring: asks for it again (anchor-accepted, origin "retry"), for
//                             the root may have been lost on the way
//    timer retry:<batch_id>   asks for anchoring again after a failure
//
// Every handler may see its event twice, late, or before the event that caused it: the topics are
// read side by side. Events of batches that are not ours (outsiders' anchors) are ignored.
//
// Dead letters: conflicting_batch, conflicting_root (another root than the batch has),
// unrequested_chunk, invalid (a chunk size that is no power of two).
class BatchesProcessor : public Processor {
 public:
  // `keys` must outlive the processor.
  BatchesProcessor(const BatchesConfig& config, const TokenKeys& keys)
      : config_(config), keys_(keys) {}

  std::string_view name() const override { return "batches"; }
  std::vector<std::string_view> inputs() const override;
  void on_record(Context& context, const events::RecordView& record) override;
  void on_timer(Context& context, std::string_view name) override;

 private:
  void on_accepted(Context& context, const events::BatchAccepted& event) const;
  void on_subtree(Context& context, const events::MerkleSubtreeComputed& event) const;
  void on_root(Context& context, const events::MerkleRootComputed& event) const;
  void on_anchored(Context& context, const events::AnchorCompleted& event) const;
  void on_anchor_failed(Context& context, const events::AnchorFailed& event) const;
  void on_stall_timer(Context& context, std::string_view batch_id) const;
  void on_retry_timer(Context& context, std::string_view batch_id) const;

  bool known_already(Context& context, const events::BatchAccepted& event,
                     const BatchContent& content) const;
  bool make_at_once(Context& context, const events::Uuid& batch_id, BatchState& batch) const;
  std::int64_t in_flight_max(const BatchState& batch) const;
  void request_chunks(Context& context, const events::Uuid& batch_id, const BatchState& batch,
                      ChunkWindow& window) const;
  void watch_generation(Context& context, const events::Uuid& batch_id, BatchState& batch) const;
  void watch_anchoring(Context& context, const events::Uuid& batch_id, BatchState& batch) const;
  void remind(Context& context, const events::Uuid& batch_id, BatchState& batch,
              ChunkWindow& window) const;
  void ask_for_anchor(Context& context, const events::Uuid& batch_id, BatchState& batch) const;
  std::int64_t generation_patience_ms(std::int64_t reminders) const;
  std::int64_t anchoring_patience_ms(std::int64_t reminders) const;

  const BatchesConfig config_;
  const TokenKeys& keys_;
};

}  // namespace voketag::processors
