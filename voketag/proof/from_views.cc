#include "voketag/proof/from_views.h"

#include <simdjson.h>

#include <array>
#include <bit>

#include "events/field.h"
#include "processors/anchoring/aggregate.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/chunks.h"
#include "voketag/proof/hex.h"
#include "voketag/proof/verify.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using postgres::Connection;
using postgres::Parameter;
using processors::Hash;

// All that the views say of the product, its batch and its anchor.
struct Facts {
  std::string batch_id;
  std::int64_t serial = 0;
  std::string token;
  std::int64_t first_serial = 0;
  std::int64_t product_count = 0;
  std::string batch_status;
  bool anchored = false;
  std::string network;
  std::string transaction_id;
  std::int64_t leaf_index = 0;
  std::int64_t tree_size = 0;
  std::string aggregate_path;  // JSON
  std::string aggregate_root;
  std::int64_t nonce = 0;
};

tl::unexpected<events::Error> contradiction(const std::string& what) {
  return fail(Errc::kCorrupt, "the views contradict each other: " + what +
                                  ". If the batch is still on its way, wait for it; if not, the "
                                  "views must be rebuilt from Kafka");
}

Result<Facts> read_facts(Connection& views, const std::string& product_id) {
  const std::array<Parameter, 1> parameters{product_id};
  auto rows = views_result(views.query(
      "SELECT p.batch_id::text, p.serial, p.token, b.first_serial, b.product_count, b.status::text,"
      " a.status = 'completed', a.network, a.transaction_id, a.leaf_index, a.tree_size,"
      " a.aggregate_path, a.aggregate_root, t.nonce"
      " FROM voketag.products p LEFT JOIN voketag.batches b USING (batch_id)"
      " LEFT JOIN voketag.anchors a USING (batch_id)"
      " LEFT JOIN voketag.anchor_transactions t ON t.transaction_id = a.transaction_id"
      " WHERE p.product_id = $1::uuid",
      parameters));
  if (!rows) return tl::unexpected(rows.error());
  if (rows->count() == 0) {
    return fail(Errc::kNotFound, "the views have no product " + product_id +
                                     ". If its batch was requested just now, wait for it");
  }
  const auto text = [&](int column) { return std::string(rows->text(0, column)); };
  Facts facts;
  facts.batch_id = text(0);
  facts.serial = rows->int64(0, 1);
  facts.token = text(2);
  facts.first_serial = rows->int64(0, 3);
  facts.product_count = rows->int64(0, 4);
  facts.batch_status = text(5);
  facts.anchored = text(6) == "t";
  facts.network = text(7);
  facts.transaction_id = text(8);
  facts.leaf_index = rows->int64(0, 9);
  facts.tree_size = rows->int64(0, 10);
  facts.aggregate_path = text(11);
  facts.aggregate_root = text(12);
  facts.nonce = rows->int64(0, 13);
  return facts;
}

Result<std::vector<Hash>> read_chunk_roots(Connection& views, const Facts& facts) {
  const std::array<Parameter, 1> parameters{facts.batch_id};
  auto rows = views_result(views.query(
      "SELECT root FROM voketag.merkle_subtrees WHERE batch_id = $1::uuid ORDER BY chunk_index",
      parameters));
  if (!rows) return tl::unexpected(rows.error());
  std::vector<Hash> roots;
  for (int row = 0; row < rows->count(); ++row) {
    const auto root = parse_hash_hex(rows->text(row, 0));
    if (!root) return contradiction("a chunk's root is no hash");
    roots.push_back(*root);
  }
  return roots;
}

// The only power of two that cuts so many products into so many chunks.
std::int64_t chunk_size_of(std::int64_t product_count, std::int64_t chunk_count) {
  for (std::int64_t size = 1; size <= processors::kChunkSizeMax; size *= 2) {
    if (processors::chunk_count(product_count, size) == chunk_count) return size;
  }
  return 0;
}

// The leaves of `count` products of the batch, the product among them, by rising serial. Ids rise
// with the serial, and the ids of a batch lie together: two short walks over the primary key, away
// from the product, find them.
Result<std::vector<Hash>> read_leaves(Connection& views, const std::string& product_id,
                                      const Facts& facts, std::int64_t first, std::int64_t count) {
  const std::string first_text = std::to_string(first);
  const std::string last_text = std::to_string(first + count - 1);
  const std::string before = std::to_string(facts.serial - first + 1);
  const std::string after = std::to_string(first + count - 1 - facts.serial);
  const std::array<Parameter, 6> parameters{product_id, facts.batch_id, first_text,
                                            last_text,  before,         after};
  auto rows = views_result(views.query(
      "SELECT token, serial FROM ("
      " (SELECT token, serial, batch_id FROM voketag.products WHERE product_id <= $1::uuid"
      "  ORDER BY product_id DESC LIMIT $5::bigint)"
      " UNION ALL"
      " (SELECT token, serial, batch_id FROM voketag.products WHERE product_id > $1::uuid"
      "  ORDER BY product_id LIMIT $6::bigint)) AS near"
      " WHERE batch_id = $2::uuid AND serial BETWEEN $3::bigint AND $4::bigint ORDER BY serial",
      parameters));
  if (!rows) return tl::unexpected(rows.error());
  if (rows->count() != count) {
    return contradiction("of " + std::to_string(count) + " tokens around the product, " +
                         std::to_string(rows->count()) + " are there");
  }
  std::vector<Hash> leaves;
  leaves.reserve(static_cast<std::size_t>(count));
  for (int row = 0; row < rows->count(); ++row) {
    leaves.push_back(processors::leaf_hash(rows->text(row, 0)));
  }
  return leaves;
}

