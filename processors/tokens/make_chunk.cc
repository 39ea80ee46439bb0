#include "processors/tokens/make_chunk.h"

#include <utility>
#include <vector>

#include "events/tokens_view.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/chunks.h"
#include "processors/tokens/token.h"

namespace voketag::processors {

static_assert(events::kTokenTextBytes == kTokenCharacters);

Hash make_chunk(Context& context, const events::TokenChunkRequested& chunk, const TokenKey& key,
                const BatchPlan& plan) {
  const auto first_index = chunk.chunk_index * chunk.chunk_size;
  const auto count = chunk_products(chunk.product_count, chunk.chunk_size, chunk.chunk_index);
  std::vector<Hash> leaves(static_cast<std::size_t>(count));
  events::TokensGeneratedWriter writer(chunk.batch_id, chunk.chunk_index,
                                       chunk.first_serial + first_index, count);
  make_tokens_json(key, plan, first_index, leaves.size(), writer.body(), leaves.data());
  context.emit_json(events::TokensGenerated::kTopic, chunk_key(chunk.batch_id, chunk.chunk_index),
                    std::move(writer).finish());
  return merkle_root_in_place(leaves);
}

}  // namespace voketag::processors
