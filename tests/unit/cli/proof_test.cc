#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "processors/anchoring/aggregate.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token.h"
#include "processors/tokens/token_keys.h"
#include "voketag/proof/bundle.h"
#include "voketag/proof/verify.h"

namespace voketag::cli {
namespace {

using processors::Hash;
using ::testing::HasSubstr;

constexpr const char* kKeys = "7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
constexpr const char* kOtherKeys = "7:HxECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

// A batch and an aggregate of such sizes, with the proof of one product, made the long way round.
ProofBundle make_bundle(std::int64_t products, std::int64_t index, std::size_t trees,
                        std::size_t tree) {
  const auto keys = processors::TokenKeys::parse(kKeys);
  const auto batch_id = *events::Uuid::parse("0b64ecbe-27d5-4f4c-a3a1-5f3f1d1f2a10");
  const auto plan =
      processors::BatchPlan::derive(keys->signing(), {batch_id, 1'763'800'000'000, products});
  std::vector<Hash> leaves;
  ProofBundle bundle;
  for (std::int64_t i = 0; i < products; ++i) {
    const std::string token =
        processors::format_token(processors::make_token(keys->signing(), plan->product_id(i)));
    if (i == index) bundle.token = token;
    leaves.push_back(processors::leaf_hash(token));
  }
  bundle.batch_id = batch_id;
  bundle.batch = {static_cast<std::uint64_t>(index), static_cast<std::uint64_t>(products),
                  processors::inclusion_path(leaves, static_cast<std::size_t>(index))};

  std::vector<Hash> aggregate;
  for (std::size_t i = 0; i < trees; ++i) {
    aggregate.push_back(processors::leaf_hash("another tree " + std::to_string(i)));
  }
  const processors::AggregateLeafData leaf{processors::AggregateKind::kBatch, batch_id,
                                           static_cast<std::uint64_t>(products),
                                           processors::merkle_root(leaves)};
  aggregate[tree] = leaf.leaf();
  bundle.aggregate = {tree, trees, processors::inclusion_path(aggregate, tree)};
  const processors::AnchorCalldata calldata{trees, processors::merkle_root(aggregate)};
  bundle.transaction.calldata = processors::to_chain_bytes(calldata.encode()).text;
  bundle.transaction.nonce = 42;
  bundle.transaction.id = mock_transaction_id(42, calldata.encode());
  return bundle;
}

ProofReport verify(const std::string& json) {
  ProofOptions options;
  options.allow_mock = true;
  return verify_proof(json, options);
}

TEST(ProofTest, VerifiesWhereverTheLeafStands) {
  for (const std::int64_t products : {1, 2, 3, 5, 8, 13}) {
    for (std::int64_t index = 0; index < products; ++index) {
      const auto report = verify(encode_bundle(make_bundle(products, index, 3, 1)));
      EXPECT_TRUE(report.verified) << report.facts.back().detail;
    }
  }
  EXPECT_TRUE(verify(encode_bundle(make_bundle(5, 4, 1, 0))).verified);
}

TEST(ProofTest, MockIsNeverVerifiedUnlessAllowed) {
  const auto report = verify_proof(encode_bundle(make_bundle(5, 2, 3, 2)), {});
  EXPECT_FALSE(report.verified);
  EXPECT_EQ(report.facts.back().name, "network");
  EXPECT_EQ(report.facts.back().state, FactState::kFails);
  EXPECT_THAT(report.facts.back().detail, HasSubstr("--allow-mock"));
}

TEST(ProofTest, EveryByteChangedIsNeverVerified) {
  const std::string good = encode_bundle(make_bundle(11, 6, 5, 3));
  ASSERT_TRUE(verify(good).verified);
  for (std::size_t place = 0; place < good.size(); ++place) {
    std::string bad = good;
    for (int value = 0; value < 256; ++value) {
      if (static_cast<char>(value) == good[place]) continue;
      bad[place] = static_cast<char>(value);
      ASSERT_FALSE(verify(bad).verified) << "byte " << place << " as " << value;
    }
  }
}

TEST(ProofTest, EveryByteRemovedRepeatedOrInsertedIsNeverVerified) {
  const std::string good = encode_bundle(make_bundle(6, 5, 2, 1));
  for (std::size_t place = 0; place < good.size(); ++place) {
    EXPECT_FALSE(verify(good.substr(0, place)).verified) << "cut at " << place;
    EXPECT_FALSE(verify(std::string(good).erase(place, 1)).verified) << "without " << place;
    for (const char c : {' ', '\n', '0', 'a', '"', '{', '\0', good[place]}) {
      EXPECT_FALSE(verify(std::string(good).insert(place, 1, c)).verified) << c << " at " << place;
    }
  }
}

TEST(ProofTest, AnotherSpellingOfTheSameIsRefusedWithItsCure) {
  std::string spaced = encode_bundle(make_bundle(6, 5, 2, 1));
  spaced.insert(1, "\n  ");
  const auto report = verify(spaced);
  EXPECT_FALSE(report.verified);
  EXPECT_THAT(report.facts.back().detail, HasSubstr("jq -cS"));
}

TEST(ProofTest, PartsOfTwoProofsMakeNone) {
  const ProofBundle first = make_bundle(8, 3, 2, 0);
  const ProofBundle second = make_bundle(9, 4, 2, 1);
  ProofBundle mixed = first;
  mixed.token = second.token;
  EXPECT_FALSE(verify(encode_bundle(mixed)).verified);
  mixed = first;
  mixed.batch = second.batch;
  EXPECT_FALSE(verify(encode_bundle(mixed)).verified);
  mixed = first;
  mixed.aggregate = second.aggregate;
  EXPECT_FALSE(verify(encode_bundle(mixed)).verified);
  mixed = first;
  mixed.transaction = second.transaction;
  EXPECT_FALSE(verify(encode_bundle(mixed)).verified);
  mixed = first;
  mixed.batch_id.bytes[15] ^= 1U;
  EXPECT_FALSE(verify(encode_bundle(mixed)).verified);
  mixed = first;
  mixed.transaction.nonce = 43;
  EXPECT_FALSE(verify(encode_bundle(mixed)).verified);
}

TEST(ProofTest, MalformedInputIsAnAnswerNotACrash) {
  const std::string deep(5000, '[');
  for (const std::string& text : std::vector<std::string>{
           "", "null", "[]", "{}", "\xff\xfe", deep, std::string(kBundleBytesMax + 1, ' '),
           R"({"format":"voketag-proof","version":2})", R"({"format":"else","version":1})",
           R"({"format":"voketag-proof","version":1,"token":5})",
           R"({"version":18446744073709551615})"}) {
    const auto report = verify(text);
    EXPECT_FALSE(report.verified);
    EXPECT_FALSE(report.facts.back().detail.empty());
  }
  const std::string good = encode_bundle(make_bundle(6, 5, 2, 1));
  for (const auto& [from, to] : std::initializer_list<std::pair<const char*, const char*>>{
           {"\"index\":5", "\"index\":-1"},
           {"\"index\":5", "\"index\":99"},
           {"\"size\":6", "\"size\":0"},
           {"\"size\":6", "\"size\":9223372036854775807"},
           {"\"network\":\"mock\"", "\"network\":\"ethereum\""},
           {"\"nonce\":42", "\"nonce\":\"42\""}}) {
    std::string bad = good;
    bad.replace(bad.find(from), std::string(from).size(), to);
    EXPECT_FALSE(verify(bad).verified) << to;
  }
}

TEST(ProofTest, TokenKeysAreUsedWhereTheyAreGiven) {
  const std::string json = encode_bundle(make_bundle(4, 1, 1, 0));
  const auto keys = processors::TokenKeys::parse(kKeys);
  const auto forged = processors::TokenKeys::parse(kOtherKeys);
  const auto stranger =
      processors::TokenKeys::parse("8:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  ProofOptions options;
  options.allow_mock = true;
  options.keys = &*keys;
  EXPECT_TRUE(verify_proof(json, options).verified);
  options.keys = &*forged;
  EXPECT_FALSE(verify_proof(json, options).verified);
  options.keys = &*stranger;
  EXPECT_TRUE(verify_proof(json, options).verified);
  options.keys_must_know_token = true;
  EXPECT_FALSE(verify_proof(json, options).verified);
}

TEST(ProofTest, DecodeIsTheInverseOfEncode) {
  const ProofBundle bundle = make_bundle(7, 6, 4, 3);
  const auto decoded = decode_bundle(encode_bundle(bundle));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, bundle);
}

}  // namespace
}  // namespace voketag::cli
