#include "voketag/dead_letters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <initializer_list>
#include <iterator>
#include <limits>

#include "events/codec.h"
#include "events/events.h"
#include "events/topics.h"
#include "runtime/dead_letter.h"

namespace voketag::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

// A record as it was, made a dead letter and read back.
DeadLetter round_trip(const std::optional<std::string>& key,
                      const std::optional<std::string>& value, const events::Headers& headers,
                      std::string_view processor = "ingress") {
  events::RecordView record;
  record.topic = "batch-requested";
  record.partition = 5;
  record.offset = 77;
  record.timestamp = {1'763'800'000'000};
  if (key) record.key = *key;
  if (value) record.value = *value;
  for (const auto& [name, text] : headers) record.headers.emplace_back(name, text);
  const events::OutputRecord letter =
      runtime::make_dead_letter(record, processor, "malformed", "not JSON");
  events::RecordView view;
  view.topic = letter.topic;
  view.partition = 5;
  view.offset = 3;
  view.timestamp = {1'763'800'001'000};
  if (letter.key) view.key = *letter.key;
  if (letter.value) view.value = *letter.value;
  for (const auto& [name, text] : letter.headers) view.headers.emplace_back(name, text);
  return read_dead_letter(view);
}

TEST(DeadLetterTest, RetryIsTheRecordAsItWas) {
  const events::Headers headers = {{"ce_id", "abc"}, {"x", std::string("\0\xff", 2)}};
  const DeadLetter letter = round_trip("k\xff", std::string("v\0w", 3), headers);
  EXPECT_EQ(letter.id(), "5/3");
  EXPECT_EQ(letter.reason, "malformed");
  EXPECT_EQ(letter.processor, "ingress");
  EXPECT_EQ(letter.source_offset, 77);
  const auto record = retry_record(letter, "me@host", "mended", {1'763'800'002'000});
  ASSERT_TRUE(record);
  EXPECT_EQ(record->topic, "batch-requested");
  EXPECT_EQ(record->partition, 5);
  EXPECT_EQ(record->key, "k\xff");
  EXPECT_EQ(record->value, std::string("v\0w", 3));
  EXPECT_THAT(
      record->headers,
      ElementsAre(Pair("ce_id", "abc"), Pair("x", std::string("\0\xff", 2)),
                  Pair("retry_of", "dead-letters/5/3"), Pair("retry_by", "me@host"),
                  Pair("retry_reason", "mended"), Pair("retry_at", "2025-11-22T08:26:42.000Z")));
}

TEST(DeadLetterTest, NullsStayNull) {
  const auto record = retry_record(round_trip(std::nullopt, std::nullopt, {}), "a", "b", {});
  ASSERT_TRUE(record);
  EXPECT_FALSE(record->key);
  EXPECT_FALSE(record->value);
  const auto empty = retry_record(round_trip("", "", {}), "a", "b", {});
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->key, "");
  EXPECT_EQ(empty->value, "");
}

TEST(DeadLetterTest, SecondRetryNamesTheSecond) {
  const DeadLetter letter =
      round_trip("k", "v", {{"retry_of", "dead-letters/1/1"}, {"retry_by", "before"}});
  const auto record = retry_record(letter, "now", "again", {});
  EXPECT_THAT(record->headers, Contains(Pair("retry_by", "now")));
  EXPECT_THAT(record->headers, Not(Contains(Pair("retry_by", "before"))));
}

TEST(DeadLetterTest, WhatWasCutIsNotSentAgain) {
  const DeadLetter letter =
      round_trip("k", std::string(static_cast<std::size_t>(9) << 20U, 'x'), {});
  EXPECT_TRUE(letter.cut);
  EXPECT_THAT(retry_record(letter, "a", "b", {}).error().message, HasSubstr("too large"));
}

TEST(DeadLetterTest, WhatIsTooLargeToBeReadIsNotSentAgain) {
  constexpr auto kBytesMax = static_cast<std::size_t>(events::kInputBytesMax);
  const DeadLetter letter = round_trip("k", std::string(kBytesMax + 1, 'x'), {});
  EXPECT_FALSE(letter.cut);
  EXPECT_THAT(retry_record(letter, "a", "b", {}).error().message,
              HasSubstr("6291457 bytes, and at most 6291456 are read"));
  EXPECT_FALSE(why_not_retryable(round_trip("k", std::string(kBytesMax, 'x'), {})));
}

// Sent again, its record would reach every consumer of the topic a second time.
TEST(DeadLetterTest, WhatAViewRefusedIsNotSentAgain) {
  const DeadLetter letter = round_trip("k", "v", {}, "projector-products");
  const auto record = retry_record(letter, "a", "b", {});
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, events::Errc::kInvalid);
  EXPECT_THAT(record.error().message, HasSubstr("refused by the view products alone"));
  EXPECT_THAT(record.error().message, HasSubstr("voketag replay --view products"));
  EXPECT_EQ(why_not_retryable(letter), record.error().message);
  EXPECT_FALSE(why_not_retryable(round_trip("k", "v", {}, "tokens")));
}

