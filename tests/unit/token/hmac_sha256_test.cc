#include "processors/hash/hmac_sha256.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <type_traits>

#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

static_assert(!std::is_copy_constructible_v<HmacSha256Key>);
static_assert(!std::is_copy_assignable_v<HmacSha256Key>);

// RFC 4231 §4, test cases 1 to 7; the fifth is truncated to 128 bits.
TEST(HmacSha256, AgreesWithRfc4231) {
  const struct {
    std::string key, data, mac;
  } cases[] = {
      {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
       "ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
       "ddddd"
       "dddd",
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {"0102030405060708090a0b0c0d0e0f10111213141516171819",
       "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdc"
       "dcdcd"
       "cdcd",
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
       "a3b6167473100ee06e0c796c2955552b"},
      {std::string(262, 'a'),
       "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204"
       "b6579"
       "204669727374",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(262, 'a'),
       "5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a652"
       "06b65"
       "7920616e642061206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206"
       "e6565"
       "647320746f20626520686173686564206265666f7265206265696e6720757365642062792074686520484d41432"
       "0616c"
       "676f726974686d2e",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const auto& known : cases) {
    const HmacSha256Key key(from_hex(known.key));
    EXPECT_EQ(to_hex(key.mac(from_hex(known.data))).substr(0, known.mac.size()), known.mac);
  }
}

TEST(HmacSha256, AgreesWithOpensslForKeysAndMessagesOfAnyLength) {
  for (std::size_t key_bytes = 0; key_bytes < 140; key_bytes += 7) {
    for (std::size_t message_bytes = 0; message_bytes < 140; message_bytes += 11) {
      const std::vector<std::uint8_t> secret(key_bytes + 1, static_cast<std::uint8_t>(key_bytes));
      const std::vector<std::uint8_t> message(message_bytes + 1, 0xa5);
      Hash expected;
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(key_bytes), message.data(), message_bytes,
           expected.data(), nullptr);
      const HmacSha256Key key{std::span(secret).first(key_bytes)};
      EXPECT_EQ(key.mac(std::span(message).first(message_bytes)), expected);
    }
  }
}

TEST(HmacSha256, PadsTheLongestShortMessage) {
  const HmacSha256Key key(bytes_of("key"));
  Sha256Block block;
  block.bytes.fill(0xee);
  HmacSha256Key::pad_short_message(block, HmacSha256Key::kShortMessageBytesMax);
  Hash mac;
  key.mac_many(std::span(&block, 1), &mac);
  EXPECT_EQ(mac, key.mac(std::vector<std::uint8_t>(55, 0xee)));
}

TEST(HmacSha256, MovesAndLeavesNothingBehind) {
  HmacSha256Key key(bytes_of("key"));
  const Hash mac = key.mac(bytes_of("message"));
  const HmacSha256Key moved(std::move(key));
  EXPECT_EQ(moved.mac(bytes_of("message")), mac);
  // NOLINTNEXTLINE(bugprone-use-after-move): what is left is the subject of the test.
  EXPECT_NE(key.mac(bytes_of("message")), mac);
}

}  // namespace
}  // namespace voketag::processors
