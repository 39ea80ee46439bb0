#include "connectors/postgres/numeric.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace voketag::postgres {
namespace {

std::string encode(std::string_view decimal) {
  ByteBuffer buffer;
  EXPECT_TRUE(append_numeric(buffer, decimal)) << decimal;
  return std::string(buffer.view());
}

// ndigits, weight, sign, dscale, digits.
std::vector<int> words(std::string_view decimal) {
  const std::string bytes = encode(decimal);
  std::vector<int> result;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    result.push_back(static_cast<std::int16_t>(ByteBuffer::load16(bytes.data() + i)));
  }
  return result;
}

TEST(NumericTest, GroupsFourDigitsFromThePoint) {
  EXPECT_EQ(words("0"), (std::vector{0, 0, 0, 0}));
  EXPECT_EQ(words("0.000"), (std::vector{0, 0, 0, 3}));
  EXPECT_EQ(words("1"), (std::vector{1, 0, 0, 0, 1}));
  EXPECT_EQ(words("10000"), (std::vector{1, 1, 0, 0, 1}));
  EXPECT_EQ(words("10001"), (std::vector{2, 1, 0, 0, 1, 1}));
  EXPECT_EQ(words("-12.5"), (std::vector{2, 0, 0x4000, 1, 12, 5000}));
  EXPECT_EQ(words("0.00001"), (std::vector{1, -2, 0, 5, 1000}));
  EXPECT_EQ(words("000123"), (std::vector{1, 0, 0, 0, 123}));
  EXPECT_EQ(words("+.5"), (std::vector{1, -1, 0, 1, 5000}));
  EXPECT_EQ(words("-0"), (std::vector{0, 0, 0, 0}));
}

TEST(NumericTest, TakesNothingElseAndLeavesTheBufferAlone) {
  ByteBuffer buffer;
  for (const std::string& text : {std::string("1e9"), std::string("0x1"), std::string("--1"),
                                  std::string(kNumericDigitsMax + 1, '9')}) {
    EXPECT_FALSE(append_numeric(buffer, text)) << text;
    EXPECT_EQ(buffer.size(), 0U);
  }
}

RC_GTEST_PROP(NumericTest, ComparesAsTheNumbersDo, (std::int32_t left, std::int32_t right)) {
  const auto text = [](std::int32_t value) {
    // Thousandths, with zeros that change nothing.
    const std::string digits = std::to_string(std::abs(std::int64_t{value}));
    const std::string padded = std::string(6, '0') + digits;
    return std::string(value < 0 ? "-" : "") + padded.substr(0, padded.size() - 3) + '.' +
           padded.substr(padded.size() - 3) + std::string(*rc::gen::inRange(0, 6), '0');
  };
  const int order = compare_numeric(encode(text(left)), encode(text(right)));
  RC_ASSERT((order < 0) == (left < right));
  RC_ASSERT((order > 0) == (left > right));
}

}  // namespace
}  // namespace voketag::postgres
