#include "events/tokens_view.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "events/codec.h"

namespace voketag::events {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

TokensGenerated chunk_of(std::size_t count) {
  TokensGenerated event;
  event.batch_id = *Uuid::parse("0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80");
  event.chunk_index = 3;
  event.first_serial = 3001;
  event.count = static_cast<std::int64_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::string token;
    for (std::size_t k = 0; k < kTokenTextBytes; ++k) token += kAlphabet[(i * 7 + k) % 64];
    event.tokens.push_back(token);
  }
  return event;
}

void expect_same(const TokensView& view, const TokensGenerated& event) {
  EXPECT_EQ(view.batch_id(), event.batch_id);
  EXPECT_EQ(view.chunk_index(), event.chunk_index);
  EXPECT_EQ(view.first_serial(), event.first_serial);
  EXPECT_EQ(view.count(), event.count);
  ASSERT_EQ(view.tokens().size(), event.tokens.size());
  for (std::size_t i = 0; i < event.tokens.size(); ++i)
    EXPECT_EQ(view.tokens()[i], event.tokens[i]);
}

TEST(TokensView, ReadsWhatEncodeWrites) {
  TokensView view;
  for (const std::size_t count : {1, 2, 3, 1000, 2}) {
    const TokensGenerated event = chunk_of(count);
    const std::string json = encode(event);
    ASSERT_TRUE(view.read(json));
    expect_same(view, event);
    EXPECT_GE(view.tokens()[0].data(), json.data())
        << "the tokens are those of the text, no copies";
    EXPECT_LT(view.tokens()[0].data(), json.data() + json.size());
  }
}

TEST(TokensView, ReadsEveryOtherSpelling) {
  const TokensGenerated event = chunk_of(3);
  const std::string json = encode(event);
  const auto expect_read = [&](const std::string& text) {
    TokensView view;
    const auto status = view.read(text);
    ASSERT_TRUE(status) << status.error().message;
    expect_same(view, event);
  };
  expect_read(" " + json);
  expect_read(json + "\n");
  expect_read("{\"more\":[]," + json.substr(1));
  std::string spaced = json;
  spaced.insert(spaced.find("[\"") + 1, " ");
  expect_read(spaced);
  std::string escaped = json;
  const std::size_t at = escaped.find("[\"") + 2;
  escaped.replace(at, 1, "\\u0041");
  expect_read(escaped);
}

std::string error_of(const std::string& json) {
  TokensView view;
  EXPECT_TRUE(view.read(encode(chunk_of(2))));
  const auto status = view.read(json);
  EXPECT_EQ(view.count(), 0) << "nothing is left of what was read before";
  return status ? "accepted" : status.error().message;
}

TEST(TokensView, Refusals) {
  TokensGenerated event = chunk_of(3);
  event.count = 4;
  EXPECT_EQ(error_of(encode(event)), "count must be the number of tokens, 3, not 4");
  event.count = 0;
  EXPECT_EQ(error_of(encode(event)), "count must be at least 1, not 0");
  event.count = 3;
  event.tokens[1] += "x";
  EXPECT_EQ(error_of(encode(event)),
            "tokens[1] must be 46 characters of printable ASCII, not 47 bytes");
  event.tokens[1] = std::string(44, 'x') + "\xc3\xa9";
  EXPECT_EQ(error_of(encode(event)),
            "tokens[1] must be 46 characters of printable ASCII, not 46 bytes");
  event.tokens[1] = std::string(45, 'x') + "\n";
  EXPECT_EQ(error_of(encode(event)),
            "tokens[1] must be 46 characters of printable ASCII, not 46 bytes");
  event = chunk_of(3);
  event.chunk_index = -1;
  EXPECT_EQ(error_of(encode(event)), "chunk_index must be at least 0, not -1");
  EXPECT_NE(error_of(encode(chunk_of(3)).substr(1)), "accepted");
  EXPECT_NE(error_of(""), "accepted");
}

// Whatever byte of the event is changed to whatever other: the view takes it exactly if the
// ordinary codec does and the tokens are well formed, and both then read the same.
RC_GTEST_PROP(TokensView, AgreesWithTheCodecOnEveryChangedByte, ()) {
  std::string json = encode(chunk_of(3));
  const auto at = *rc::gen::inRange<std::size_t>(0, json.size());
  json[at] = *rc::gen::weightedOneOf<char>(
      {{1, rc::gen::arbitrary<char>()},
       {2, rc::gen::elementOf(std::string("\"\\,:[]{}0129-x\x7f \x1f"))}});
  const auto decoded = decode<TokensGenerated>(json);
  TokensView view;
  const bool read = view.read(json).has_value();
  bool expected = decoded && decoded->count == static_cast<std::int64_t>(decoded->tokens.size());
  if (expected) {
    for (const std::string& token : decoded->tokens) {
      expected = expected && token.size() == kTokenTextBytes;
      for (const char c : token) expected = expected && c >= ' ' && c < 0x7f;
    }
  }
  RC_ASSERT(read == expected);
  if (!read) return;
  RC_ASSERT(view.batch_id() == decoded->batch_id);
  RC_ASSERT(view.chunk_index() == decoded->chunk_index);
  RC_ASSERT(view.first_serial() == decoded->first_serial);
  RC_ASSERT(std::equal(view.tokens().begin(), view.tokens().end(), decoded->tokens.begin(),
                       decoded->tokens.end()));
}

TEST(TokensGeneratedWriter, WritesWhatEncodeWrites) {
  for (const std::size_t count : {1, 2, 999, 1000}) {
    const TokensGenerated event = chunk_of(count);
    TokensGeneratedWriter writer(event.batch_id, event.chunk_index, event.first_serial,
                                 event.count);
    EXPECT_EQ(writer.body_bytes(), count * kTokenStrideBytes - 1);
    writer.punctuate();
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(writer.first_token() + i * kTokenStrideBytes, event.tokens[i].data(),
                  kTokenTextBytes);
    }
    EXPECT_EQ(std::move(writer).finish(), encode(event));
  }
}

TEST(TokensGeneratedWriter, TheBodyMayBeWrittenWhole) {
  const TokensGenerated event = chunk_of(3);
  std::string body;
  for (const std::string& token : event.tokens)
    body += (body.empty() ? "\"" : ",\"") + token + "\"";
  TokensGeneratedWriter writer(event.batch_id, event.chunk_index, event.first_serial, event.count);
  ASSERT_EQ(writer.body_bytes(), body.size());
  std::memcpy(writer.body(), body.data(), body.size());
  EXPECT_EQ(std::move(writer).finish(), encode(event));
}

}  // namespace
}  // namespace voketag::events
