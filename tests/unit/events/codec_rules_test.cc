// Every rule of decoding, with the message that whoever sent the event will find in a dead letter.

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "events/codec.h"
#include "events/events.h"
#include "events/topics.h"

namespace voketag::events {
namespace {

constexpr std::string_view kId = "\"batch_id\":\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80\"";

// A batch-requested that is in order up to here, with `more` members behind.
std::string request(std::string_view more) {
  std::string json = "{";
  json += kId;
  json += more;
  return json + "}";
}

template <class Event>
std::string error_of(std::string_view json) {
  const auto event = decode<Event>(json);
  if (event) return "accepted";
  EXPECT_EQ(event.error().code, Errc::kInvalid);
  return event.error().message;
}
std::string request_error(std::string_view more) {
  return error_of<BatchRequested>(request(more));
}

std::string not_json(std::string_view why) {
  return "the value is not a JSON object: " + std::string(why) + "; send one JSON object in UTF-8";
}

TEST(CodecRules, TakesTheSmallestRequest) {
  const auto event = decode<BatchRequested>(request(",\"product_count\":1"));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->batch_id.to_string(), "0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80");
  EXPECT_EQ(event->product_count, 1);
  EXPECT_FALSE(event->tenant);
  EXPECT_FALSE(event->metadata);
}

TEST(CodecRules, WholeNumbers) {
  const auto count = [](std::string_view value) {
    return request_error(",\"product_count\":" + std::string(value));
  };
  EXPECT_EQ(count("1"), "accepted");
  EXPECT_EQ(count("10000000"), "accepted");
  EXPECT_EQ(count("0"), "product_count must be between 1 and 10000000, not 0");
  EXPECT_EQ(count("-0"), "product_count must be between 1 and 10000000, not -0");
  EXPECT_EQ(count("-7"), "product_count must be between 1 and 10000000, not -7");
  EXPECT_EQ(count("10000001"), "product_count must be between 1 and 10000000, not 10000001");
  EXPECT_EQ(count("99999999999999999999"),
            "product_count must be between 1 and 10000000, not 99999999999999999999");
  constexpr std::string_view kPlain =
      "product_count must be a whole number written without fraction or exponent, not ";
  for (const std::string value :
       {"1e99", "1E3", "1.0", "0.5", "1e-2", "01", "1.", "1e", "-", "1x"}) {
    EXPECT_EQ(count(value), std::string(kPlain) + value);
  }
  constexpr std::string_view kNumber = "product_count must be a whole number, not ";
  for (const std::string value : {"NaN", "Infinity", "null", "true", "\"1\"", "+1", ".5"}) {
    EXPECT_EQ(count(value), std::string(kNumber) + value);
  }
  EXPECT_EQ(count("{\"a\":1}"), "product_count must be a whole number, not an object");
  EXPECT_EQ(count("[1]"), "product_count must be a whole number, not an array");
}

TEST(CodecRules, TheWholeRangeOf64Bits) {
  const auto decoded = decode<AnchorRequested>(
      "{\"batch_id\":\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80\",\"merkle_root\":\"" +
      std::string(64, 'a') + "\",\"product_count\":9223372036854775807}");
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->product_count, 9223372036854775807);
  EXPECT_EQ(error_of<AnchorRequested>(
                "{\"batch_id\":\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80\",\"merkle_root\":\"" +
                std::string(64, 'a') + "\",\"product_count\":9223372036854775808}"),
            "product_count must be at least 1, not 9223372036854775808");
}

TEST(CodecRules, Strings) {
  const auto tenant = [](std::string_view value) {
    return request_error(",\"product_count\":1,\"tenant\":" + std::string(value));
  };
  EXPECT_EQ(tenant("\"a\""), "accepted");
  EXPECT_EQ(tenant("\"" + std::string(128, 'a') + "\""), "accepted");
  EXPECT_EQ(tenant("\"\""), "tenant must be between 1 and 128 bytes long, not 0: \"\"");
  EXPECT_EQ(
      tenant("\"" + std::string(129, 'a') + "\""),
      "tenant must be between 1 and 128 bytes long, not 129: \"" + std::string(39, 'a') + "...");
  EXPECT_EQ(tenant("12"), "tenant must be a string, not 12");
  EXPECT_EQ(tenant("[]"), "tenant must be a string, not an array");
  EXPECT_EQ(tenant("\"a\\u0000b\""),
            "tenant must not hold the character U+0000, which PostgreSQL cannot store");
  EXPECT_EQ(tenant("\"\\ud800\""),
            "tenant must be a string without bad escapes or lone surrogates, not \"\\ud800\"");
  EXPECT_EQ(tenant("\"\\x\""),
            "tenant must be a string without bad escapes or lone surrogates, not \"\\x\"");
}

