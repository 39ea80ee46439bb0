#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "events/field.h"
#include "events/timestamp.h"
#include "events/uuid.h"

// Every event, once. A struct's fields() is the definition from which codec (codec.h), JSON Schema
// (schemas/) and documentation are made. Field names, types and meanings are a public contract:
// fields may be added, never changed or removed; a reader ignores what it does not know.
namespace voketag::events {

inline constexpr std::int64_t kProductCountMax = 10'000'000;
inline constexpr std::int64_t kMetadataBytesMax = 16 * 1024;

// ---- batches --------------------------------------------------------------------------------

// Asks for a batch of products. Anyone may produce it, under any key; ingress re-keys it.
struct BatchRequested {
  static constexpr std::string_view kTopic = "batch-requested";
  Uuid batch_id;
  std::int64_t product_count = 0;
  std::optional<std::string> tenant;
  std::optional<std::string> sku;
  std::optional<std::string> gtin;
  std::optional<std::string> lot;
  std::optional<std::string> name;
  std::optional<JsonObject> metadata;
  std::optional<std::string> callback_url;
  std::optional<std::int64_t> first_serial;

  static constexpr auto fields() {
    using E = BatchRequested;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "Chosen by the producer; the same id is the same batch"},
        Field{"product_count", &E::product_count, "How many products",
              between(1, kProductCountMax)},
        Field{"tenant", &E::tenant, "Whose batch it is; default \"default\"", between(1, 128)},
        Field{"sku", &E::sku, "Stock keeping unit", between(1, 128)},
        Field{"gtin", &E::gtin, "GS1 trade item number: 8, 12, 13 or 14 digits with check digit",
              between(8, 14)},
        Field{"lot", &E::lot, "GS1 batch or lot number (AI 10)", between(1, 20)},
        Field{"name", &E::name, "A name for people", between(1, 256)},
        Field{"metadata", &E::metadata, "The producer's own data", at_most(kMetadataBytesMax)},
        Field{"callback_url", &E::callback_url, "Where to announce completion", between(8, 2048)},
        Field{"first_serial", &E::first_serial, "Serial of the first product; default 1",
              between(0, 1'000'000'000'000)}};
  }
};

// A valid request under its proper key (batch_id), with all that a replay needs fixed for ever.
struct BatchAccepted {
  static constexpr std::string_view kTopic = "batch-accepted";
  Uuid batch_id;
  std::string tenant;
  std::int64_t product_count = 0;
  std::int64_t first_serial = 1;
  std::optional<std::string> sku;
  std::optional<std::string> gtin;
  std::optional<std::string> lot;
  std::optional<std::string> name;
  std::optional<JsonObject> metadata;
  std::optional<std::string> callback_url;
  std::int64_t key_id = 0;
  std::int64_t chunk_size = 0;
  Timestamp requested_at;

  static constexpr auto fields() {
    using E = BatchAccepted;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"tenant", &E::tenant, "Whose batch it is", between(1, 128)},
        Field{"product_count", &E::product_count, "How many products",
              between(1, kProductCountMax)},
        Field{"first_serial", &E::first_serial, "Serial of the first product", at_least(0)},
        Field{"sku", &E::sku, "Stock keeping unit", between(1, 128)},
        Field{"gtin", &E::gtin, "GS1 trade item number", between(8, 14)},
        Field{"lot", &E::lot, "GS1 batch or lot number", between(1, 20)},
        Field{"name", &E::name, "A name for people", between(1, 256)},
        Field{"metadata", &E::metadata, "The producer's own data", at_most(kMetadataBytesMax)},
        Field{"callback_url", &E::callback_url, "Where to announce completion", between(8, 2048)},
        Field{"key_id", &E::key_id, "The token key that signs every token of the batch",
              between(0, 255)},
        Field{"chunk_size", &E::chunk_size, "Products per chunk, a power of two", at_least(1)},
        Field{"requested_at", &E::requested_at, "Broker time of the request"}};
  }
};

// Asks for the tokens of one chunk. Key: "batch_id:chunk_index".
struct TokenChunkRequested {
  static constexpr std::string_view kTopic = "token-chunk-requested";
  Uuid batch_id;
  std::int64_t chunk_index = 0;
  std::int64_t chunk_count = 0;
  std::int64_t chunk_size = 0;
  std::int64_t product_count = 0;
  std::int64_t first_serial = 1;
  std::int64_t key_id = 0;
  Timestamp requested_at;

