#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "connectors/postgres/connection.h"
#include "processors/projection.h"

namespace voketag::postgres {

struct GenerationSwap {
  std::string_view projection;
  std::span<const processors::View* const> views;
  std::int32_t retired = 0;     // the live one, which is frozen
  std::int32_t generation = 0;  // takes its place
  bool keep_retired = false;
  int lock_timeout_ms = 0;  // how long readers are waited for, in all
};

// The steps of a swap behind the freeze, up to its COMMIT, in the transaction that is open on
// `frozen`; `control` looks at the other sessions meanwhile. docs/decisions/0012-replay-of-views.md
// tells why so. kRetry: refused, the message says by whom. kFenced: it is no longer being built.
Outcome<void> swap_generations(Connection& frozen, Connection& control, const GenerationSwap& swap);

}  // namespace voketag::postgres