TEST(CodecRules, LengthsCountBytesAndMessagesCutBetweenCharacters) {
  std::string name;
  for (int i = 0; i < 43; ++i) name += "\xe2\x82\xac";  // 43 euro signs are 129 bytes
  std::string shown = "\"";
  for (int i = 0; i < 39; ++i) shown += "\xe2\x82\xac";
  EXPECT_EQ(request_error(",\"product_count\":1,\"tenant\":\"" + name + "\""),
            "tenant must be between 1 and 128 bytes long, not 129: " + shown + "...");
}

TEST(CodecRules, EscapesAreRead) {
  const auto event = decode<BatchRequested>(
      request(",\"product_count\":1,\"na\\u006de\":\"\\u20ac\\n\\\"\\ud83d\\ude00\""));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name, "\xe2\x82\xac\n\"\xf0\x9f\x98\x80");
}

TEST(CodecRules, Choices) {
  const std::string head =
      "{\"batch_id\":\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80\","
      "\"merkle_root\":\"" +
      std::string(64, '0') +
      "\",\"product_count\":1,\"requested_at\":\"2026-11-22T14:05:09.123Z\","
      "\"origin\":";
  EXPECT_EQ(error_of<AnchorAccepted>(head + "\"external\"}"), "accepted");
  EXPECT_EQ(error_of<AnchorAccepted>(head + "\"extern\"}"),
            "origin must be one of external, retry, not \"extern\"");
  EXPECT_EQ(error_of<AnchorAccepted>(head + "\"external|retry\"}"),
            "origin must be one of external, retry, not \"external|retry\"");
}

TEST(CodecRules, Uuids) {
  const auto id = [](std::string_view value) {
    return error_of<BatchRequested>("{\"product_count\":1,\"batch_id\":" + std::string(value) +
                                    "}");
  };
  constexpr std::string_view kMust =
      "batch_id must be a UUID such as 0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80, not ";
  EXPECT_EQ(id("\"0B7F3A52-4C3E-4D59-9D0C-5F2D1E6A7B80\""), "accepted");
  for (const std::string value :
       {"\"\"", "\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b8\"", "\"0b7f3a524c3e4d599d0c5f2d1e6a7b80\"",
        "\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b8g\"", "12", "null"}) {
    EXPECT_EQ(id(value), std::string(kMust) + value);
  }
  EXPECT_EQ(error_of<BatchRequested>("{\"product_count\":1}"), "batch_id is missing: add it");
}

TEST(CodecRules, Times) {
  const auto time = [](std::string_view value) {
    return error_of<BatchFailed>(
        "{\"batch_id\":\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80\","
        "\"tenant\":\"t\",\"reason\":\"r\",\"detail\":\"\",\"failed_at\":" +
        std::string(value) + "}");
  };
  EXPECT_EQ(time("\"2026-11-22T14:05:09.123Z\""), "accepted");
  EXPECT_EQ(time("\"2026-11-22T15:05:09+01:00\""), "accepted");
  EXPECT_EQ(time("\"22.11.2026\""),
            "failed_at must be an RFC 3339 time such as 2026-11-22T14:05:09.123Z, not "
            "\"22.11.2026\"");
  EXPECT_EQ(time("1700000000"),
            "failed_at must be an RFC 3339 time such as 2026-11-22T14:05:09.123Z, not 1700000000");
}

