#pragma once

#include <string_view>
#include <vector>

#include "events/events.h"
#include "processors/processor.h"
#include "processors/tokens/token_keys.h"

namespace voketag::processors {

// Makes the tokens of a chunk and the Merkle root over them.
//
//    token-chunk-requested -> tokens-generated         key "batch_id:chunk_index"
//                          -> merkle-subtree-computed  key batch_id
//
// Everything follows from the request and the key it names, so the same request gives the same
// bytes. A chunk that is requested again is not made again: table "done" remembers it, under the
// chunk's key, for ever.
//
// Dead letters: invalid (numbers that contradict each other), unknown_key.
class TokensProcessor : public Processor {
 public:
  // `keys` must outlive the processor.
  explicit TokensProcessor(const TokenKeys& keys) : keys_(keys) {}

  std::string_view name() const override { return "tokens"; }
  std::vector<std::string_view> inputs() const override;
  void on_record(Context& context, const events::RecordView& record) override;
  void on_timer(Context& context, std::string_view name) override;

 private:
  void on_requested(Context& context, const events::TokenChunkRequested& request) const;

  const TokenKeys& keys_;
};

}  // namespace voketag::processors
