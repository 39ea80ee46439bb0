#include "processors/tokens/tokens_processor.h"

#include <string>

#include "processors/tokens/chunks.h"
#include "processors/tokens/make_chunk.h"
#include "processors/tokens/product_id.h"

namespace voketag::processors {
namespace {

using events::TokenChunkRequested;

// A chunk that is done has a key in the state and nothing to say of it.
constexpr std::string_view kDone = "{}";

std::string done_key(const std::string& chunk) {
  return "done/" + chunk;
}

}  // namespace

std::vector<std::string_view> TokensProcessor::inputs() const {
  return {TokenChunkRequested::kTopic};
}

void TokensProcessor::on_record(Context& context, const events::RecordView& record) {
  decode_and_handle<TokenChunkRequested>(
      context, record, [&](const auto& request) { on_requested(context, request); });
}

void TokensProcessor::on_timer(Context&, std::string_view) {}

void TokensProcessor::on_requested(Context& context, const TokenChunkRequested& request) const {
  if (const auto status = check_chunk(request); !status) {
    context.dead_letter("invalid", status.error().message);
    return;
  }
  const auto done = done_key(chunk_key(request.batch_id, request.chunk_index));
  if (context.store().get(done)) return;

  const auto* key = keys_.find(static_cast<std::uint8_t>(request.key_id));
  if (key == nullptr) {
    context.dead_letter("unknown_key",
                        "the batch is signed with token key " + std::to_string(request.key_id) +
                            ", which this instance does not have; add it to VOKETAG_TOKEN_KEYS, "
                            "restart, and the chunk is requested again by itself");
    return;
  }
  const auto plan =
      BatchPlan::derive(*key, {request.batch_id, request.requested_at.ms, request.product_count});
  if (!plan) {
    context.dead_letter("invalid", plan.error().message);
    return;
  }
  events::MerkleSubtreeComputed subtree;
  subtree.batch_id = request.batch_id;
  subtree.chunk_index = request.chunk_index;
  subtree.chunk_count = request.chunk_count;
  subtree.product_count = request.product_count;
  subtree.root = {make_chunk(context, request, *key, *plan)};
  context.emit(request.batch_id.to_string(), subtree);
  context.store().put(done, kDone);
}

}  // namespace voketag::processors
