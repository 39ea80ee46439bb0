#include "voketag/proof/verify.h"

#include <span>

#include "processors/anchoring/aggregate.h"
#include "processors/merkle/inclusion_proof.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/token.h"

namespace voketag::cli {
namespace {

// Looks at one fact after the other, and at none after one that fails.
class Verification {
 public:
  Verification(const ProofOptions& options) : options_(options) {}

  ProofReport run(std::string_view json) {
    auto bundle = decode_bundle(json);
    if (!bundle) {
      fails("bundle", bundle.error().message);
      return std::move(report_);
    }
    bundle_ = *std::move(bundle);
    holds("bundle", "a proof bundle, version 1");
    report_.verified = check_token() && check_signature() && check_batch() && check_aggregate() &&
                       check_transaction() && check_network();
    return std::move(report_);
  }

 private:
  bool holds(std::string name, std::string detail) {
    report_.facts.push_back({std::move(name), FactState::kHolds, std::move(detail)});
    return true;
  }
  bool fails(std::string name, std::string detail) {
    report_.facts.push_back({std::move(name), FactState::kFails, std::move(detail)});
    return false;
  }
  bool unchecked(std::string name, std::string detail) {
    report_.facts.push_back({std::move(name), FactState::kUnchecked, std::move(detail)});
    return true;
  }

  bool check_token() {
    const auto token = processors::parse_token(bundle_.token);
    if (!token) return fails("token", token.error().message);
    token_ = *token;
    return holds("token", "product " + token_.product_id.to_string());
  }

  bool check_signature() {
    const std::string key = "key " + std::to_string(token_.key_id);
    if (options_.keys == nullptr) {
      return unchecked("token_signature", "give the token keys to check that " + key + " made it");
    }
    switch (processors::verify_token(token_, *options_.keys)) {
      case processors::TokenVerdict::kAuthentic:
        return holds("token_signature", "made with " + key);
      case processors::TokenVerdict::kForged:
        return fails("token_signature", "the token names " + key + ", which did not make it");
      case processors::TokenVerdict::kUnknownKey:
        break;
    }
    if (options_.keys_must_know_token) {
      return fails("token_signature", "the token names " + key + ", which was not given");
    }
    return unchecked("token_signature", key + " is not among the token keys at hand");
  }

  bool check_batch() {
    const auto root =
        processors::root_from_path(processors::leaf_hash(bundle_.token), bundle_.batch.index,
                                   bundle_.batch.size, bundle_.batch.path);
    if (!root) return fails("batch_inclusion", root.error().message);
    batch_root_ = *root;
    return holds("batch_inclusion", "leaf " + std::to_string(bundle_.batch.index) + " of " +
                                        std::to_string(bundle_.batch.size) + " in batch " +
                                        bundle_.batch_id.to_string());
  }

  bool check_aggregate() {
    const processors::AggregateLeafData leaf{processors::AggregateKind::kBatch, bundle_.batch_id,
                                             bundle_.batch.size, batch_root_};
    const auto root = processors::root_from_path(leaf.leaf(), bundle_.aggregate.index,
                                                 bundle_.aggregate.size, bundle_.aggregate.path);
    if (!root) return fails("aggregate_inclusion", root.error().message);
    calldata_ = {bundle_.aggregate.size, *root};
    return holds("aggregate_inclusion", "tree " + std::to_string(bundle_.aggregate.index) + " of " +
                                            std::to_string(bundle_.aggregate.size) +
                                            " in one transaction");
  }

  bool check_transaction() {
    const auto calldata = calldata_.encode();
    if (processors::to_chain_bytes(calldata).text != bundle_.transaction.calldata) {
      return fails("calldata",
                   "the transaction carries another root than the one that token and "
                   "paths lead to: the proof was changed, or is not of this token");
    }
    holds("calldata", "carries the root that token and paths lead to");
    if (mock_transaction_id(bundle_.transaction.nonce, calldata) != bundle_.transaction.id) {
      return fails("transaction", "the transaction's id does not follow from its bytes");
    }
    return holds("transaction", bundle_.transaction.id);
  }

  bool check_network() {
    if (!options_.allow_mock) {
      return fails("network",
                   "it is the mock chain, which nobody else has seen: this proves no "
                   "point in time. For tests: --allow-mock");
    }
    return unchecked("network",
                     "mock: no chain has seen this transaction; accepted because mock "
                     "proofs were allowed");
  }

  const ProofOptions& options_;
  ProofReport report_;
  ProofBundle bundle_;
  processors::Token token_;
  processors::Hash batch_root_{};
  processors::AnchorCalldata calldata_;
};

}  // namespace

ProofReport verify_proof(std::string_view json, const ProofOptions& options) {
  return Verification(options).run(json);
}

std::string mock_transaction_id(std::int64_t nonce, std::span<const std::uint8_t> calldata) {
  constexpr std::string_view kDomain = "voketag-mock-transaction";
  std::vector<std::uint8_t> bytes(kDomain.begin(), kDomain.end());
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(nonce) >>
                                              static_cast<unsigned>(shift)));
  }
  bytes.insert(bytes.end(), calldata.begin(), calldata.end());
  return processors::to_chain_bytes(processors::sha256(bytes)).text;
}

}  // namespace voketag::cli