Result<std::vector<Hash>> read_path(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::array elements;
  if (parser.parse(json).get(elements) != simdjson::SUCCESS) {
    return contradiction("the anchor's path is no JSON array");
  }
  std::vector<Hash> path;
  for (const simdjson::dom::element element : elements) {
    std::string_view digits;
    const bool is_text = element.get(digits) == simdjson::SUCCESS;
    const auto hash = is_text ? parse_hash_hex(digits) : std::nullopt;
    if (!hash) return contradiction("the anchor's path holds something that is no hash");
    path.push_back(*hash);
  }
  return path;
}

// A batch whose chunks have no roots of their own: all its tokens are at hand.
Result<std::vector<Hash>> path_in_whole_batch(Connection& views, const std::string& product_id,
                                              const Facts& facts, std::int64_t index) {
  const auto leaves =
      read_leaves(views, product_id, facts, facts.first_serial, facts.product_count);
  if (!leaves) return tl::unexpected(leaves.error());
  return processors::inclusion_path(*leaves, static_cast<std::size_t>(index));
}

Result<std::vector<Hash>> path_across_chunks(Connection& views, const std::string& product_id,
                                             const Facts& facts, std::int64_t index,
                                             const std::vector<Hash>& chunk_roots) {
  const auto chunks = static_cast<std::int64_t>(chunk_roots.size());
  const std::int64_t size = chunk_size_of(facts.product_count, chunks);
  if (size == 0) {
    return contradiction("a batch of " + std::to_string(facts.product_count) + " products has " +
                         std::to_string(chunks) + " chunks");
  }
  const std::int64_t chunk = index / size;
  const std::int64_t first = chunk * size;
  const std::int64_t count = processors::chunk_products(facts.product_count, size, chunk);
  const auto leaves = read_leaves(views, product_id, facts, facts.first_serial + first, count);
  if (!leaves) return tl::unexpected(leaves.error());
  return processors::inclusion_path_across_chunks(*leaves, static_cast<std::size_t>(index - first),
                                                  chunk_roots, static_cast<std::size_t>(chunk));
}

Result<TreePlace> place_in_batch(Connection& views, const std::string& product_id,
                                 const Facts& facts) {
  const auto roots = read_chunk_roots(views, facts);
  if (!roots) return tl::unexpected(roots.error());
  const std::int64_t index = facts.serial - facts.first_serial;
  if (index < 0 || index >= facts.product_count) {
    return contradiction("a batch of " + std::to_string(facts.product_count) +
                         " products from serial " + std::to_string(facts.first_serial) +
                         " on has no serial " + std::to_string(facts.serial));
  }
  const bool is_small = facts.product_count <= processors::kMadeAtOnceMax;
  auto path = roots->size() <= 1 && is_small
                  ? path_in_whole_batch(views, product_id, facts, index)
                  : path_across_chunks(views, product_id, facts, index, *roots);
  if (!path) return tl::unexpected(path.error());
  TreePlace place;
  place.index = static_cast<std::uint64_t>(index);
  place.size = static_cast<std::uint64_t>(facts.product_count);
  place.path = *std::move(path);
  return place;
}

}  // namespace

Result<ProofBundle> bundle_from_views(Connection& views, const events::Uuid& product_id) {
  const std::string id = product_id.to_string();
  const auto facts = read_facts(views, id);
  if (!facts) return tl::unexpected(facts.error());
  if (!facts->anchored) {
    return fail(Errc::kNotFound,
                "batch " + facts->batch_id + " is not anchored yet (it is " +
                    (facts->batch_status.empty() ? "on its way" : facts->batch_status) +
                    "). Wait for it: voketag batch wait " + facts->batch_id);
  }
  if (facts->network != "mock") {
    return fail(Errc::kInvalid, "batch " + facts->batch_id + " is anchored on " + facts->network +
                                    "; this version makes proofs of the mock chain only");
  }
  auto batch = place_in_batch(views, id, *facts);
  if (!batch) return tl::unexpected(batch.error());
  auto path = read_path(facts->aggregate_path);
  if (!path) return tl::unexpected(path.error());
  const auto root = parse_hash_hex(facts->aggregate_root);
  if (!root) return contradiction("the anchor's aggregate root is no hash");

  ProofBundle bundle;
  bundle.token = facts->token;
  bundle.batch_id = events::Uuid::parse(facts->batch_id).value_or(events::Uuid{});
  bundle.batch = *std::move(batch);
  bundle.aggregate = {static_cast<std::uint64_t>(facts->leaf_index),
                      static_cast<std::uint64_t>(facts->tree_size), *std::move(path)};
  const processors::AnchorCalldata calldata{bundle.aggregate.size, *root};
  bundle.transaction = {processors::to_chain_bytes(calldata.encode()).text, facts->transaction_id,
                        facts->nonce};
  ProofOptions options;
  options.allow_mock = true;
  const ProofReport report = verify_proof(encode_bundle(bundle), options);
  if (!report.verified) return contradiction(report.facts.back().detail);
  return bundle;
}

}  // namespace voketag::cli