  static constexpr auto fields() {
    using E = TokenChunkRequested;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"chunk_index", &E::chunk_index, "Which chunk, from 0", at_least(0)},
        Field{"chunk_count", &E::chunk_count, "How many chunks the batch has", at_least(1)},
        Field{"chunk_size", &E::chunk_size,
              "Products per chunk, a power of two; the last may hold "
              "fewer",
              at_least(1)},
        Field{"product_count", &E::product_count, "Products of the whole batch",
              between(1, kProductCountMax)},
        Field{"first_serial", &E::first_serial, "Serial of the batch's first product", at_least(0)},
        Field{"key_id", &E::key_id, "The token key", between(0, 255)},
        Field{"requested_at", &E::requested_at, "Broker time of the batch's request"}};
  }
};

// The tokens of one chunk, in the order of their serials. Key: "batch_id:chunk_index".
struct TokensGenerated {
  static constexpr std::string_view kTopic = "tokens-generated";
  Uuid batch_id;
  std::int64_t chunk_index = 0;
  std::int64_t first_serial = 0;
  std::int64_t count = 0;
  std::vector<std::string> tokens;

  static constexpr auto fields() {
    using E = TokensGenerated;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"chunk_index", &E::chunk_index, "Which chunk, from 0", at_least(0)},
        Field{"first_serial", &E::first_serial, "Serial of the first token here", at_least(0)},
        Field{"count", &E::count, "How many tokens", at_least(1)},
        Field{"tokens", &E::tokens, "The tokens, by rising serial; each 46 characters",
              at_least(1)}};
  }
};

// The RFC 6962 root over one chunk's tokens. Key: batch_id.
struct MerkleSubtreeComputed {
  static constexpr std::string_view kTopic = "merkle-subtree-computed";
  Uuid batch_id;
  std::int64_t chunk_index = 0;
  std::int64_t chunk_count = 0;
  std::int64_t product_count = 0;
  Hash root;

  static constexpr auto fields() {
    using E = MerkleSubtreeComputed;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"chunk_index", &E::chunk_index, "Which chunk, from 0", at_least(0)},
        Field{"chunk_count", &E::chunk_count, "How many chunks the batch has", at_least(1)},
        Field{"product_count", &E::product_count, "Products of the whole batch",
              between(1, kProductCountMax)},
        Field{"root", &E::root, "RFC 6962 root over the chunk's tokens"}};
  }
};

// The RFC 6962 root over all tokens of a batch. Key: batch_id.
struct MerkleRootComputed {
  static constexpr std::string_view kTopic = "merkle-root-computed";
  Uuid batch_id;
  Hash merkle_root;
  std::int64_t product_count = 0;

  static constexpr auto fields() {
    using E = MerkleRootComputed;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"merkle_root", &E::merkle_root, "RFC 6962 root over the batch's tokens"},
        Field{"product_count", &E::product_count, "The tree's size", between(1, kProductCountMax)}};
  }
};

// The batch is generated and its root is final on the chain. Key: batch_id.
struct BatchCompleted {
  static constexpr std::string_view kTopic = "batch-completed";
  Uuid batch_id;
  std::string tenant;
  std::int64_t product_count = 0;
  Hash merkle_root;
  Uuid anchor_id;
  std::string network;
  ChainBytes transaction_id;
  Timestamp requested_at;
  Timestamp completed_at;

  static constexpr auto fields() {
    using E = BatchCompleted;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"tenant", &E::tenant, "Whose batch it is", between(1, 128)},
        Field{"product_count", &E::product_count, "How many products",
              between(1, kProductCountMax)},
        Field{"merkle_root", &E::merkle_root, "RFC 6962 root over the batch's tokens"},
        Field{"anchor_id", &E::anchor_id, "The anchor that carries the root"},
        Field{"network", &E::network, "The chain's name; \"mock\" for the simulated one",
              between(1, 64)},
        Field{"transaction_id", &E::transaction_id, "Hash of the transaction"},
        Field{"requested_at", &E::requested_at, "Broker time of the request"},
        Field{"completed_at", &E::completed_at, "When the batch was complete"}};
  }
};

// The batch cannot be completed; its products must not be used. Key: batch_id.
struct BatchFailed {
  static constexpr std::string_view kTopic = "batch-failed";
  Uuid batch_id;
  std::string tenant;
  std::string reason;
  std::string detail;
  Timestamp failed_at;

  static constexpr auto fields() {
    using E = BatchFailed;
    return std::tuple{Field{"batch_id", &E::batch_id, "The batch"},
                      Field{"tenant", &E::tenant, "Whose batch it is", between(1, 128)},
                      Field{"reason", &E::reason, "A word for programs", between(1, 64)},
                      Field{"detail", &E::detail, "What happened and what to do, for people"},
                      Field{"failed_at", &E::failed_at, "When"}};
  }
};

// ---- anchoring ------------------------------------------------------------------------------

// Asks for a root to be anchored. Anyone may produce it, under any key.
struct AnchorRequested {
  static constexpr std::string_view kTopic = "anchor-requested";
  Uuid batch_id;
  Hash merkle_root;
  std::int64_t product_count = 0;
  std::optional<std::string> callback_url;

