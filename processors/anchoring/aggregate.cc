#include "processors/anchoring/aggregate.h"

#include <algorithm>
#include <cassert>

#include "processors/merkle/tree.h"

namespace voketag::processors {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic{'V', 'T', 'A', 'G'};

std::uint8_t* put_big_endian(std::uint64_t value, std::uint8_t* out) {
  for (int shift = 56; shift >= 0; shift -= 8) *out++ = static_cast<std::uint8_t>(value >> shift);
  return out;
}

std::uint64_t get_big_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

std::array<std::uint8_t, AggregateLeafData::kBytes> AggregateLeafData::encode() const {
  std::array<std::uint8_t, kBytes> bytes;
  bytes[0] = static_cast<std::uint8_t>(kind);
  auto* out = std::copy(id.bytes.begin(), id.bytes.end(), bytes.data() + 1);
  out = put_big_endian(tree_size, out);
  std::copy(root.begin(), root.end(), out);
  return bytes;
}

events::Result<AggregateLeafData> AggregateLeafData::decode(std::span<const std::uint8_t> bytes) {
  if (bytes.size() != kBytes) {
    return events::fail(events::Errc::kInvalid,
                        "an aggregate leaf has 57 bytes, not " + std::to_string(bytes.size()));
  }
  if (bytes[0] != static_cast<std::uint8_t>(AggregateKind::kBatch) &&
      bytes[0] != static_cast<std::uint8_t>(AggregateKind::kLedgerHead)) {
    return events::fail(events::Errc::kInvalid,
                        "an aggregate leaf is of kind 1 (batch) or 2 (ledger head), not " +
                            std::to_string(bytes[0]));
  }
  AggregateLeafData leaf;
  leaf.kind = static_cast<AggregateKind>(bytes[0]);
  std::copy_n(bytes.data() + 1, leaf.id.bytes.size(), leaf.id.bytes.begin());
  leaf.tree_size = get_big_endian(bytes.data() + 17);
  std::copy_n(bytes.data() + 25, leaf.root.size(), leaf.root.begin());
  return leaf;
}

Hash AggregateLeafData::leaf() const {
  const auto bytes = encode();
  return leaf_hash(std::span<const std::uint8_t>(bytes));
}

std::array<std::uint8_t, AnchorCalldata::kBytes> AnchorCalldata::encode() const {
  std::array<std::uint8_t, kBytes> bytes;
  auto* out = std::copy(kMagic.begin(), kMagic.end(), bytes.data());
  *out++ = kVersion;
  out = put_big_endian(tree_size, out);
  std::copy(root.begin(), root.end(), out);
  return bytes;
}

events::Result<AnchorCalldata> AnchorCalldata::decode(std::span<const std::uint8_t> bytes) {
  using events::Errc;
  if (bytes.size() != kBytes) {
    return events::fail(Errc::kInvalid,
                        "anchoring calldata has 45 bytes, not " + std::to_string(bytes.size()));
  }
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) {
    return events::fail(Errc::kInvalid, "anchoring calldata begins with VTAG; this does not");
  }
  if (bytes[4] != kVersion) {
    return events::fail(Errc::kInvalid, "anchoring calldata of version 1 is known, not of " +
                                            std::to_string(bytes[4]));
  }
  AnchorCalldata calldata;
  calldata.tree_size = get_big_endian(bytes.data() + 5);
  if (calldata.tree_size == 0) {
    return events::fail(Errc::kInvalid, "anchoring calldata must state at least one leaf, not 0");
  }
  std::copy_n(bytes.data() + 13, calldata.root.size(), calldata.root.begin());
  return calldata;
}

AggregateTree::AggregateTree(std::vector<Hash> leaves) {
  assert(!leaves.empty());
  levels_.push_back(std::move(leaves));
  while (levels_.back().size() > 1) {
    const auto& below = levels_.back();
    const auto pairs = below.size() / 2;
    std::vector<Hash> level(pairs);
    Sha256Lanes::best().hash_nodes(below.data(), pairs, level.data());
    if (below.size() % 2 == 1) level.push_back(below.back());  // an odd last one rises unchanged
    levels_.push_back(std::move(level));
  }
}

std::vector<Hash> AggregateTree::path(std::size_t index) const {
  assert(index < size());
  std::vector<Hash> path;
  for (std::size_t level = 0; level + 1 < levels_.size(); ++level, index /= 2) {
    const auto sibling = index ^ 1;
    if (sibling < levels_[level].size()) path.push_back(levels_[level][sibling]);
  }
  return path;
}

events::AggregateProof AggregateTree::proof(std::size_t index) const {
  events::AggregateProof proof;
  proof.root = {root()};
  proof.leaf_index = static_cast<std::int64_t>(index);
  proof.tree_size = static_cast<std::int64_t>(size());
  for (const auto& hash : path(index)) proof.path.push_back({hash});
  return proof;
}

events::ChainBytes to_chain_bytes(std::span<const std::uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  events::ChainBytes chain_bytes{"0x"};
  chain_bytes.text.reserve(2 + 2 * bytes.size());
  for (const auto byte : bytes) {
    chain_bytes.text += kDigits[byte >> 4];
    chain_bytes.text += kDigits[byte & 15];
  }
  return chain_bytes;
}

}  // namespace voketag::processors
