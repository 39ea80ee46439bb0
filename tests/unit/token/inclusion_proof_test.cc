#include "processors/merkle/inclusion_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <filesystem>
#include <limits>
#include <optional>

#include "processors/merkle/tree.h"
#include "tests/unit/token/reference_tree.h"
#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

using testing::HasSubstr;

std::vector<Hash> some_leaves(std::size_t count) {
  std::vector<Hash> leaves(count);
  for (std::size_t i = 0; i < count; ++i) leaves[i] = leaf_hash(std::to_string(i));
  return leaves;
}

// Standard base64, as the vectors have it; nothing when it is not a hash.
std::optional<Hash> hash_from_base64(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  int bit_count = 0;
  for (const char character : text) {
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t value = kAlphabet.find(character);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if ((bit_count += 6) >= 8) bytes.push_back(static_cast<std::uint8_t>(bits >> (bit_count -= 8)));
  }
  Hash hash;
  if (bytes.size() != hash.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

// A case of transparency-dev/merkle. What is no hash cannot be handed to our verifier at all: its
// types refuse, which counts as a refusal.
bool accepts(const simdjson::dom::element& proof) {
  const auto leaf = hash_from_base64(std::string_view(proof["leafHash"]));
  std::string_view root_text;
  if (proof["root"].get(root_text) != simdjson::SUCCESS) root_text = {};
  const auto root = hash_from_base64(root_text);
  std::vector<Hash> path;
  simdjson::dom::array hashes;
  if (proof["proof"].get(hashes) == simdjson::SUCCESS) {
    for (const std::string_view text : hashes) {
      const auto hash = hash_from_base64(text);
      if (!hash) return false;
      path.push_back(*hash);
    }
  }
  if (!leaf || !root) return false;
  return verify_inclusion(*leaf, proof["leafIdx"].get_uint64(), proof["treeSize"].get_uint64(),
                          path, *root)
      .has_value();
}

TEST(InclusionProof, AgreesWithTheTransparencyVectors) {
  int accepted = 0;
  int refused = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           VOKETAG_SOURCE_DIR "/tests/vectors/transparency-dev-merkle/inclusion")) {
    if (entry.path().extension() != ".json") continue;
    simdjson::dom::parser parser;
    const simdjson::dom::element proof = parser.load(entry.path().string());
    const bool want_refused = proof["wantErr"].get_bool();
    EXPECT_EQ(accepts(proof), !want_refused) << entry.path();
    ++(want_refused ? refused : accepted);
  }
  EXPECT_EQ(accepted, 6);
  EXPECT_EQ(refused, 92);
}

TEST(InclusionProof, OfEveryLeafOfEverySizeVerifies) {
  const std::vector<Hash> all = some_leaves(70);
  for (std::size_t size = 1; size <= all.size(); ++size) {
    const auto leaves = std::span(all).first(size);
    const Hash root = reference::root(leaves);
    for (std::size_t index = 0; index < size; ++index) {
      const auto path = reference::path(index, leaves);
      EXPECT_EQ(inclusion_path_length(index, size), path.size());
      EXPECT_TRUE(verify_inclusion(leaves[index], index, size, path, root)) << index << '/' << size;
    }
  }
}

TEST(InclusionProof, WithAnyByteChangedFails) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(1, 600);
    const auto index = *rc::gen::inRange<std::size_t>(0, size);
    const auto leaves = some_leaves(size);
    auto path = inclusion_path(leaves, index);
    Hash leaf = leaves[index];
    Hash root = merkle_root(leaves);
    RC_ASSERT(verify_inclusion(leaf, index, size, path, root).has_value());

    const auto which = *rc::gen::inRange<std::size_t>(0, path.size() + 2);
    Hash& changed = which == 0 ? leaf : which == 1 ? root : path[which - 2];
    const auto byte = *rc::gen::inRange<std::size_t>(0, kHashBytes);
    changed[byte] ^= *rc::gen::inRange<std::uint8_t>(1, 255);
    RC_ASSERT(!verify_inclusion(leaf, index, size, path, root).has_value());
  }));
}

TEST(InclusionProof, AtAnyOtherIndexOrLengthFails) {
  EXPECT_TRUE(rc::check([] {
    const auto size = *rc::gen::inRange<std::size_t>(2, 300);
    const auto index = *rc::gen::inRange<std::size_t>(0, size);
    const auto other = *rc::gen::inRange<std::size_t>(0, 2 * size);
    RC_PRE(other != index);
    const auto leaves = some_leaves(size);
    auto path = inclusion_path(leaves, index);
    const Hash root = merkle_root(leaves);
    RC_ASSERT(!verify_inclusion(leaves[index], other, size, path, root).has_value());
    path.push_back(root);
    RC_ASSERT(!verify_inclusion(leaves[index], index, size, path, root).has_value());
    path.resize(path.size() - 2);
    RC_ASSERT(!verify_inclusion(leaves[index], index, size, path, root).has_value());
  }));
}

TEST(InclusionProof, SaysWhatIsWrong) {
  const auto leaves = some_leaves(5);
  const Hash root = merkle_root(leaves);
  const auto path = inclusion_path(leaves, 2);
  const auto message = [&](std::uint64_t index, std::uint64_t size, std::span<const Hash> hashes) {
    const auto status = verify_inclusion(leaves[2], index, size, hashes, root);
    EXPECT_FALSE(status);
    return status ? std::string() : status.error().message;
  };
  EXPECT_THAT(message(5, 5, path), HasSubstr("leaf 5 is not in a tree of 5 leaves"));
  EXPECT_THAT(message(0, 0, {}), HasSubstr("leaf 0 is not in a tree of 0 leaves"));
  EXPECT_THAT(message(2, 5, std::span(path).first(2)),
              HasSubstr("the path has 2 hashes; leaf 2 of 5 has a path of 3"));
  EXPECT_THAT(message(3, 5, path), HasSubstr("another root"));
}

TEST(InclusionProof, HasALengthAtTheEndsOfTheRange) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(inclusion_path_length(0, 1), 0U);
  EXPECT_EQ(inclusion_path_length(0, kMax), 64U);
  EXPECT_EQ(inclusion_path_length(kMax - 1, kMax), 63U);
  EXPECT_EQ(inclusion_path_length(std::uint64_t{1} << 63, (std::uint64_t{1} << 63) + 1), 1U);
}

}  // namespace
}  // namespace voketag::processors
