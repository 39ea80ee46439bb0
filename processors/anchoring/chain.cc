#include "processors/anchoring/chain.h"

#include <utility>

namespace voketag::processors {
namespace {

AggregateTree tree_over(const std::vector<WaitingRoot>& waiting) {
  std::vector<Hash> leaves;
  leaves.reserve(waiting.size());
  for (const auto& [root, revision] : waiting) {
    leaves.push_back(AggregateLeafData{AggregateKind::kBatch, root.batch_id,
                                       static_cast<std::uint64_t>(root.product_count),
                                       root.merkle_root.bytes}
                         .leaf());
  }
  return AggregateTree(std::move(leaves));
}

}  // namespace

SealedAggregate::SealedAggregate(std::vector<WaitingRoot> waiting)
    : roots(std::move(waiting)), tree(tree_over(roots)) {}

AnchorCalldata SealedAggregate::calldata() const {
  return {tree.size(), tree.root()};
}

std::vector<events::AggregateLeaf> SealedAggregate::leaves() const {
  std::vector<events::AggregateLeaf> leaves;
  for (const auto& [root, revision] : roots) {
    leaves.push_back({root.anchor_id, root.batch_id, static_cast<std::int64_t>(leaves.size())});
  }
  return leaves;
}

void announce_completed(Context& context, const SealedAggregate& aggregate,
                        const MinedTransaction& mined) {
  for (std::size_t i = 0; i < aggregate.roots.size(); ++i) {
    const auto& [root, revision] = aggregate.roots[i];
    events::AnchorCompleted completed;
    completed.anchor_id = root.anchor_id;
    completed.batch_id = root.batch_id;
    completed.merkle_root = root.merkle_root;
    completed.product_count = root.product_count;
    completed.network = mined.network;
    completed.chain_id = mined.chain_id;
    completed.transaction_id = mined.transaction_id;
    completed.block_number = mined.block_number;
    completed.block_hash = mined.block_hash;
    completed.gas_used = mined.gas_used;
    completed.gas_price_gwei = mined.gas_price_gwei;
    completed.anchored_at = mined.block_time;
    completed.revision = revision;
    completed.aggregate = aggregate.tree.proof(i);
    context.emit(root.batch_id.to_string(), completed);
  }
}

void announce_failed(Context& context, const events::AnchorQueued& root, std::string_view reason,
                     std::string_view detail, events::Timestamp next_retry_at) {
  events::AnchorFailed failed;
  failed.anchor_id = root.anchor_id;
  failed.batch_id = root.batch_id;
  failed.reason = reason;
  failed.detail = detail;
  failed.retry_count = root.attempt - 1;
  failed.next_retry_at = next_retry_at;
  failed.origin = root.origin;
  context.emit(root.batch_id.to_string(), failed);
}

}  // namespace voketag::processors
