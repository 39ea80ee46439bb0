#include "events/timestamp.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <string_view>

namespace voketag::events {
namespace {

constexpr std::int64_t kMsOfYear10000 = 253402300800000;

std::int64_t ms(std::string_view text) {
  const auto time = Timestamp::parse(text);
  EXPECT_TRUE(time) << text;
  return time ? time->ms : -1;
}

TEST(Timestamp, KnownInstants) {
  EXPECT_EQ(ms("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ms("2001-09-09T01:46:40Z"), 1000000000000);
  EXPECT_EQ(ms("2000-02-29T12:00:00Z"), 951825600000);
  EXPECT_EQ(ms("9999-12-31T23:59:59.999Z"), kMsOfYear10000 - 1);
  EXPECT_EQ(Timestamp{1795356309123}.to_string(), "2026-11-22T14:05:09.123Z");
  EXPECT_EQ(Timestamp{0}.to_string(), "1970-01-01T00:00:00.000Z");
}

TEST(Timestamp, OffsetsFractionsAndLetters) {
  const std::int64_t at = ms("2026-11-22T14:05:09.120Z");
  for (const std::string_view text :
       {"2026-11-22T14:05:09.12Z", "2026-11-22t14:05:09.12z", "2026-11-22 14:05:09.12Z",
        "2026-11-22T15:05:09.120999999+01:00", "2026-11-22T04:35:09.12-09:30",
        "2026-11-23T00:05:09.12+10:00", "2026-11-22T14:05:09.12-00:00"}) {
    EXPECT_EQ(ms(text), at) << text;
  }
  EXPECT_EQ(ms("2016-12-31T23:59:60Z"), ms("2017-01-01T00:00:00Z"));
}

TEST(Timestamp, Refusals) {
  for (const std::string_view text : {"",
                                      "2026-11-22",
                                      "2026-11-22T14:05:09",
                                      "2026-11-22T14:05Z",
                                      "2026-11-22T14:05:09.Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2026-01-32T00:00:00Z",
                                      "2026-11-22T24:00:00Z",
                                      "2026-11-22T14:60:00Z",
                                      "2026-11-22T14:05:61Z",
                                      "2026-11-22T14:05:09+1:00",
                                      "2026-11-22T14:05:09+24:00",
                                      "2026-11-22T14:05:09Z ",
                                      " 2026-11-22T14:05:09Z",
                                      "1969-12-31T23:59:59Z",
                                      "2026-11-22T14:05:09,5Z",
                                      "20261122T140509Z",
                                      "2026-11-22T14:05:09 Z",
                                      "1970-01-01T00:00:00+00:01"}) {
    EXPECT_FALSE(Timestamp::parse(text)) << text;
  }
}

RC_GTEST_PROP(Timestamp, TextReadsBack, ()) {
  const Timestamp time{*rc::gen::inRange<std::int64_t>(0, kMsOfYear10000)};
  RC_ASSERT(Timestamp::parse(time.to_string()) == time);
}

RC_GTEST_PROP(Timestamp, TextsSortAsTimes, ()) {
  const Timestamp a{*rc::gen::inRange<std::int64_t>(0, kMsOfYear10000)};
  const Timestamp b{*rc::gen::inRange<std::int64_t>(0, kMsOfYear10000)};
  RC_ASSERT((a < b) == (a.to_string() < b.to_string()));
}

RC_GTEST_PROP(Timestamp, AnyBytesAreTakenOrRefused, (const std::string& text)) {
  const auto time = Timestamp::parse(text);
  if (time) RC_ASSERT(Timestamp::parse(time->to_string()) == time);
}

}  // namespace
}  // namespace voketag::events
