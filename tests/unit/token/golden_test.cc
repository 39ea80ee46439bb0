#include <gtest/gtest.h>

#include "processors/merkle/inclusion_proof.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token.h"
#include "tests/unit/token/test_support.h"

// Ids, tokens, leaves and roots that tests/vectors/voketag/make_golden.py computed apart from this
// code. If one of these changes, tokens already printed on products stop being ours.

namespace voketag::processors {
namespace {

struct GoldenBatch {
  explicit GoldenBatch(const simdjson::dom::element& from)
      : json(from),
        key(static_cast<std::uint8_t>(from["key_id"].get_uint64()),
            from_hex(std::string_view(from["secret_hex"]))),
        identity{*events::Uuid::parse(std::string_view(from["batch_id"])),
                 from["requested_at_ms"].get_int64(), from["product_count"].get_int64()},
        plan(BatchPlan::derive(key, identity).value()) {}

  simdjson::dom::element json;
  TokenKey key;
  BatchIdentity identity;
  BatchPlan plan;
};

TEST(Golden, ProductsAreAsComputedElsewhere) {
  const VectorFile file("voketag/golden.json");
  int products = 0;
  for (const simdjson::dom::element entry : file.root["batches"].get_array()) {
    const GoldenBatch batch(entry);
    for (const simdjson::dom::element product : entry["products"].get_array()) {
      const std::int64_t index = product["index"].get_int64();
      const std::string_view expected = product["token"];
      const events::Uuid id = batch.plan.product_id(index);
      EXPECT_EQ(id.to_string(), std::string_view(product["product_id"]));
      EXPECT_EQ(batch.plan.index_of(id), index);
      EXPECT_EQ(format_token(make_token(batch.key, id)), expected);
      for (const Sha256Lanes* lanes : runnable_lanes()) {
        std::string text(kTokenCharacters, '\0');
        Hash leaf;
        make_tokens(batch.key, batch.plan, index, 1, text.data(), kTokenCharacters, &leaf, *lanes);
        EXPECT_EQ(text, expected);
        EXPECT_EQ(to_hex(leaf), std::string_view(product["leaf"]));
      }
      ++products;
    }
  }
  EXPECT_EQ(products, 31);
}

TEST(Golden, RootsAreAsComputedElsewhere) {
  const VectorFile file("voketag/golden.json");
  int roots = 0;
  for (const simdjson::dom::element entry : file.root["batches"].get_array()) {
    std::string_view expected;
    if (entry["root"].get(expected) != simdjson::SUCCESS) continue;
    const GoldenBatch batch(entry);
    const auto count = static_cast<std::size_t>(batch.identity.product_count);
    const std::size_t chunk_leaves = entry["chunk_leaves"].get_uint64();
    for (const Sha256Lanes* lanes : runnable_lanes()) {
      std::vector<Hash> chunk_roots;
      std::string json(token_json_bytes(chunk_leaves), '\0');
      for (std::size_t first = 0; first < count; first += chunk_leaves) {
        std::vector<Hash> leaves(std::min(chunk_leaves, count - first));
        make_tokens_json(batch.key, batch.plan, static_cast<std::int64_t>(first), leaves.size(),
                         json.data(), leaves.data(), *lanes);
        chunk_roots.push_back(merkle_root(leaves, *lanes));
        const std::string_view expected_root = entry["chunk_roots"].at(chunk_roots.size() - 1);
        EXPECT_EQ(to_hex(chunk_roots.back()), expected_root);
      }
      EXPECT_EQ(to_hex(root_over_chunks(chunk_roots, *lanes)), expected);
      ++roots;
    }
  }
  EXPECT_EQ(roots, 3 * static_cast<int>(runnable_lanes().size()));
}

TEST(Golden, PathsAreAsComputedElsewhere) {
  const VectorFile file("voketag/golden.json");
  for (const simdjson::dom::element entry : file.root["batches"].get_array()) {
    simdjson::dom::array hashes;
    if (entry["path_of_last_named"].get(hashes) != simdjson::SUCCESS) continue;
    std::vector<Hash> path;
    for (const std::string_view hex : hashes) path.push_back(hash_from_hex(hex));
    simdjson::dom::element last;
    for (const simdjson::dom::element product : entry["products"].get_array()) last = product;
    EXPECT_TRUE(verify_inclusion(leaf_hash(std::string_view(last["token"])),
                                 last["index"].get_uint64(), entry["product_count"].get_uint64(),
                                 path, hash_from_hex(std::string_view(entry["root"]))));
  }
}

}  // namespace
}  // namespace voketag::processors
