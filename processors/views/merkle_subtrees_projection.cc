#include "processors/views/merkle_subtrees_projection.h"

#include <array>

#include "events/events.h"
#include "processors/views/row_values.h"

namespace voketag::processors {
namespace {

constexpr std::array kColumns{Column{"batch_id", ColumnType::kUuid},
                              Column{"chunk_index", ColumnType::kInt64},
                              Column{"root", ColumnType::kHash}};
constexpr View kMerkleSubtrees{"merkle_subtrees", kColumns, 2, Merge::kInsert};
constexpr std::array kViews{&kMerkleSubtrees};

}  // namespace

std::vector<std::string_view> MerkleSubtreesProjection::inputs() const {
  return {events::MerkleSubtreeComputed::kTopic};
}

std::span<const View* const> MerkleSubtreesProjection::views() const {
  return kViews;
}

events::Status MerkleSubtreesProjection::project(const events::RecordView& record,
                                                 RowWriter& rows) {
  return decode_and_write<events::MerkleSubtreeComputed>(record, [&](const auto& subtree) {
    rows.begin_row(kMerkleSubtrees);
    rows.uuid(subtree.batch_id);
    rows.int64(subtree.chunk_index);
    rows.hash(subtree.root);
  });
}

}  // namespace voketag::processors
