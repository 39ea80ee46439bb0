#include "processors/tokens/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "processors/merkle/tree.h"
#include "processors/tokens/base64url.h"
#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

using testing::HasSubstr;

constexpr const char* kKeys =
    "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8,2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

TokenKeys both_keys() {
  return *TokenKeys::parse(kKeys);
}

events::Uuid some_id() {
  return *events::Uuid::parse("019b76da-a87b-8c05-9a43-5d2a1b97e0f8");
}

std::string refusal(const std::string& text) {
  const auto token = parse_token(text);
  EXPECT_FALSE(token) << text;
  if (token) return "";
  EXPECT_EQ(token.error().code, events::Errc::kInvalid);
  return token.error().message;
}

TEST(Token, ReadsWhatItWrites) {
  const TokenKeys keys = both_keys();
  const Token token = make_token(keys.signing(), some_id());
  const std::string text = format_token(token);
  EXPECT_EQ(text.size(), kTokenCharacters);
  EXPECT_EQ(text.front(), 'A');
  EXPECT_EQ(parse_token(text).value(), token);
  EXPECT_EQ(verify_token(token, keys), TokenVerdict::kAuthentic);
}

TEST(Token, RefusesEachFaultWithItsOwnMessage) {
  const std::string good = format_token(make_token(both_keys().signing(), some_id()));
  EXPECT_THAT(refusal(""), HasSubstr("0 characters instead of 46"));
  EXPECT_THAT(refusal(good.substr(1)), HasSubstr("45 characters"));
  EXPECT_THAT(refusal(good + "A"), HasSubstr("47 characters"));
  EXPECT_THAT(refusal(good + "=="), HasSubstr("48 characters"));
  for (const char bad : {'+', '/', '=', ' ', '\n', '.', '\0', '\x80', '\xff'}) {
    std::string text = good;
    text[20] = bad;
    EXPECT_THAT(refusal(text), HasSubstr("not base64url"));
  }
  std::string version = good;
  version[1] = 'g';  // the first byte becomes 2
  EXPECT_THAT(refusal(version), HasSubstr("version 2 is unknown"));
  EXPECT_THAT(refusal(std::string(46, 'A')), HasSubstr("version 0 is unknown"));
}

// Sixteen texts would decode to the same bytes; only one of them is the token.
TEST(Token, HasOneSpelling) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text = format_token(make_token(both_keys().signing(), some_id()));
  int accepted = 0;
  const std::size_t value = kAlphabet.find(text.back());
  for (std::size_t low = 0; low < 16; ++low) {
    text.back() = kAlphabet[value | low];
    if (parse_token(text)) {
      ++accepted;
    } else {
      EXPECT_THAT(refusal(text), HasSubstr("beyond the last byte"));
    }
  }
  EXPECT_EQ(accepted, 1);
}

TEST(Token, DoesNotRepeatAStrangersText) {
  EXPECT_EQ(refusal("<script>alert(1)</script>").find("script"), std::string::npos);
  std::string text(46, 'A');
  text.replace(0, 8, "<script>");
  EXPECT_EQ(refusal(text).find("script"), std::string::npos);
}

TEST(Token, ThatParsesFormatsToItself) {
  EXPECT_TRUE(rc::check([] {
    Token token;
    token.key_id = *rc::gen::arbitrary<std::uint8_t>();
    for (std::uint8_t& byte : token.product_id.bytes) byte = *rc::gen::arbitrary<std::uint8_t>();
    for (std::uint8_t& byte : token.mac) byte = *rc::gen::arbitrary<std::uint8_t>();
    const std::string text = format_token(token);
    const auto parsed = parse_token(text);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == token);
  }));
}

TEST(Token, WithAnyBitChangedIsNotAuthentic) {
  const TokenKeys keys = both_keys();
  const std::string good = format_token(make_token(keys.signing(), some_id()));
  std::array<std::uint8_t, kTokenBytes> bytes;
  ASSERT_EQ(base64url_decode(good, bytes.data()), Base64urlOutcome::kOk);
  for (std::size_t bit = 0; bit < kTokenBytes * 8; ++bit) {
    auto changed = bytes;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    std::string text(kTokenCharacters, '\0');
    base64url_encode(changed, text.data());
    const auto token = parse_token(text);
    if (bit < 8) {
      EXPECT_FALSE(token) << "version";
    } else {
      ASSERT_TRUE(token);
      EXPECT_NE(verify_token(*token, keys), TokenVerdict::kAuthentic) << bit;
    }
  }
}

