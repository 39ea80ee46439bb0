#pragma once

#include "processors/projection.h"

namespace voketag::processors {

// The view "merkle_subtrees": the root of every chunk of a great batch, from which, with the tokens
// of one chunk, a product's inclusion path is made. A batch that was made at once has no rows here:
// all its tokens are read then.
//
//    batch_id uuid, chunk_index bigint key | root text
class MerkleSubtreesProjection : public Projection {
 public:
  std::string_view name() const override { return "merkle-subtrees"; }
  std::vector<std::string_view> inputs() const override;
  std::span<const View* const> views() const override;
  events::Status project(const events::RecordView& record, RowWriter& rows) override;
};

}  // namespace voketag::processors