TEST(CodecRules, HashesChainBytesAndDecimals) {
  const std::string root(64, 'A');
  const auto root_event = decode<MerkleRootComputed>(
      "{" + std::string(kId) + ",\"merkle_root\":\"" + root + "\",\"product_count\":1}");
  ASSERT_TRUE(root_event);
  EXPECT_EQ(root_event->merkle_root.to_string(), std::string(64, 'a'));
  EXPECT_EQ(error_of<MerkleRootComputed>("{" + std::string(kId) + ",\"merkle_root\":\"0x12\"}"),
            "merkle_root must be 64 hex digits without 0x, not \"0x12\"");
  EXPECT_EQ(error_of<MerkleRootComputed>("{" + std::string(kId) + ",\"merkle_root\":\"" +
                                         std::string(63, 'a') + "g\"}"),
            "merkle_root must be 64 hex digits without 0x, not \"" + std::string(39, 'a') + "...");

  const auto chain = [](std::string_view value) {
    return error_of<AnchorCompleted>("{\"transaction_id\":" + std::string(value) + "}");
  };
  constexpr std::string_view kChain =
      "transaction_id must be 0x and an even number of hex digits, not ";
  for (const std::string value : {"\"0x1\"", "\"12\"", "\"0xzz\"", "\"\"", "\"0X12\"", "7"}) {
    EXPECT_EQ(chain(value), std::string(kChain) + value);
  }
  const auto price = [](std::string_view value) {
    return error_of<AnchorCompleted>("{\"gas_price_gwei\":" + std::string(value) + "}");
  };
  EXPECT_EQ(price("\"-12.50\""), "anchor_id is missing: add it");
  constexpr std::string_view kDecimal =
      "gas_price_gwei must be a decimal number in a string such as \"12.5\", not ";
  for (const std::string value :
       {"\"\"", "\"-\"", "\".5\"", "\"5.\"", "\"1e3\"", "\"+1\"", "\" 1\"", "\"NaN\"", "12.5"}) {
    EXPECT_EQ(price(value), std::string(kDecimal) + value);
  }
}

TEST(CodecRules, ChainBytesAreWrittenInLowerCase) {
  const auto event = decode<AnchorSubmitted>(
      "{\"network\":\"mock\",\"chain_id\":0,\"nonce\":0,\"transaction_id\":\"0xABcd\","
      "\"raw_transaction\":\"0x\",\"aggregate_root\":\"" +
      std::string(64, '0') +
      "\",\"tree_size\":1,\"leaves\":[{\"anchor_id\":\"0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80\"," +
      std::string(kId) + ",\"leaf_index\":0}],\"submitted_at\":\"2026-11-22T14:05:09.123Z\"}");
  ASSERT_TRUE(event) << event.error().message;
  EXPECT_EQ(event->transaction_id.text, "0xabcd");
  EXPECT_EQ(event->raw_transaction.text, "0x");
}

TEST(CodecRules, ProblemsInsideNameTheirPlace) {
  EXPECT_EQ(error_of<AnchorCompleted>("{\"aggregate\":[1]}"),
            "aggregate must be an object, not an array");
  EXPECT_EQ(error_of<AnchorCompleted>("{\"aggregate\":{\"path\":{}}}"),
            "aggregate.path must be an array, not an object");
  EXPECT_EQ(error_of<AnchorCompleted>("{\"aggregate\":{\"path\":[\"" + std::string(64, '0') +
                                      "\",\"zz\"]}}"),
            "aggregate.path[1] must be 64 hex digits without 0x, not \"zz\"");
  EXPECT_EQ(error_of<AnchorSubmitted>("{\"leaves\":[]}"),
            "leaves must have at least 1 elements, not 0");
  EXPECT_EQ(error_of<AnchorSubmitted>("{\"leaves\":[{\"leaf_index\":0}]}"),
            "leaves[0].anchor_id is missing: add it");
  EXPECT_EQ(error_of<AnchorSubmitted>("{\"leaves\":[{\"leaf_index\":-1}]}"),
            "leaves[0].leaf_index must be at least 0, not -1");
}

TEST(CodecRules, OptionalMembersMayBeNull) {
  const auto event = decode<BatchRequested>(
      request(",\"product_count\":1,\"tenant\":null,\"metadata\":null,\"first_serial\": null"));
  ASSERT_TRUE(event);
  EXPECT_FALSE(event->tenant);
  EXPECT_FALSE(event->metadata);
  EXPECT_FALSE(event->first_serial);
  EXPECT_EQ(request_error(",\"product_count\":1,\"tenant\":nul"),
            "the value is not a JSON object: nul is no value, in tenant; send one JSON object in "
            "UTF-8");
}