  static constexpr auto fields() {
    using E = AnchorRequested;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "One anchor per batch_id"},
        Field{"merkle_root", &E::merkle_root, "The root to anchor"},
        Field{"product_count", &E::product_count, "The tree's size", at_least(1)},
        Field{"callback_url", &E::callback_url, "Where to announce completion", between(8, 2048)}};
  }
};

// A valid anchor request under its proper key (batch_id).
struct AnchorAccepted {
  static constexpr std::string_view kTopic = "anchor-accepted";
  Uuid batch_id;
  Hash merkle_root;
  std::int64_t product_count = 0;
  std::optional<std::string> callback_url;
  std::string origin;
  Timestamp requested_at;

  static constexpr auto fields() {
    using E = AnchorAccepted;
    return std::tuple{
        Field{"batch_id", &E::batch_id, "One anchor per batch_id"},
        Field{"merkle_root", &E::merkle_root, "The root to anchor"},
        Field{"product_count", &E::product_count, "The tree's size", at_least(1)},
        Field{"callback_url", &E::callback_url, "Where to announce completion", between(8, 2048)},
        Field{"origin", &E::origin,
              "Who asked: an outsider, or the batches processor again after "
              "a failure",
              one_of("external|retry")},
        Field{"requested_at", &E::requested_at, "Broker time of the request"}};
  }
};

// One root in the queue of one signing key. Key: "chain_id:address", one writer per nonce sequence.
struct AnchorQueued {
  static constexpr std::string_view kTopic = "anchor-queue";
  Uuid anchor_id;
  Uuid batch_id;
  Hash merkle_root;
  std::int64_t product_count = 0;
  std::string origin;
  std::int64_t attempt = 1;

  static constexpr auto fields() {
    using E = AnchorQueued;
    return std::tuple{
        Field{"anchor_id", &E::anchor_id, "Derived from batch_id"},
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"merkle_root", &E::merkle_root, "The root to anchor"},
        Field{"product_count", &E::product_count, "The tree's size", at_least(1)},
        Field{"origin", &E::origin, "Whose root it is: of a batch of ours, or an outsider's",
              one_of("own|external")},
        Field{"attempt", &E::attempt, "1 for the first time", at_least(1)}};
  }
};

// The place of one batch among the leaves of a transaction's aggregate tree.
struct AggregateLeaf {
  Uuid anchor_id;
  Uuid batch_id;
  std::int64_t leaf_index = 0;

  static constexpr auto fields() {
    using E = AggregateLeaf;
    return std::tuple{Field{"anchor_id", &E::anchor_id, "The anchor"},
                      Field{"batch_id", &E::batch_id, "The batch"},
                      Field{"leaf_index", &E::leaf_index, "Its leaf, from 0", at_least(0)}};
  }
};

// A signed transaction, recorded before its first broadcast. Key: "chain_id:address".
struct AnchorSubmitted {
  static constexpr std::string_view kTopic = "anchor-submitted";
  std::string network;
  std::int64_t chain_id = 0;
  std::int64_t nonce = 0;
  ChainBytes transaction_id;
  ChainBytes raw_transaction;
  Hash aggregate_root;
  std::int64_t tree_size = 0;
  std::vector<AggregateLeaf> leaves;
  Timestamp submitted_at;

  static constexpr auto fields() {
    using E = AnchorSubmitted;
    return std::tuple{
        Field{"network", &E::network, "The chain's name; \"mock\" for the simulated one",
              between(1, 64)},
        Field{"chain_id", &E::chain_id, "EIP-155 chain id; 0 for the simulated one", at_least(0)},
        Field{"nonce", &E::nonce, "The transaction's nonce", at_least(0)},
        Field{"transaction_id", &E::transaction_id, "Hash of the transaction"},
        Field{"raw_transaction", &E::raw_transaction,
              "The signed bytes; of the simulated chain, "
              "the calldata"},
        Field{"aggregate_root", &E::aggregate_root, "Root over the leaves of all batches in it"},
        Field{"tree_size", &E::tree_size, "How many leaves", at_least(1)},
        Field{"leaves", &E::leaves, "Which batch is which leaf", at_least(1)},
        Field{"submitted_at", &E::submitted_at, "When it was signed"}};
  }
};

// How one batch's root is contained in its transaction's aggregate root.
struct AggregateProof {
  Hash root;
  std::int64_t leaf_index = 0;
  std::int64_t tree_size = 0;
  std::vector<Hash> path;

  static constexpr auto fields() {
    using E = AggregateProof;
    return std::tuple{
        Field{"root", &E::root, "The aggregate root, as in the calldata"},
        Field{"leaf_index", &E::leaf_index, "The batch's leaf, from 0", at_least(0)},
        Field{"tree_size", &E::tree_size, "How many leaves", at_least(1)},
        Field{"path", &E::path, "RFC 9162 inclusion path, from the leaf to the root"}};
  }
};

