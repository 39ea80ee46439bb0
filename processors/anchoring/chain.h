#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "events/events.h"
#include "processors/anchoring/aggregate.h"
#include "processors/anchoring/anchoring_state.h"
#include "processors/processor.h"

namespace voketag::processors {

// One signing key on one chain: takes roots from its queue, gathers them into transactions, and
// says what became of them. Pure like the processor that it is a part of: what happens on a chain
// reaches it as records and timers. An object keeps no state of its own; Context::store() has it.
class Chain {
 public:
  virtual ~Chain() = default;

  // "chain_id:address": the key of anchor-queue records that are for this chain.
  virtual std::string_view queue_key() const = 0;

  // A root has come into the queue.
  virtual void on_queued(Context& context) = 0;

  // A timer has fired whose name is "chain:<queue_key>".
  virtual void on_timer(Context& context) = 0;
};

// A transaction over the roots of many batches, before anyone has signed or sent it.
struct SealedAggregate {
  explicit SealedAggregate(std::vector<WaitingRoot> waiting);

  std::vector<WaitingRoot> roots;  // root i is leaf i
  AggregateTree tree;

  AnchorCalldata calldata() const;
  std::vector<events::AggregateLeaf> leaves() const;
};

// Where a transaction was found.
struct MinedTransaction {
  std::string network;
  std::int64_t chain_id = 0;
  events::ChainBytes transaction_id;
  std::int64_t block_number = 0;
  events::ChainBytes block_hash;
  std::int64_t gas_used = 0;
  events::Decimal gas_price_gwei;
  events::Timestamp block_time;
};

// Emits anchor-completed for every batch of a transaction that is final.
void announce_completed(Context& context, const SealedAggregate& aggregate,
                        const MinedTransaction& mined);

// Emits anchor-failed for one attempt.
void announce_failed(Context& context, const events::AnchorQueued& root, std::string_view reason,
                     std::string_view detail, events::Timestamp next_retry_at);

}  // namespace voketag::processors
