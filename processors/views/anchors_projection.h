#pragma once

#include "processors/projection.h"

namespace voketag::processors {

// The views "anchors", one row per anchor (and so per batch_id), and "anchor_transactions", one row
// per signed transaction: many anchors share one, and its bytes are stored once.
//
// The enum anchor_status rises: pending, processing, failed, completed.
//
//    anchor-queue      root and size; of the first attempt created_at; status pending
//    anchor-submitted  status processing of each of its anchors; the row of the transaction
//    anchor-failed     error (of the first failure), retry_count, next_retry_at, status failed;
//                      once the anchor is completed, error and next_retry_at are null again
//    anchor-completed  all about transaction, block and path; status completed
//
// What was anchored and where (root, size, transaction, block, path) is of one revision, the
// latest: an outsider may have anchored a root of his own under a batch_id that later became ours,
// and our own root then follows as the next revision. A transaction's id is taken from
// anchor-completed only, since an attempt may be replaced by another. retry_count and updated_at
// only grow.
class AnchorsProjection : public Projection {
 public:
  std::string_view name() const override { return "anchors"; }
  std::vector<std::string_view> inputs() const override;
  std::span<const View* const> views() const override;
  events::Status project(const events::RecordView& record, RowWriter& rows) override;
};

}  // namespace voketag::processors
