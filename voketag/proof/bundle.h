#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "events/error.h"
#include "events/uuid.h"
#include "processors/hash/sha256.h"

// The proof bundle: one self-contained JSON file that leads from a token to a transaction.
// docs/proof-format.md has it byte by byte.
namespace voketag::cli {

// A way up a Merkle tree (RFC 9162): where the leaf is, how large the tree, the hashes beside the
// way.
struct TreePlace {
  std::uint64_t index = 0;
  std::uint64_t size = 0;
  std::vector<processors::Hash> path;

  bool operator==(const TreePlace&) const = default;
};

// A transaction of the simulated chain, which nobody mined: it shows that everything before it
// fits, and proves no point in time.
struct MockTransaction {
  std::string calldata;  // 0x and hex
  std::string id;        // 0x and hex
  std::int64_t nonce = 0;

  bool operator==(const MockTransaction&) const = default;
};

// What anchors of other networks will need (raw transaction, index, trie nodes, block header)
// becomes another alternative here and another `network` in the file; version 1 of the file stays
// what it is.
struct ProofBundle {
  std::string token;
  events::Uuid batch_id;
  TreePlace batch;      // the token among the batch's tokens
  TreePlace aggregate;  // the batch among the transaction's trees
  MockTransaction transaction;

  bool operator==(const ProofBundle&) const = default;
};

inline constexpr std::size_t kBundleBytesMax = 1 << 20;

// The only spelling of a bundle: RFC 8785 and one line end.
std::string encode_bundle(const ProofBundle& bundle);

// kInvalid when it is no bundle of this version, or not spelt as encode_bundle spells it. So
// nothing in a file escapes verification: each byte of it is either checked, or in its only
// possible place.
events::Result<ProofBundle> decode_bundle(std::string_view json);

}  // namespace voketag::cli
