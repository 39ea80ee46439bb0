#include "events/topics.h"

#include <array>

#include "events/partitioner.h"

namespace voketag::events {
namespace {

// A dead letter holds a whole input, its key and headers, and headers that say where it came from.
constexpr std::int64_t kDeadLetterRecordBytesMax = kDeadLetterBytesMax + 256 * 1024;

constexpr Topic keep(std::string_view name, std::string_view key, std::string_view meaning) {
  return {name, key, Cleanup::kKeep, kPartitionCount, kInputBytesMax, meaning};
}

constexpr std::array kCatalogue{
    keep("batch-requested", "any; batch_id is best", "Asks for a batch of products"),
    keep("batch-accepted", "batch_id", "A valid batch request, with all that a replay needs"),
    keep("token-chunk-requested", "batch_id:chunk_index", "Asks for the tokens of one chunk"),
    keep("tokens-generated", "batch_id:chunk_index", "The tokens of one chunk, by rising serial"),
    keep("merkle-subtree-computed", "batch_id", "The Merkle root over one chunk's tokens"),
    keep("merkle-root-computed", "batch_id", "The Merkle root over a batch's tokens"),
    keep("anchor-requested", "any; batch_id is best", "Asks for a root to be anchored"),
    keep("anchor-accepted", "batch_id", "A valid anchor request"),
    keep("anchor-queue", "chain_id:address",
         "Roots that wait for a signing key's next transaction"),
    keep("anchor-submitted", "chain_id:address", "A signed transaction, before it is broadcast"),
    keep("chain-observed", "chain_id", "What was seen on the chain"),
    keep("anchor-completed", "batch_id", "A root is final on the chain"),
    keep("anchor-failed", "batch_id", "A root could not be anchored"),
    keep("anchor-invalidated", "batch_id", "A final anchor was undone by a deep reorganisation"),
    keep("batch-completed", "batch_id", "A batch is generated and anchored"),
    keep("batch-failed", "batch_id", "A batch cannot be completed"),
    keep("products-declared", "product_id", "Products that were made elsewhere"),
    keep("product-status-changed", "product_id, batch_id or lot", "A product's standing changed"),
    keep("scan-requested", "product_id, or unparsed: and a hash of the token",
         "Someone scanned a product"),
    keep("scan-evaluated", "as in scan-requested", "The verdict on a scan, and the ledger entry"),
    keep("fraud-reported", "product_id, or unparsed: and a hash of the token",
         "Someone reported a fraud"),
    keep("card-job-requested", "job_id", "Asks for card numbers"),
    keep("cards-issued", "job_id:chunk_index", "Card numbers, encrypted"),
    keep("card-job-completed", "job_id", "All card numbers of a job are issued"),
    keep("audit-recorded", "tenant, or operations", "Who did what, and why"),
    Topic{"data-keys", "key id", Cleanup::kCompact, kPartitionCount, kInputBytesMax,
          "Wrapped keys of encrypted fields; deleting one makes its data unreadable"},
    Topic{kDeadLetters, "the record's own, if it had one", Cleanup::kKeep, kPartitionCount,
          kDeadLetterRecordBytesMax, "Records that could not be handled, as raw bytes, and why"},
};

}  // namespace

std::span<const Topic> topic_catalogue() {
  return kCatalogue;
}

}  // namespace voketag::events
