#pragma once

#include <string_view>
#include <vector>

#include "events/events.h"
#include "processors/processor.h"

namespace voketag::processors {

// Gathers the roots of a batch's chunks, in whatever order they come, and from the last of them on
// knows the root over the whole batch.
//
//    merkle-subtree-computed -> merkle-root-computed   key batch_id, once per batch
//
// Each chunk costs two small writes; a batch with one chunk costs one, its subtree is its tree.
//
// Dead letters: invalid (a chunk beyond the batch's last), conflicting_subtree (a chunk that is
// here with another root, or a batch with other counts).
class MerkleProcessor : public Processor {
 public:
  std::string_view name() const override { return "merkle"; }
  std::vector<std::string_view> inputs() const override;
  void on_record(Context& context, const events::RecordView& record) override;
  void on_timer(Context& context, std::string_view name) override;
};

}  // namespace voketag::processors