TEST(CodecRules, KnownMembersStandOnce) {
  EXPECT_EQ(request_error(",\"product_count\":1,\"product_count\":1"),
            "product_count is there twice: send it once");
  EXPECT_EQ(request_error(",\"product_count\":1,\"tenant\":\"a\",\"ten\\u0061nt\":\"a\""),
            "tenant is there twice: send it once");
}

TEST(CodecRules, UnknownMembersAreIgnored) {
  EXPECT_EQ(request_error(",\"product_count\":1,\"a\":{\"batch_id\":[1,{\"x\":null}],\"y\":{}},"
                          "\"b\":[],\"c\":-1.5e+400,\"d\":123456789012345678901234567890,"
                          "\"e\":\"\\u20ac\",\"f\":true,\"g\":false,\"g\":1,\"Tenant\":5"),
            "accepted");
}

TEST(CodecRules, UnknownMembersMustBeJson) {
  const auto unknown = [](std::string_view value) {
    return request_error(",\"product_count\":1,\"x\":" + std::string(value));
  };
  EXPECT_EQ(unknown("tru"), not_json("tru is no value, in x"));
  EXPECT_EQ(unknown("nulls"), not_json("nulls is no value, in x"));
  EXPECT_EQ(unknown("01"), not_json("01 is no number, in x"));
  EXPECT_EQ(unknown("1.e5"), not_json("1.e5 is no number, in x"));
  EXPECT_EQ(unknown("{\"y\":[1,2,.5]}"),
            not_json("a comma, colon, bracket or value is wrong or missing, in x.y[2]"));
  EXPECT_EQ(unknown("\"\\q\""), not_json("a string holds a bad escape or a lone surrogate, in x"));
  EXPECT_EQ(unknown("\"\\udc00\""),
            not_json("a string holds a bad escape or a lone surrogate, in x"));
}

TEST(CodecRules, WhatIsNotJson) {
  const auto error = [](std::string_view text) { return error_of<BatchRequested>(text); };
  EXPECT_EQ(error(""), not_json("it is empty"));
  EXPECT_EQ(error("   "), not_json("it is empty"));
  for (const std::string_view text : {"hello", "12", "\"{}\"", "[]", "null", "\xef\xbb\xbf{}"}) {
    EXPECT_EQ(error(text), not_json("it is not an object")) << text;
  }
  EXPECT_EQ(error("{"), not_json("it does not end with the brace that closes it"));
  EXPECT_EQ(error("{\"a\":\"b"), not_json("a string has no end"));
  EXPECT_EQ(error("{\"a\":\"b\n\"}"), not_json("a string holds an unescaped control character"));
  EXPECT_EQ(error("{\"a\":\"\xff\"}"), not_json("its bytes are not UTF-8"));
  EXPECT_EQ(error("{\"a\":\"\xc0\xaf\"}"), not_json("its bytes are not UTF-8"));
  EXPECT_EQ(error("{\"a\":\"\xed\xa0\x80\"}"), not_json("its bytes are not UTF-8"));
  const std::string whole = request(",\"product_count\":1");
  for (const std::string_view tail : {"}", "{}"}) {
    EXPECT_EQ(error(whole + std::string(tail)), not_json("more text follows its closing brace"));
  }
  for (const std::string_view tail : {"]", "x", ",", "\"a\"", "1", "null"}) {
    EXPECT_EQ(error(whole + " " + std::string(tail)),
              not_json("it does not end with the brace that closes it"))
        << tail;
  }
  EXPECT_EQ(error(" \r\n\t" + whole + " \n"), "accepted");
  constexpr std::string_view kStructure = "a comma, colon, bracket or value is wrong or missing";
  for (const std::string_view text : {"{\"a\" 1}", "{\"a\":1,}", "{,\"a\":1}", "{\"a\":1 \"b\":2}",
                                      "{a:1}", "{1:1}", "{\"a\":}", "{\"a\":1]"}) {
    EXPECT_EQ(error(text).substr(0, 32), not_json(kStructure).substr(0, 32)) << text;
  }
}

