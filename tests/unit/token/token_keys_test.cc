#include "processors/tokens/token_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

using testing::HasSubstr;
using testing::Not;

// 32 bytes 00..1f and 32 bytes 20..3f.
constexpr const char* kFirst = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
constexpr const char* kSecond = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

std::string entry(const std::string& id, const std::string& secret) {
  return id + ":" + secret;
}

TEST(TokenKeys, ReadsKeysInOrder) {
  const auto keys = TokenKeys::parse(entry("200", kFirst) + "," + entry("0", kSecond));
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->size(), 2U);
  EXPECT_EQ(keys->signing().id(), 200);
  ASSERT_NE(keys->find(0), nullptr);
  EXPECT_EQ(keys->find(0)->id(), 0);
  EXPECT_EQ(keys->find(200), &keys->signing());
  EXPECT_EQ(keys->find(1), nullptr);
  EXPECT_EQ(
      keys->find(0)->hmac().mac(bytes_of("x")),
      HmacSha256Key(from_hex("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"))
          .mac(bytes_of("x")));
}

TEST(TokenKeys, AcceptsPaddingAndWhiteSpaceAround) {
  const auto keys = TokenKeys::parse(" " + entry("1", kFirst) + "=\n");
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->signing().hmac().mac(bytes_of("x")),
            TokenKeys::parse(entry("1", kFirst))->signing().hmac().mac(bytes_of("x")));
}

struct BadKeys {
  std::string text;
  std::string reason;
};

TEST(TokenKeys, RefusesWithTheReasonAndNeverTheSecret) {
  const std::string first = kFirst;
  const BadKeys cases[] = {
      {"", "none given"},
      {" \n", "none given"},
      {first, "entry 1 has no colon"},
      {":" + first, "entry 1 has an id"},
      {"256:" + first, "entry 1 has an id"},
      {"-1:" + first, "entry 1 has an id"},
      {"+1:" + first, "entry 1 has an id"},
      {"01:" + first, "entry 1 has an id"},
      {"1 :" + first, "entry 1 has an id"},
      {"0x1:" + first, "entry 1 has an id"},
      {"99999999999999999999:" + first, "entry 1 has an id"},
      {first + ":1", "entry 1 has an id"},
      {"1:", "entry 1 has a secret of 0 bytes"},
      {"1:" + first.substr(0, 41) + "A", "entry 1 has a secret of 31 bytes"},
      {"1:" + first.substr(0, 42) + "+", "entry 1 has a secret that is not base64url"},
      {"1:" + first.substr(0, 42) + "9", "entry 1 has a secret that is not base64url"},
      {"1:" + first + "==", "entry 1 has a secret that is not base64url"},
      {"1:" + std::string(1400, 'A'), "entry 1 has a secret of more than 1024 bytes"},
      {"1:" + first + ",", "entry 2 has no colon"},
      {"1:" + first + ",1:" + kSecond, "entry 2 has the id of an entry before it"},
      {"1:" + first + ", 2:" + kSecond, "entry 2 has an id"},
      {"1:" + first + ",2:" + std::string(kSecond).substr(0, 20),
       "entry 2 has a secret of 15 bytes"},
  };
  for (const BadKeys& bad : cases) {
    const auto keys = TokenKeys::parse(bad.text);
    ASSERT_FALSE(keys) << bad.text;
    EXPECT_EQ(keys.error().code, events::Errc::kInvalid);
    EXPECT_THAT(keys.error().message, HasSubstr(bad.reason));
    EXPECT_THAT(keys.error().message, HasSubstr("openssl rand 32"));
    EXPECT_THAT(keys.error().message, Not(HasSubstr("AAECAw")));
    EXPECT_THAT(keys.error().message, Not(HasSubstr("ICEiIy")));
  }
}

TEST(TokenKeys, HoldsEveryId) {
  std::string text;
  for (int id = 0; id < 256; ++id) text += (id == 0 ? "" : ",") + entry(std::to_string(id), kFirst);
  const auto keys = TokenKeys::parse(text);
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->size(), 256U);
  EXPECT_EQ(keys->find(255)->id(), 255);
}

}  // namespace
}  // namespace voketag::processors
