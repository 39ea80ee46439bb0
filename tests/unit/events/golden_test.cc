// schemas/golden/: bytes that were made by another implementation (its README says how) must be
// read and written by ours.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "events/codec.h"
#include "events/envelope.h"
#include "events/events.h"
#include "events/tokens_view.h"
#include "events/topics.h"
#include "processors/anchoring/aggregate.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/token.h"
#include "runtime/dead_letter.h"

namespace voketag::events {
namespace {

const std::filesystem::path kGolden = VOKETAG_SOURCE_DIR "/schemas/golden";

std::string bytes_of(const std::string& name) {
  std::ifstream file(kGolden / name, std::ios::binary);
  EXPECT_TRUE(file) << "schemas/golden/" << name << " is missing";
  return {std::istreambuf_iterator<char>(file), {}};
}

// A record's key and headers as its .headers file has them.
struct Head {
  std::string key;
  Headers headers;
};

Head head_of(std::string_view topic) {
  std::ifstream file(kGolden / (std::string(topic) + ".headers"), std::ios::binary);
  Head head;
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    const std::string name = line.substr(0, colon);
    if (name == "key") {
      head.key = line.substr(colon + 2);
    } else {
      head.headers.emplace_back(name, line.substr(colon + 2));
    }
  }
  return head;
}

HeaderViews views_of(const Headers& headers) {
  HeaderViews views;
  for (const auto& [name, value] : headers) views.emplace_back(name, value);
  return views;
}

Envelope envelope_of(std::string_view topic) {
  const Head head = head_of(topic);
  RecordView record;
  record.topic = topic;
  record.headers = views_of(head.headers);
  return read_envelope(record);
}

template <class Event>
class Golden : public testing::Test {};

template <class Tuple>
struct AsTypes;
template <class... Event>
struct AsTypes<std::tuple<Event...>> {
  using Types = testing::Types<Event...>;
};
struct TopicNames {
  template <class Event>
  static std::string GetName(int) {
    return std::string(Event::kTopic);
  }
};
TYPED_TEST_SUITE(Golden, AsTypes<AllEvents>::Types, TopicNames);

TYPED_TEST(Golden, ValueIsReadAndWrittenAgain) {
  const std::string json = bytes_of(std::string(TypeParam::kTopic) + ".json");
  const auto event = decode<TypeParam>(json);
  ASSERT_TRUE(event) << event.error().message;
  EXPECT_EQ(encode(*event), json);
}

TYPED_TEST(Golden, HeadersAreReadAndWrittenAgain) {
  const Envelope envelope = envelope_of(TypeParam::kTopic);
  EXPECT_EQ(envelope.type, event_type(TypeParam::kTopic));
  EXPECT_EQ(to_headers(envelope), head_of(TypeParam::kTopic).headers);
}

struct Derivation {
  std::string_view cause;
  std::string_view processor;
  std::string_view topic;
  int ordinal;
};

TEST(GoldenHeaders, FollowFromTheCauses) {
  constexpr Derivation kDerivations[] = {
      {"batch-requested", "ingress", "batch-accepted", 0},
      {"batch-accepted", "batches", "token-chunk-requested", 2},
      {"token-chunk-requested", "tokens", "tokens-generated", 0},
      {"token-chunk-requested", "tokens", "merkle-subtree-computed", 1},
      {"merkle-subtree-computed", "merkle", "merkle-root-computed", 0},
      {"merkle-root-computed", "anchoring", "anchor-queue", 0},
      {"anchor-queue", "anchoring", "anchor-submitted", 0},
      {"anchor-queue", "anchoring", "anchor-completed", 1},
      {"anchor-completed", "batches", "batch-completed", 0},
      {"anchor-requested", "ingress", "anchor-accepted", 0},
      {"anchor-accepted", "anchoring", "anchor-failed", 0}};
  for (const auto& [cause, processor, topic, ordinal] : kDerivations) {
    const Envelope expected = envelope_of(topic);
    const Envelope derived = derive_envelope(
        envelope_of(cause), "/voketag/" + std::string(processor), topic, ordinal, expected.time);
    EXPECT_EQ(to_headers(derived), to_headers(expected)) << topic;
  }
}

TEST(GoldenTokens, AreReadWithoutCopies) {
  const std::string json = bytes_of("tokens-generated.json");
  TokensView view;
  ASSERT_TRUE(view.read(json));
  EXPECT_EQ(view.count(), 3);
  EXPECT_EQ(view.tokens()[0].data(), json.data() + json.find("[\"") + 2);
}

TEST(GoldenTokens, TokenAndLeaf) {
  const std::string text = bytes_of("token.txt");
  ASSERT_EQ(text.size(), processors::kTokenCharacters);
  const auto token = processors::parse_token(text);
  ASSERT_TRUE(token) << token.error().message;
  EXPECT_EQ(processors::format_token(*token), text);
  const auto keys = processors::TokenKeys::parse("7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  ASSERT_TRUE(keys);
  EXPECT_EQ(processors::verify_token(*token, *keys), processors::TokenVerdict::kAuthentic);
  EXPECT_EQ(Hash{processors::leaf_hash(text)}.to_string(), bytes_of("leaf.hex"));
}

TEST(GoldenAnchor, AggregateAndCalldata) {
  const auto completed = decode<AnchorCompleted>(bytes_of("anchor-completed.json"));
  const auto foreign = decode<AnchorRequested>(bytes_of("anchor-requested.json"));
  ASSERT_TRUE(completed && foreign);
  const auto leaf = [](const Uuid& id, std::int64_t size, const Hash& root) {
    processors::AggregateLeafData data;
    data.id = id;
    data.tree_size = static_cast<std::uint64_t>(size);
    data.root = root.bytes;
    return data.leaf();
  };
  const processors::AggregateTree tree(
      {leaf(completed->batch_id, completed->product_count, completed->merkle_root),
       leaf(foreign->batch_id, foreign->product_count, foreign->merkle_root)});
  const AggregateProof proof = tree.proof(0);
  EXPECT_EQ(proof.root, completed->aggregate.root);
  EXPECT_EQ(proof.path, completed->aggregate.path);
  EXPECT_EQ(proof.tree_size, completed->aggregate.tree_size);

  const auto calldata = processors::AnchorCalldata{tree.size(), tree.root()}.encode();
  EXPECT_EQ(processors::to_chain_bytes(calldata).text, "0x" + bytes_of("calldata.hex"));
}

TEST(GoldenDeadLetter, IsWhatTheRuntimeMakes) {
  const std::string value = bytes_of("dead-letters.value");
  const Head head = head_of(kDeadLetters);
  RecordView record;
  record.topic = "batch-requested";
  record.partition = 3;
  record.offset = 17;
  record.timestamp = Timestamp{1767225600123};
  record.key = head.key;
  record.value = value;
  record.headers = {{"x-shop", "17"}};
  const auto refused = decode<BatchRequested>(value);
  ASSERT_FALSE(refused);
  const OutputRecord letter =
      runtime::make_dead_letter(record, "ingress", "malformed", refused.error().message);
  EXPECT_EQ(letter.topic, kDeadLetters);
  EXPECT_EQ(letter.key, head.key);
  EXPECT_EQ(letter.value, value);
  EXPECT_EQ(letter.headers, head.headers);
}

}  // namespace
}  // namespace voketag::events