TEST(Token, OfARetiredKeyStillVerifiesAndOfAnUnknownKeySaysSo) {
  const TokenKeys keys = both_keys();
  EXPECT_EQ(verify_token(make_token(*keys.find(2), some_id()), keys), TokenVerdict::kAuthentic);
  const TokenKeys only_first = *TokenKeys::parse(std::string_view(kKeys).substr(0, 45));
  EXPECT_EQ(verify_token(make_token(*keys.find(2), some_id()), only_first),
            TokenVerdict::kUnknownKey);
  Token renamed = make_token(*keys.find(2), some_id());
  renamed.key_id = 1;
  EXPECT_EQ(verify_token(renamed, keys), TokenVerdict::kForged);
}

class EachTokenKernel : public testing::TestWithParam<const Sha256Lanes*> {
 protected:
  const Sha256Lanes* lanes_ = GetParam();
};

// Ranges around the block of 128 in which tokens are made, held against one token at a time.
TEST_P(EachTokenKernel, MakesManyAsItMakesOne) {
  const TokenKeys keys = both_keys();
  const BatchPlan plan = *BatchPlan::derive(keys.signing(), {some_id(), 1'767'225'600'000, 2000});
  for (const std::size_t count : {0, 1, 2, 3, 5, 31, 127, 128, 129, 256, 300}) {
    for (const std::int64_t first : {0, 1, 3, 128, 1700}) {
      constexpr std::size_t kStride = 50;
      std::string text(count * kStride + 8, '.');
      std::vector<Hash> leaves(count + 1);
      make_tokens(keys.signing(), plan, first, count, text.data() + 2, kStride, leaves.data(),
                  *lanes_);
      std::string expected(text.size(), '.');
      for (std::size_t i = 0; i < count; ++i) {
        const auto index = first + static_cast<std::int64_t>(i);
        const std::string one = format_token(make_token(keys.signing(), plan.product_id(index)));
        expected.replace(2 + i * kStride, kTokenCharacters, one);
        ASSERT_EQ(leaves[i], leaf_hash(one));
      }
      ASSERT_EQ(text, expected) << count << " from " << first;
      EXPECT_EQ(leaves[count], Hash{}) << "wrote beyond the last leaf";
    }
  }
}

TEST_P(EachTokenKernel, WritesJsonElements) {
  const TokenKeys keys = both_keys();
  const BatchPlan plan = *BatchPlan::derive(keys.signing(), {some_id(), 0, 300});
  for (const std::size_t count : {0, 1, 2, 300}) {
    const std::size_t size = token_json_bytes(count);
    std::string json(size + 3, '#');
    std::vector<Hash> leaves(count);
    make_tokens_json(keys.signing(), plan, 0, count, json.data() + 1, leaves.data(), *lanes_);
    std::string expected = "#";
    for (std::size_t i = 0; i < count; ++i) {
      const auto id = plan.product_id(static_cast<std::int64_t>(i));
      expected += (i == 0 ? "\"" : ",\"") + format_token(make_token(keys.signing(), id)) + "\"";
    }
    EXPECT_EQ(json, expected + "##");
  }
}

// Every character of the alphabet at every place: the fast encoder against the plain one.
TEST_P(EachTokenKernel, EncodesEveryCharacter) {
  const TokenKeys keys = both_keys();
  std::array<std::array<bool, 128>, kTokenCharacters> seen{};
  const BatchPlan plan = *BatchPlan::derive(keys.signing(), {some_id(), 0, 4096});
  std::string text(4096 * kTokenCharacters, '\0');
  std::vector<Hash> leaves(4096);
  make_tokens(keys.signing(), plan, 0, 4096, text.data(), kTokenCharacters, leaves.data(), *lanes_);
  for (std::size_t i = 0; i < text.size(); ++i)
    seen[i % kTokenCharacters][static_cast<unsigned char>(text[i]) & 127] = true;
  for (std::size_t place = 24; place + 1 < kTokenCharacters; ++place)
    EXPECT_EQ(std::count(seen[place].begin(), seen[place].end(), true), 64) << place;
  for (std::size_t i = 0; i < 4096; i += 17) {
    const std::string one = text.substr(i * kTokenCharacters, kTokenCharacters);
    EXPECT_EQ(format_token(*parse_token(one)), one);
  }
}

INSTANTIATE_TEST_SUITE_P(, EachTokenKernel, testing::ValuesIn(runnable_lanes()), kernel_test_name);

}  // namespace
}  // namespace voketag::processors
