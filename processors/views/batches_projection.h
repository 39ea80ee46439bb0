#pragma once

#include "processors/projection.h"

namespace voketag::processors {

// The view "batches": one row per batch, gathered from the events of its life.
//
// Status and error are those of the event that is furthest in the batch's life, as the column
// `progress` counts it: requested, generating, then anchoring and anchor_failed for each attempt
// at anchoring, at last completed or failed. So a batch shows anchoring, and no error, while its
// anchoring is being retried, and a completed one shows no error.
//
// Which event tells what, so that the order of arrival does not matter:
//
//    batch-accepted           all that was asked for, status requested
//    token-chunk-requested    (of chunk 0) status generating
//    merkle-root-computed     merkle_root, job_id, status anchoring
//    anchor-queue             (of our own roots, tried again) status anchoring
//    anchor-failed            (of our own roots) error, status anchor_failed
//    batch-completed          transaction_id, job_id, network, completed_at, status completed
//    batch-failed             error, completed_at, status failed
//
// Of two conflicting requests of one id, both accepted, the first stands here, as it does for the
// batches processor: both read the same partition in the same order.
class BatchesProjection : public Projection {
 public:
  std::string_view name() const override { return "batches"; }
  std::vector<std::string_view> inputs() const override;
  std::span<const View* const> views() const override;
  events::Status project(const events::RecordView& record, RowWriter& rows) override;
};

}  // namespace voketag::processors
