#pragma once

#include "events/events.h"
#include "processors/hash/sha256.h"
#include "processors/processor.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token_keys.h"

namespace voketag::processors {

// Makes the tokens of one chunk: emits them as tokens-generated (key "batch_id:chunk_index") and
// returns the RFC 6962 root over them.
//
// `chunk` must have passed check_chunk, and `plan` must have been derived with `key` for its batch.
// Everything follows from these three: the same chunk gives the same bytes, whoever makes it.
Hash make_chunk(Context& context, const events::TokenChunkRequested& chunk, const TokenKey& key,
                const BatchPlan& plan);

}  // namespace voketag::processors