TEST(DeadLetterFilterTest, AllOfItMustMatch) {
  const DeadLetter letter = round_trip("k", "v", {});
  DeadLetterFilter filter;
  EXPECT_TRUE(filter.matches(letter));
  filter.topic = "batch-requested";
  filter.reason = "malformed";
  filter.processor = "ingress";
  filter.since = events::Timestamp{1'763'800'001'000};
  filter.until = events::Timestamp{1'763'800'001'001};
  EXPECT_TRUE(filter.matches(letter));
  filter.until = filter.since;
  EXPECT_FALSE(filter.matches(letter));
  filter.until.reset();
  filter.reason = "oversized";
  EXPECT_FALSE(filter.matches(letter));
}

TEST(DeadLetterFilterTest, ARangeIsOfThePlaceOfTheLetterOrOfItsRecord) {
  const DeadLetter letter = round_trip("k", "v", {});  // 5/3, of batch-requested/5/77
  DeadLetterFilter filter;
  filter.range = parse_dead_letter_range("5/1-3").value();
  EXPECT_TRUE(filter.matches(letter));
  filter.range = parse_dead_letter_range("5/4-").value();
  EXPECT_FALSE(filter.matches(letter));
  filter.range = parse_dead_letter_range("4/3").value();
  EXPECT_FALSE(filter.matches(letter));
  filter.range.reset();
  filter.source_partition = 5;
  filter.source_first_offset = 70;
  filter.source_last_offset = 77;
  EXPECT_TRUE(filter.matches(letter));
  filter.source_last_offset = 76;
  EXPECT_FALSE(filter.matches(letter));
  for (const char* bad : {"5/", "5/4-3", "5/4-x", "5/-", "4-5"}) {
    EXPECT_FALSE(parse_dead_letter_range(bad)) << bad;
  }
}

TEST(RetryRunTest, BothEventsNameTheRun) {
  const RetryRun run{"me@host", "mended", "5/1-3", {1'763'800'002'000}};
  const auto begun = retry_begun(run);
  const auto ended = retry_ended(run, 3, 1);
  EXPECT_EQ(begun.topic, "audit-recorded");
  EXPECT_EQ(begun.key, "operations");
  EXPECT_EQ(begun.partition, ended.partition);
  const auto first = events::decode<events::AuditRecorded>(*begun.value);
  const auto second = events::decode<events::AuditRecorded>(*ended.value);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->action, "dead-letters-retry");
  EXPECT_EQ(first->phase, "begun");
  EXPECT_EQ(first->actor, "me@host");
  EXPECT_EQ(first->reason, "mended");
  EXPECT_EQ(first->selection, "5/1-3");
  EXPECT_EQ(first->at, run.at);
  EXPECT_FALSE(first->sent || first->skipped);
  EXPECT_EQ(second->phase, "ended");
  EXPECT_EQ(second->run_id, first->run_id);
  EXPECT_EQ(second->sent, 3);
  EXPECT_EQ(second->skipped, 1);
  EXPECT_THAT(begun.headers, Contains(Pair("ce_type", "voketag.audit-recorded.v1")));
  EXPECT_NE(begun.headers, ended.headers) << "each has an id of its own";
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(VOKETAG_SOURCE_DIR "/schemas/golden/" + path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(RetryRunTest, IsTheGoldenRecord) {
  const auto event = events::decode<events::AuditRecorded>(bytes_of("audit-recorded.json"));
  ASSERT_TRUE(event) << event.error().message;
  const auto record = retry_ended({event->actor, event->reason, event->selection, event->at}, 1, 0);
  EXPECT_EQ(record.value, bytes_of("audit-recorded.json"));
  std::string head = "key: " + *record.key + "\n";
  for (const auto& [name, value] : record.headers) head += name + ": " + value + "\n";
  EXPECT_EQ(head, bytes_of("audit-recorded.headers"));
}

TEST(DeadLetterRangeTest, EachIsNamedOnce) {
  const auto apart = [](std::initializer_list<const char*> texts) {
    std::vector<DeadLetterRange> ranges;
    for (const char* text : texts) ranges.push_back(parse_dead_letter_range(text).value());
    std::string result;
    for (const auto& range : merged(std::move(ranges))) {
      result += std::to_string(range.partition) + "/" + std::to_string(range.first_offset) + "-" +
                std::to_string(range.last_offset) + " ";
    }
    return result;
  };
  EXPECT_EQ(apart({"3/5", "3/5"}), "3/5-5 ");
  EXPECT_EQ(apart({"4/1", "3/120-180", "3/150-200", "3/7"}), "3/7-7 3/120-200 4/1-1 ");
  EXPECT_EQ(apart({"3/1-9", "3/2-3", "3/10"}), "3/1-9 3/10-10 ");
  EXPECT_EQ(apart({"3/8-", "3/9", "4/8"}),
            "3/8-" + std::to_string(std::numeric_limits<std::int64_t>::max()) + " 4/8-8 ");
}

TEST(DeadLetterIdTest, IsPartitionAndOffset) {
  EXPECT_EQ(parse_dead_letter_id("3/120")->offset, 120);
  for (const char* bad : {"", "3", "3/", "/4", "-1/4", "3/-4", "3/4/5", "a/b", "3/4x"}) {
    EXPECT_FALSE(parse_dead_letter_id(bad)) << bad;
  }
}

}  // namespace
}  // namespace voketag::cli
