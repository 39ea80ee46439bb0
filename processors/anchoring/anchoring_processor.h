#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "events/events.h"
#include "processors/anchoring/anchoring_state.h"
#include "processors/anchoring/chain.h"
#include "processors/processor.h"

namespace voketag::processors {

// Brings roots onto a chain, one anchor per batch.
//
//    merkle-root-computed  (key batch_id)       our own root        -> anchor-queue
//    anchor-accepted       (key batch_id)       an outsider's root, -> anchor-queue
//                                               or ours once more
//    anchor-queue          (key chain_id:address)                   -> what the chain makes of it:
//                          anchor-submitted, then anchor-completed or anchor-failed (key batch_id)
//
// The queue's key makes one partition, and so one owner, the only writer of an account's nonces.
//
// The first root of a batch counts, with one exception: for a batch of ours our own root wins over
// one that an outsider named before. The same root again is nothing new. A failed attempt is made
// again when `batches` asks for it (ours) or by a timer here (outsiders'). `batches` may ask while
// the root is merely under way, or has never come here: one that waits or is anchored is not queued
// twice, and one that is missing is queued as if it had come.
//
// Dead letters: foreign_root (an outsider's root for a batch of ours), conflicting_anchor (a second
// root for an outsider's batch, or for one of ours), unknown_signing_key (a queue that this process
// does not serve).
class AnchoringProcessor : public Processor {
 public:
  explicit AnchoringProcessor(std::unique_ptr<Chain> chain);

  std::string_view name() const override { return "anchoring"; }
  std::vector<std::string_view> inputs() const override;
  void on_record(Context& context, const events::RecordView& record) override;
  void on_timer(Context& context, std::string_view name) override;

 private:
  void on_own_root(Context& context, const events::MerkleRootComputed& event) const;
  void on_accepted(Context& context, const events::AnchorAccepted& event) const;
  void on_external(Context& context, const events::AnchorAccepted& event) const;
  void on_retry(Context& context, const events::AnchorAccepted& event) const;
  void on_queued(Context& context, const events::RecordView& record) const;
  void on_retry_timer(Context& context, std::string_view batch_id) const;
  void enqueue(Context& context, const events::Uuid& batch_id, const AnchorState& anchor) const;

  const std::unique_ptr<Chain> chain_;
};

// The anchor of a batch: UUIDv5 of "anchor:<batch_id>" in kNamespace.
events::Uuid anchor_id_of(const events::Uuid& batch_id);

}  // namespace voketag::processors
