#pragma once

#include "connectors/postgres/connection.h"
#include "events/error.h"
#include "events/uuid.h"
#include "voketag/proof/bundle.h"

namespace voketag::cli {

// Makes the proof of one product from the views: reads its own chunk's tokens, the roots of its
// batch's chunks, and its batch's anchor. What it returns has been verified (mock chain allowed).
// kNotFound: no such product, or its batch is not anchored yet. kCorrupt: the views contradict each
// other, and must be rebuilt.
events::Result<ProofBundle> bundle_from_views(postgres::Connection& views,
                                              const events::Uuid& product_id);

}  // namespace voketag::cli
