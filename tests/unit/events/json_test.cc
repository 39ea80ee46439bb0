// RFC 8785. The numbers are those of its appendix B, the objects those of its sections 3.2.2 and
// 3.2.3.

#include "events/json.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace voketag::events {
namespace {

std::string canonical(std::string_view text) {
  const auto result = canonical_json(text);
  return result ? *result : "error: " + result.error().message;
}

TEST(CanonicalNumber, AppendixB) {
  const std::pair<std::uint64_t, std::string_view> kNumbers[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"}};
  for (const auto& [bits, text] : kNumbers) {
    EXPECT_EQ(canonical_number(std::bit_cast<double>(bits)), text);
  }
}

RC_GTEST_PROP(CanonicalNumber, ReadsBackToTheSameValue, (std::uint64_t bits)) {
  const double value = std::bit_cast<double>(bits);
  RC_PRE(std::isfinite(value));
  const std::string text = canonical_number(value);
  RC_ASSERT(std::strtod(text.c_str(), nullptr) == value);
  RC_ASSERT(canonical("{\"a\":" + text + "}") == "{\"a\":" + text + "}");
}

TEST(CanonicalJson, Section322) {
  EXPECT_EQ(
      canonical("{\n  \"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3,\n"
                "    0.000000000000000000000000001],\n"
                "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
                "  \"literals\": [null, true, false]\n}"),
      "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
      "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

TEST(CanonicalJson, Section323SortsByUtf16) {
  EXPECT_EQ(canonical("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
                      "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
                      "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
                      "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}"),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
            "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
            "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
            "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST(CanonicalJson, Nesting) {
  EXPECT_EQ(canonical(" { } "), "{}");
  EXPECT_EQ(canonical("{\"b\":{\"d\":[],\"c\":{}},\"a\":[[1],{\"y\":2,\"x\":1}]}"),
            "{\"a\":[[1],{\"x\":1,\"y\":2}],\"b\":{\"c\":{},\"d\":[]}}");
  EXPECT_EQ(canonical("{\"\":1,\"a\":true , \"b\":null }"), "{\"\":1,\"a\":true,\"b\":null}");
  EXPECT_EQ(canonical("{\"ab\":1,\"a\":2,\"aa\":3}"), "{\"a\":2,\"aa\":3,\"ab\":1}");
}

TEST(CanonicalJson, ControlCharacters) {
  EXPECT_EQ(canonical("{\"a\":\"\\u0008\\u0009\\u000a\\u000c\\u000d\\u001F\\u007f\"}"),
            "{\"a\":\"\\b\\t\\n\\f\\r\\u001f\x7f\"}");
}

TEST(CanonicalJson, LongIntegersAreRoundedAsTheRfcSays) {
  EXPECT_EQ(canonical("{\"a\":12345678901234567890123}"), "{\"a\":1.2345678901234568e+22}");
  EXPECT_EQ(canonical("{\"a\":18446744073709551616}"), "{\"a\":18446744073709552000}");
  EXPECT_EQ(canonical("{\"a\":9007199254740993}"), "{\"a\":9007199254740992}");
  EXPECT_EQ(canonical("{\"a\":1e-400}"), "{\"a\":0}");
  EXPECT_EQ(canonical("{\"a\":-0}"), "{\"a\":0}");
}

TEST(CanonicalJson, Errors) {
  constexpr std::string_view kNot = "error: the value is not a JSON object: ";
  EXPECT_EQ(canonical("{\"a\":{\"b\":1,\"\\u0062\":2}}"),
            "error: a.b is there twice: send it once");
  EXPECT_EQ(canonical("{\"a\":1e309}"),
            "error: a must be a number that a 64-bit float can hold, not 1e309");
  EXPECT_EQ(canonical("{\"a\":[\"\\u0000\"]}"),
            "error: a[0] holds the character U+0000, which PostgreSQL cannot store");
  for (const std::string_view text :
       {"{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":1.}", "{\"a\":tru}",
        "{\"a\":truex}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\\ud800\"}", "{\"a\":\"\xff\"}",
        "{\"\\ud800\":1}", "[1]", "1", "", "{\"a\":1}x", "{\"a\":1}}", "{\"a\":[1}",
        "{\"a\":'x'}"}) {
    EXPECT_TRUE(canonical(text).starts_with(kNot)) << text << " -> " << canonical(text);
  }
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{\"a\":";
  deep += "1" + std::string(100, '}');
  EXPECT_NE(canonical(deep).find("is nested deeper than 64 levels"), std::string::npos);
}

// A JSON object of random shape; `shuffled` writes the same with other white space and order.
struct Shape {
  std::string plain;
  std::string shuffled;
};

Shape random_value(int depth) {
  const int kind = *rc::gen::inRange(0, depth > 3 ? 3 : 5);
  if (kind == 0) {
    const std::string number = std::to_string(*rc::gen::inRange(-1000, 1000));
    return {number, number + ".0e0"};
  }
  if (kind == 1) return {"true", " true "};
  if (kind == 2) {
    const std::string letters = *rc::gen::container<std::string>(rc::gen::inRange('a', 'z'));
    return {"\"/" + letters + "\"", "\"\\/" + letters + "\""};
  }
  const int count = *rc::gen::inRange(0, 5);
  Shape shape;
  for (int i = 0; i < count; ++i) {
    const Shape value = random_value(depth + 1);
    const std::string name = kind == 3 ? "\"k" + std::to_string(i) + "\":" : "";
    shape.plain += (i > 0 ? "," : "") + name + value.plain;
    if (kind == 3) {
      shape.shuffled = name + " " + value.shuffled + (i > 0 ? " , " : "") + shape.shuffled;
    } else {
      shape.shuffled += (i > 0 ? " ,\n" : "") + value.shuffled;
    }
  }
  const std::string open = kind == 3 ? "{" : "[";
  const std::string close = kind == 3 ? "}" : "]";
  return {open + shape.plain + close, open + shape.shuffled + close};
}

RC_GTEST_PROP(CanonicalJson, EqualObjectsHaveEqualTexts, ()) {
  const Shape shape = random_value(0);
  const std::string plain = canonical("{\"v\":" + shape.plain + "}");
  RC_ASSERT(plain == "{\"v\":" + shape.plain + "}");
  RC_ASSERT(canonical("{\"v\":" + shape.shuffled + "}") == plain);
  RC_ASSERT(canonical(plain) == plain);
}

}  // namespace
}  // namespace voketag::events
