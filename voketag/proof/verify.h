#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "processors/tokens/token_keys.h"
#include "voketag/proof/bundle.h"

namespace voketag::cli {

// What became of one fact that a proof rests on.
enum class FactState {
  kHolds,
  kFails,
  kUnchecked,  // what it takes to check it was not given
};

struct Fact {
  std::string name;  // snake_case, for programs
  FactState state = FactState::kUnchecked;
  std::string detail;
};

struct ProofReport {
  bool verified = false;
  std::vector<Fact>
      facts;  // in the order in which they were looked at; the first that fails is last
};

struct ProofOptions {
  // The simulated chain proves no point in time: without this a proof from it is never verified.
  bool allow_mock = false;
  // To check the token's MAC; may be null.
  const processors::TokenKeys* keys = nullptr;
  // Whether a token of a key that is not among `keys` fails.
  bool keys_must_know_token = false;
};

// Recomputes everything from the file alone: no Kafka, no database, no network. Never throws on any
// input.
ProofReport verify_proof(std::string_view json, const ProofOptions& options);

// The id of a transaction of the simulated chain (processors/anchoring/mock_chain.h).
std::string mock_transaction_id(std::int64_t nonce, std::span<const std::uint8_t> calldata);

}  // namespace voketag::cli
