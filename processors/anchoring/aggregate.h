#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/events.h"
#include "events/field.h"
#include "events/uuid.h"
#include "processors/hash/sha256.h"

// Many trees are anchored by one transaction: their roots are the leaves of an aggregate tree
// (RFC 6962 again), whose root is the transaction's calldata. A leaf also states its tree's size:
// without it the shape of a proof would be nobody's word.
namespace voketag::processors {

// What a leaf of the aggregate tree stands for.
enum class AggregateKind : std::uint8_t {
  kBatch = 1,       // the tree over a batch's tokens
  kLedgerHead = 2,  // the head of a scan ledger
};

// The data of one leaf, 57 bytes:
//
//    kind 1 | id 16 | tree size 8, big-endian | root 32
struct AggregateLeafData {
  static constexpr std::size_t kBytes = 57;

  AggregateKind kind = AggregateKind::kBatch;
  events::Uuid id;
  std::uint64_t tree_size = 0;
  Hash root{};

  auto operator<=>(const AggregateLeafData&) const = default;

  std::array<std::uint8_t, kBytes> encode() const;
  // kInvalid: another length, or a kind that is not known.
  static events::Result<AggregateLeafData> decode(std::span<const std::uint8_t> bytes);
  // H(0x00 || data).
  Hash leaf() const;
};

// The calldata of an anchoring transaction, 45 bytes:
//
//    "VTAG" 4 | version 1, 1 byte | aggregate size 8, big-endian | aggregate root 32
struct AnchorCalldata {
  static constexpr std::size_t kBytes = 45;
  static constexpr std::uint8_t kVersion = 1;

  std::uint64_t tree_size = 0;
  Hash root{};

  auto operator<=>(const AnchorCalldata&) const = default;

  std::array<std::uint8_t, kBytes> encode() const;
  // kInvalid: another length, magic or version, or a size of 0.
  static events::Result<AnchorCalldata> decode(std::span<const std::uint8_t> bytes);
};

// An aggregate tree with all its nodes at hand: the paths of all its leaves cost no hashing.
class AggregateTree {
 public:
  // At least one leaf.
  explicit AggregateTree(std::vector<Hash> leaves);

  std::size_t size() const { return levels_.front().size(); }
  const Hash& root() const { return levels_.back().front(); }
  // RFC 9162 §2.1.3.1, from the leaf up. index < size().
  std::vector<Hash> path(std::size_t index) const;
  // The same as an event carries it.
  events::AggregateProof proof(std::size_t index) const;

 private:
  std::vector<std::vector<Hash>> levels_;  // leaves first, the root last
};

// "0x" and lower-case hex digits.
events::ChainBytes to_chain_bytes(std::span<const std::uint8_t> bytes);

}  // namespace voketag::processors
