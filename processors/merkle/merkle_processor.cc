#include "processors/merkle/merkle_processor.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "processors/merkle/merkle_state.h"
#include "processors/merkle/tree.h"
#include "state/table.h"

namespace voketag::processors {
namespace {

using events::MerkleSubtreeComputed;

state::Table<TreeState> trees(Context& context) {
  return {context.store(), "tree"};
}
state::Table<ChunkRoot> parts(Context& context) {
  return {context.store(), "part"};
}
state::Table<WholeTree> whole_trees(Context& context) {
  return {context.store(), "whole"};
}

std::string part_key(const std::string& batch_key, std::int64_t chunk_index) {
  const auto digits = std::to_string(chunk_index);
  return batch_key + "/" + std::string(8 - std::min<std::size_t>(8, digits.size()), '0') + digits;
}

void refuse(Context& context, const MerkleSubtreeComputed& event, std::string_view what) {
  context.dead_letter("conflicting_subtree",
                      "chunk " + std::to_string(event.chunk_index) + " of batch " +
                          event.batch_id.to_string() + " is here with another " +
                          std::string(what) +
                          "; the first stands. The tokens of a chunk follow "
                          "from its request and key: find out which of the two changed");
}

void announce(Context& context, const MerkleSubtreeComputed& last, const Hash& root) {
  const auto key = last.batch_id.to_string();
  const events::Hash merkle_root{root};
  whole_trees(context).put(key, {merkle_root, last.chunk_count});
  context.emit(key, events::MerkleRootComputed{last.batch_id, merkle_root, last.product_count});
}

// Takes the parts of a whole tree out of the state, in the order of their chunks.
std::vector<Hash> take_parts(Context& context, const std::string& batch_key) {
  std::vector<Hash> roots;
  std::vector<std::string> keys;
  parts(context).scan(batch_key + "/", [&](std::string_view key, const ChunkRoot& part) {
    roots.push_back(part.root.bytes);
    keys.emplace_back(key);
    return true;
  });
  for (const auto& key : keys) parts(context).erase(key);
  return roots;
}

// Adds a chunk to a tree that is not whole yet.
void gather(Context& context, const MerkleSubtreeComputed& event) {
  const auto key = event.batch_id.to_string();
  auto tree =
      trees(context).get(key).value_or(TreeState{event.chunk_count, event.product_count, 0});
  if (tree.chunk_count != event.chunk_count || tree.product_count != event.product_count) {
    refuse(context, event, "chunk_count or product_count");
    return;
  }
  const auto this_part = part_key(key, event.chunk_index);
  if (const auto known = parts(context).get(this_part)) {
    if (known->root != event.root) refuse(context, event, "root");
    return;
  }
  parts(context).put(this_part, {event.root});
  ++tree.received;
  if (tree.received < tree.chunk_count) {
    trees(context).put(key, tree);
    return;
  }
  const auto roots = take_parts(context, key);
  if (static_cast<std::int64_t>(roots.size()) != tree.chunk_count) {
    throw std::logic_error("batch " + key + " counts " + std::to_string(tree.chunk_count) +
                           " chunks as received, and " + std::to_string(roots.size()) +
                           " are in the state; no root is announced over these");
  }
  trees(context).erase(key);
  announce(context, event, root_over_chunks(roots));
}

void on_subtree(Context& context, const MerkleSubtreeComputed& event) {
  if (event.chunk_index >= event.chunk_count || event.chunk_count > event.product_count) {
    context.dead_letter("invalid", "chunk " + std::to_string(event.chunk_index) + " of " +
                                       std::to_string(event.chunk_count) + " over " +
                                       std::to_string(event.product_count) +
                                       " products cannot be: chunk_index must be less than "
                                       "chunk_count, and that at most product_count");
    return;
  }
  if (const auto whole = whole_trees(context).get(event.batch_id.to_string())) {
    // Parts are gone by now; only of a tree of one chunk can the root still be compared.
    if (whole->chunk_count != event.chunk_count) {
      refuse(context, event, "chunk_count");
    } else if (whole->chunk_count == 1 && whole->merkle_root != event.root) {
      refuse(context, event, "root");
    }
    return;
  }
  if (event.chunk_count == 1 && !trees(context).contains(event.batch_id.to_string())) {
    announce(context, event, event.root.bytes);
    return;
  }
  gather(context, event);
}

}  // namespace

std::vector<std::string_view> MerkleProcessor::inputs() const {
  return {MerkleSubtreeComputed::kTopic};
}

void MerkleProcessor::on_record(Context& context, const events::RecordView& record) {
  decode_and_handle<MerkleSubtreeComputed>(context, record,
                                           [&](const auto& event) { on_subtree(context, event); });
}

void MerkleProcessor::on_timer(Context&, std::string_view) {}

}  // namespace voketag::processors