TEST(CodecRules, DepthIsBounded) {
  const auto nested = [](int levels) {
    return request_error(",\"product_count\":1,\"x\":" + std::string(levels, '[') +
                         std::string(levels, ']'));
  };
  EXPECT_EQ(nested(63), "accepted");
  EXPECT_NE(nested(64).find(" is nested deeper than 64 levels"), std::string::npos);
  EXPECT_LT(nested(100'000).size(), 400U);
  EXPECT_NE(request_error(",\"x\":" + std::string(1'000'000, '[')), "accepted");
}

TEST(CodecRules, SizeIsBounded) {
  const std::size_t limit = static_cast<std::size_t>(kInputBytesMax);
  std::string json = request(",\"product_count\":1,\"x\":\"\"");
  json.insert(json.size() - 2, std::string(limit - json.size(), 'x'));
  ASSERT_EQ(json.size(), limit);
  EXPECT_EQ(error_of<BatchRequested>(json), "accepted");
  json += ' ';
  EXPECT_EQ(error_of<BatchRequested>(json),
            not_json("it has 6291457 bytes and at most 6291456 are read"));
}

TEST(CodecRules, MetadataIsKeptInCanonicalForm) {
  const auto event = decode<BatchRequested>(
      request(",\"product_count\":1,\"metadata\": { \"b\" : 1.0, \"a\" : [ null ] } "));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->metadata->text, "{\"a\":[null],\"b\":1}");
}

TEST(CodecRules, MetadataErrors) {
  const auto metadata = [](std::string_view value) {
    return request_error(",\"product_count\":1,\"metadata\":" + std::string(value));
  };
  EXPECT_EQ(metadata("[]"), "metadata must be an object, not an array");
  EXPECT_EQ(metadata("\"{}\""), "metadata must be an object, not \"{}\"");
  EXPECT_EQ(metadata("{\"a\":1,\"a\":2}"),
            "metadata cannot be taken: a is there twice: send it once");
  EXPECT_EQ(metadata("{\"a\":{\"b\":[1e400]}}"),
            "metadata cannot be taken: a.b[0] must be a number that a 64-bit float can hold, not "
            "1e400");
  EXPECT_EQ(metadata("{\"a\":\"" + std::string(16384 - 8, 'x') + "\"}"), "accepted");
  EXPECT_EQ(metadata("{\"a\":\"" + std::string(16384 - 7, 'x') + "\"}"),
            "metadata must be at most 16384 bytes long in canonical form, not 16385");
  EXPECT_EQ(metadata("{\"a\":\"x\"" + std::string(20'000, ' ') + "}"), "accepted");
}

TEST(CodecRules, NoMessageHoldsAPayload) {
  const std::string secret(100'000, 's');
  for (const std::string& json :
       {request(",\"product_count\":\"" + secret + "\""), request(",\"" + secret + "\":tru"),
        request(",\"tenant\":\"" + secret + "\""), "{\"" + secret, secret,
        request(",\"metadata\":{\"" + secret + "\":[" + secret + "]}")}) {
    EXPECT_LT(error_of<BatchRequested>(json).size(), 300U);
  }
}

TEST(CodecRules, ThreadsDoNotShareAParser) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 1; i < 2000; ++i) {
        BatchRequested event;
        event.product_count = i;
        event.name = std::string(static_cast<std::size_t>(t) + 1, static_cast<char>('a' + t));
        const auto decoded = decode<BatchRequested>(encode(event));
        ASSERT_TRUE(decoded);
        ASSERT_EQ(decoded->product_count, i);
        ASSERT_EQ(decoded->name, event.name);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Encode, WritesMembersInTheOrderOfTheDescription) {
  BatchRequested event;
  event.product_count = 7;
  event.name = "a\"\\/\x01\xe2\x82\xac";
  event.first_serial = 0;
  event.metadata = JsonObject{"{\"a\":1}"};
  EXPECT_EQ(
      encode(event),
      "{\"batch_id\":\"00000000-0000-0000-0000-000000000000\",\"product_count\":7,"
      "\"name\":\"a\\\"\\\\/\\u0001\xe2\x82\xac\",\"metadata\":{\"a\":1},\"first_serial\":0}");
}

TEST(Encode, AnObjectNeverSetIsEmpty) {
  BatchRequested event;
  event.metadata.emplace();
  EXPECT_NE(encode(event).find("\"metadata\":{}"), std::string::npos);
}

}  // namespace
}  // namespace voketag::events