// The root is final on the chain. Key: batch_id.
struct AnchorCompleted {
  static constexpr std::string_view kTopic = "anchor-completed";
  Uuid anchor_id;
  Uuid batch_id;
  Hash merkle_root;
  std::int64_t product_count = 0;
  std::string network;
  std::int64_t chain_id = 0;
  ChainBytes transaction_id;
  std::int64_t block_number = 0;
  ChainBytes block_hash;
  std::int64_t gas_used = 0;
  Decimal gas_price_gwei;
  Timestamp anchored_at;
  std::int64_t revision = 1;
  AggregateProof aggregate;

  static constexpr auto fields() {
    using E = AnchorCompleted;
    return std::tuple{
        Field{"anchor_id", &E::anchor_id, "The anchor"},
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"merkle_root", &E::merkle_root, "The anchored root"},
        Field{"product_count", &E::product_count, "The tree's size", at_least(1)},
        Field{"network", &E::network, "The chain's name; \"mock\" for the simulated one",
              between(1, 64)},
        Field{"chain_id", &E::chain_id, "EIP-155 chain id; 0 for the simulated one", at_least(0)},
        Field{"transaction_id", &E::transaction_id, "Hash of the transaction"},
        Field{"block_number", &E::block_number, "The block", at_least(0)},
        Field{"block_hash", &E::block_hash, "The block's hash"},
        Field{"gas_used", &E::gas_used, "Gas of the whole transaction", at_least(0)},
        Field{"gas_price_gwei", &E::gas_price_gwei, "Effective price"},
        Field{"anchored_at", &E::anchored_at, "Block time"},
        Field{"revision", &E::revision, "1; one more after each anchor-invalidated", at_least(1)},
        Field{"aggregate", &E::aggregate, "How the root is contained in the transaction"}};
  }
};

// The root could not be anchored; it is tried again at next_retry_at. Key: batch_id.
struct AnchorFailed {
  static constexpr std::string_view kTopic = "anchor-failed";
  Uuid anchor_id;
  Uuid batch_id;
  std::string reason;
  std::string detail;
  std::int64_t retry_count = 0;
  std::optional<Timestamp> next_retry_at;
  std::optional<std::string> origin;

  static constexpr auto fields() {
    using E = AnchorFailed;
    return std::tuple{
        Field{"anchor_id", &E::anchor_id, "The anchor"},
        Field{"batch_id", &E::batch_id, "The batch"},
        Field{"reason", &E::reason, "A word for programs", between(1, 64)},
        Field{"detail", &E::detail, "What happened and what to do, for people"},
        Field{"retry_count", &E::retry_count, "How often it was tried again", at_least(0)},
        Field{"next_retry_at", &E::next_retry_at, "When it is tried again"},
        Field{"origin", &E::origin,
              "Whose root it is: of a batch of ours (the default), or an "
              "outsider's",
              one_of("own|external")}};
  }
};

// ---- operations -----------------------------------------------------------------------------

// Who did what, and why: one event when it begins, one when it has ended. What has begun and not
// ended was killed. Key: the tenant whose affair it is, "operations" where it is nobody's.
struct AuditRecorded {
  static constexpr std::string_view kTopic = "audit-recorded";
  std::string action;
  Uuid run_id;
  std::string phase;
  std::string actor;
  std::string reason;
  std::string selection;
  Timestamp at;
  std::optional<std::int64_t> sent;
  std::optional<std::int64_t> skipped;

  static constexpr auto fields() {
    using E = AuditRecorded;
    return std::tuple{
        Field{"action", &E::action, "A word for programs: dead-letters-retry", between(1, 64)},
        Field{"run_id", &E::run_id, "The same in both events of one run"},
        Field{"phase", &E::phase, "Which of the two", one_of("begun|ended")},
        Field{"actor", &E::actor, "Who, such as user@host", between(1, 256)},
        Field{"reason", &E::reason, "Why, in the actor's words", between(1, 2000)},
        Field{"selection", &E::selection, "Of what, as on the command line"},
        Field{"at", &E::at, "When it began"},
        Field{"sent", &E::sent, "Ended: records that were sent again", at_least(0)},
        Field{"skipped", &E::skipped, "Ended: records that were passed over", at_least(0)}};
  }
};

// Each event above, in this order: what the schemas are written for and the tests go through.
using AllEvents = std::tuple<BatchRequested, BatchAccepted, TokenChunkRequested, TokensGenerated,
                             MerkleSubtreeComputed, MerkleRootComputed, BatchCompleted, BatchFailed,
                             AnchorRequested, AnchorAccepted, AnchorQueued, AnchorSubmitted,
                             AnchorCompleted, AnchorFailed, AuditRecorded>;

}  // namespace voketag::events
