#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "processors/ingress/ingress_processor.h"
#include "processors/ingress/request_rules.h"
#include "tests/unit/processors/fake_context.h"

namespace voketag::processors {
namespace {

using events::AnchorAccepted;
using events::BatchAccepted;
using testing::FakeContext;
using ::testing::HasSubstr;
using testing::test_id;

const std::string kId = test_id(1).to_string();

class IngressTest : public ::testing::Test {
 protected:
  void request(std::optional<std::string_view> json, std::optional<std::string_view> key = kId,
               events::HeaderViews headers = {}) {
    context_.deliver_raw(ingress_, "batch-requested", key, json, std::move(headers));
  }
  std::string with(std::string_view members) const {
    return R"({"batch_id":")" + kId + R"(","product_count":1000)" + std::string(members) + "}";
  }
  void expect_refused(std::string_view reason, std::string_view detail) {
    EXPECT_TRUE(context_.emitted.empty());
    ASSERT_EQ(context_.dead_letters.size(), 1U);
    EXPECT_EQ(context_.dead_letters[0].reason, reason);
    EXPECT_THAT(context_.dead_letters[0].detail, HasSubstr(std::string(detail)));
  }

  FakeContext context_;
  IngressProcessor ingress_{IngressConfig{.signing_key_id = 7, .chunk_size = 512}};
};

TEST_F(IngressTest, TwoMembersAreEnough) {
  request(with(""));
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].topic, "batch-accepted");
  EXPECT_EQ(context_.emitted[0].key, kId);
  const auto accepted = context_.emitted[0].as<BatchAccepted>();
  EXPECT_EQ(accepted.batch_id, test_id(1));
  EXPECT_EQ(accepted.product_count, 1000);
  EXPECT_EQ(accepted.tenant, "default");
  EXPECT_EQ(accepted.first_serial, 1);
  EXPECT_EQ(accepted.key_id, 7);
  EXPECT_EQ(accepted.chunk_size, 512);
  EXPECT_EQ(accepted.requested_at, context_.time);
  EXPECT_FALSE(accepted.sku || accepted.gtin || accepted.lot || accepted.name ||
               accepted.metadata || accepted.callback_url);
}

