#include "processors/tokens/base64url.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

std::string encode(std::span<const std::uint8_t> bytes) {
  std::string text(base64url_characters(bytes.size()), '\0');
  base64url_encode(bytes, text.data());
  return text;
}

// RFC 4648 §10, without the padding that §5 lets one leave out.
TEST(Base64url, AgreesWithRfc4648) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(encode(bytes_of(bytes)), text);
}

TEST(Base64url, UsesTheUrlAlphabet) {
  EXPECT_EQ(encode(from_hex("fbff")), "-_8");
  std::array<std::uint8_t, 3> bytes;
  EXPECT_EQ(base64url_decode("+/8A", bytes.data()), Base64urlOutcome::kAlphabet);
}

TEST(Base64url, RefusesLengthsThatNoBytesHave) {
  std::array<std::uint8_t, 8> bytes;
  EXPECT_EQ(base64url_decode("A", bytes.data()), Base64urlOutcome::kLength);
  EXPECT_EQ(base64url_decode("AAAAA", bytes.data()), Base64urlOutcome::kLength);
}

TEST(Base64url, RefusesTrailingBits) {
  std::array<std::uint8_t, 8> bytes;
  EXPECT_EQ(base64url_decode("Zg", bytes.data()), Base64urlOutcome::kOk);
  EXPECT_EQ(base64url_decode("Zh", bytes.data()), Base64urlOutcome::kTrailingBits);
  EXPECT_EQ(base64url_decode("Zm8", bytes.data()), Base64urlOutcome::kOk);
  EXPECT_EQ(base64url_decode("Zm9", bytes.data()), Base64urlOutcome::kTrailingBits);
}

TEST(Base64url, RefusesEveryByteOutsideTheAlphabet) {
  int accepted = 0;
  for (int byte = 0; byte < 256; ++byte) {
    std::array<std::uint8_t, 3> bytes;
    const std::string text{'A', static_cast<char>(byte), 'A', 'A'};
    if (base64url_decode(text, bytes.data()) == Base64urlOutcome::kOk) ++accepted;
  }
  EXPECT_EQ(accepted, 64);
}

TEST(Base64url, DecodesWhatItEncodes) {
  EXPECT_TRUE(rc::check([](const std::vector<std::uint8_t>& bytes) {
    const std::string text = encode(bytes);
    std::vector<std::uint8_t> decoded(base64url_bytes(text.size()));
    RC_ASSERT(base64url_decode(text, decoded.data()) == Base64urlOutcome::kOk);
    RC_ASSERT(decoded == bytes);
  }));
}

}  // namespace
}  // namespace voketag::processors