TEST_F(IngressTest, KeepsWhatWasGiven) {
  request(with(R"(,"tenant":"acme","sku":"S1","gtin":"4006381333931","lot":"L1","name":"Pens",
    "metadata":{"b":1,"a":[true,null]},"callback_url":"https://example.org/hook?x=1",
    "first_serial":0,"something_new":{"x":1})"));
  ASSERT_EQ(context_.emitted.size(), 1U);
  const auto accepted = context_.emitted[0].as<BatchAccepted>();
  EXPECT_EQ(accepted.tenant, "acme");
  EXPECT_EQ(accepted.sku, "S1");
  EXPECT_EQ(accepted.gtin, "4006381333931");
  EXPECT_EQ(accepted.lot, "L1");
  EXPECT_EQ(accepted.name, "Pens");
  EXPECT_EQ(accepted.metadata->text, R"({"a":[true,null],"b":1})");
  EXPECT_EQ(accepted.callback_url, "https://example.org/hook?x=1");
  EXPECT_EQ(accepted.first_serial, 0);
}

TEST_F(IngressTest, AnotherKeyOrNoneIsNoError) {
  request(with(""), "something else");
  request(with(""), std::nullopt);
  ASSERT_EQ(context_.emitted.size(), 2U);
  EXPECT_EQ(context_.emitted[0].key, kId);
  EXPECT_EQ(context_.emitted[1].key, kId);
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(IngressTest, TheTopicsOwnTypeIsRead) {
  request(with(""), kId, {{"ce_type", "voketag.batch-requested.v1"}});
  EXPECT_EQ(context_.emitted.size(), 1U);
}

TEST_F(IngressTest, AnotherTypeIsADeadLetter) {
  request(with(""), kId, {{"ce_type", "voketag.batch-requested.v2"}});
  expect_refused("unknown_type", "voketag.batch-requested.v1");
}

TEST_F(IngressTest, AHeaderThatCannotBeAnAttributeIsNone) {
  const std::string too_long(257, 'x');
  request(with(""), kId, {{"ce_type", too_long}});
  request(with(""), kId, {{"ce_type", ""}});
  request(with(""), kId, {{"ce_id", too_long}, {"ce_source", too_long}, {"ce_time", too_long}});
  request(with(""), kId, {{"ce_id", "\xff\x01"}, {"traceparent", "\xff"}});
  EXPECT_EQ(context_.emitted.size(), 4U);
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(IngressTest, ATombstoneIsADeadLetter) {
  request(std::nullopt);
  expect_refused("tombstone", "no value");
}

TEST_F(IngressTest, MoreThanSixMebibytesAreADeadLetter) {
  const auto json = with(R"(,"padding":")" + std::string(6 * 1024 * 1024, 'x') + "\"");
  request(json);
  expect_refused("oversized", std::to_string(json.size()));
}

TEST_F(IngressTest, FiveMegabytesAreRead) {
  request(with(R"(,"padding":")" + std::string(5'000'000, 'x') + "\""));
  EXPECT_EQ(context_.emitted.size(), 1U);
  EXPECT_TRUE(context_.dead_letters.empty());
}

TEST_F(IngressTest, AGtinWithAWrongCheckDigitIsInvalid) {
  request(with(R"(,"gtin":"4006381333932")"));
  expect_refused("invalid", "check digit 1");
}

TEST_F(IngressTest, ACallbackToAnotherSchemeIsInvalid) {
  request(with(R"(,"callback_url":"file:///etc/passwd")"));
  expect_refused("invalid", "callback_url");
}

struct Malformed {
  const char* name;
  const char* json;
  const char* detail;
};

class IngressMalformedTest : public IngressTest, public ::testing::WithParamInterface<Malformed> {};

TEST_P(IngressMalformedTest, IsADeadLetter) {
  std::string json = GetParam().json;
  if (const auto at = json.find("ID"); at != std::string::npos) json.replace(at, 2, kId);
  request(json);
  expect_refused("malformed", GetParam().detail);
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, IngressMalformedTest,
    ::testing::Values(
        Malformed{"not_json", "hello", ""}, Malformed{"empty", "", ""},
        Malformed{"array", "[1]", ""},
        Malformed{"zero", R"({"batch_id":"ID","product_count":0})", "product_count"},
        Malformed{"negative", R"({"batch_id":"ID","product_count":-1})", "product_count"},
        Malformed{"too_many", R"({"batch_id":"ID","product_count":10000001})", "product_count"},
        Malformed{"huge", R"({"batch_id":"ID","product_count":1e99})", "product_count"},
        Malformed{"text", R"({"batch_id":"ID","product_count":"10"})", "product_count"},
        Malformed{"no_count", R"({"batch_id":"ID"})", "product_count"},
        Malformed{"no_id", R"({"product_count":10})", "batch_id"},
        Malformed{"bad_id", R"({"batch_id":"1234","product_count":10})", "batch_id"},
        Malformed{"null_id", R"({"batch_id":null,"product_count":10})", "batch_id"},
        Malformed{"utf8", "{\"batch_id\":\"ID\",\"product_count\":1,\"name\":\"\xff\"}", ""},
        Malformed{"twice", R"({"batch_id":"ID","product_count":1,"product_count":2})", ""},
        Malformed{"metadata", R"({"batch_id":"ID","product_count":1,"metadata":[]})", "metadata"},
        Malformed{"serial", R"({"batch_id":"ID","product_count":1,"first_serial":-1})",
                  "first_serial"}),
    [](const auto& test) { return test.param.name; });

RC_GTEST_FIXTURE_PROP(IngressTest, AnyBytesAreEitherAcceptedOrADeadLetter, (std::string bytes)) {
  request(bytes);
  RC_ASSERT(context_.emitted.size() + context_.dead_letters.size() == 1U);
}

TEST_F(IngressTest, AcceptsAnOutsidersAnchor) {
  const auto root = std::string(64, 'a');
  context_.deliver_raw(ingress_, "anchor-requested", std::nullopt,
                       R"({"batch_id":")" + kId + R"(","merkle_root":")" + root +
                           R"(","product_count":3,"callback_url":"http://[::1]:8080/"})");
  ASSERT_EQ(context_.emitted.size(), 1U);
  EXPECT_EQ(context_.emitted[0].topic, "anchor-accepted");
  EXPECT_EQ(context_.emitted[0].key, kId);
  const auto accepted = context_.emitted[0].as<AnchorAccepted>();
  EXPECT_EQ(accepted.origin, "external");
  EXPECT_EQ(accepted.merkle_root, testing::test_hash(0xaa));
  EXPECT_EQ(accepted.product_count, 3);
  EXPECT_EQ(accepted.requested_at, context_.time);
}

TEST_F(IngressTest, RefusesAnAnchorWithoutARoot) {
  context_.deliver_raw(ingress_, "anchor-requested", std::nullopt,
                       R"({"batch_id":")" + kId + R"(","merkle_root":"abc","product_count":3})");
  expect_refused("malformed", "merkle_root");
}

TEST(IngressConfigTest, AChunkSizeMustBeAPowerOfTwo) {
  EXPECT_THROW(IngressProcessor(IngressConfig{.chunk_size = 1000}), std::invalid_argument);
  EXPECT_THROW(IngressProcessor(IngressConfig{.chunk_size = 131'072}), std::invalid_argument);
}

// Numbers with right check digits, from GS1's public examples and real products.
TEST(GtinTest, AcceptsEveryLength) {
  for (const auto* gtin : {"96385074", "036000291452", "4006381333931", "00012345600012"}) {
    EXPECT_TRUE(check_gtin(gtin)) << gtin;
  }
}

TEST(GtinTest, RefusesOtherLengthsAndCharacters) {
  for (const auto* gtin : {"123456789", "40063813339", "400638133393X", "4006381333 31", ""}) {
    EXPECT_FALSE(check_gtin(gtin)) << gtin;
  }
}

RC_GTEST_PROP(GtinTest, EveryChangedDigitIsNoticed, ()) {
  std::string gtin = "4006381333931";
  const auto at = *rc::gen::inRange<std::size_t>(0, gtin.size());
  const auto shift = *rc::gen::inRange(1, 10);
  gtin[at] = static_cast<char>('0' + (gtin[at] - '0' + shift) % 10);
  RC_ASSERT(!check_gtin(gtin));
}

TEST(CallbackUrlTest, Accepts) {
  for (const auto* url :
       {"http://a", "https://example.org", "HTTPS://Example.org/x", "http://example.org:80/a?b=c",
        "http://127.0.0.1:65535", "http://[::1]", "https://[2001:db8::1]:443/", "http://a_b.c?d"}) {
    EXPECT_TRUE(check_callback_url(url)) << url;
  }
}

TEST(CallbackUrlTest, Refuses) {
  for (const auto* url : {"ftp://example.org",  "http://",
                          "http:///path",       "https://:80",
                          "http://a:0",         "http://a:65536",
                          "http://a:8x",        "http://a:",
                          "http://user@host/",  "http://user:pw@host",
                          "http://a b",         "http://a/\n",
                          "http://a/\x7f",      "http://[::1",
                          "http://[zz::1]/",    "http://[]/",
                          "example.org",        "javascript:alert(1)",
                          "http://a/#x",        "http://..",
                          "http://\xc3\xa4.de", "http://-a"}) {
    EXPECT_FALSE(check_callback_url(url)) << url;
  }
}

}  // namespace
}  // namespace voketag::processors
