#include "connectors/postgres/row_gatherer.h"

#include <gtest/gtest.h>

#include <array>
#include <stdexcept>
#include <string>

namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::View;

constexpr std::array kWideColumns{
    Column{"uuid", ColumnType::kUuid},           Column{"number", ColumnType::kInt64},
    Column{"text", ColumnType::kText},           Column{"time", ColumnType::kTimestamp},
    Column{"hash", ColumnType::kHash},           Column{"amount", ColumnType::kNumeric},
    Column{"status", ColumnType::kEnum, "life"}, Column{"nothing", ColumnType::kText}};
constexpr View kWide{"wide", kWideColumns};
constexpr std::array kNarrowColumns{Column{"number", ColumnType::kInt64}};
constexpr View kNarrow{"narrow", kNarrowColumns};
constexpr std::array kViews{&kWide, &kNarrow};

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<std::uint8_t>(byte) >> 4];
    text += kDigits[static_cast<std::uint8_t>(byte) & 0x0f];
  }
  return text;
}

class RowGathererTest : public ::testing::Test {
 protected:
  void narrow(std::int64_t number) {
    gatherer_.begin_row(kNarrow);
    gatherer_.int64(number);
  }
  const ViewRows& rows(std::size_t view) const { return *gatherer_.views()[view]; }
  std::string narrow_between(std::uint32_t first, std::uint32_t last) const {
    return hex(rows(1).between(first, last));
  }

  RowGatherer gatherer_{kViews};
};

// By PostgreSQL's manual: int16 fields; each int32 length and value; int32 -1 for null.
TEST_F(RowGathererTest, EncodesEveryTypeAsBinaryCopyHasIt) {
  events::Hash hash;
  hash.bytes.fill(0xab);
  gatherer_.begin_record();
  gatherer_.begin_row(kWide);
  gatherer_.uuid(*events::Uuid::parse("00112233-4455-6677-8899-aabbccddeeff"));
  gatherer_.int64(-2);
  gatherer_.text("h\xc3\xa9");
  gatherer_.timestamp({946'684'800'001});  // a millisecond into 2000
  gatherer_.hash(hash);
  gatherer_.numeric("12345.6");
  gatherer_.enumeration("young");
  gatherer_.null();
  gatherer_.end_record();
  std::string hash_digits;
  for (int i = 0; i < 32; ++i) hash_digits += "ab";
  EXPECT_EQ(hex(rows(0).bytes.view()),
            "0008"
            "00000010"
            "00112233445566778899aabbccddeeff"
            "00000008"
            "fffffffffffffffe"
            "00000003"
            "68c3a9"
            "00000008"
            "00000000000003e8"
            "00000040" +
                hex(hash_digits) +
                "0000000e"
                "0003"
                "0001"
                "0000"
                "0001"
                "0001"
                "0929"
                "1770"
                "00000005"
                "796f756e67"
                "ffffffff");
}

TEST_F(RowGathererTest, KnowsWhichBytesEveryRecordGaveRiseTo) {
  gatherer_.begin_record();
  narrow(1);
  narrow(2);
  gatherer_.begin_record();  // without rows
  gatherer_.begin_record();
  narrow(3);
  gatherer_.end_record();
  const std::string one = "0001000000080000000000000001";
  const std::string two = "0001000000080000000000000002";
  const std::string three = "0001000000080000000000000003";
  EXPECT_EQ(narrow_between(0, 3), one + two + three);
  EXPECT_EQ(narrow_between(0, 1), one + two);
  EXPECT_EQ(narrow_between(0, 2), one + two);
  EXPECT_EQ(narrow_between(1, 2), "");
  EXPECT_EQ(narrow_between(2, 3), three);
  EXPECT_EQ(gatherer_.record_count(), 3U);
}

TEST_F(RowGathererTest, ForgetsADroppedRecordInEveryView) {
  gatherer_.begin_record();
  narrow(1);
  gatherer_.begin_record();
  narrow(2);
  gatherer_.begin_row(kWide);  // dropped in the middle of a row
  gatherer_.null();
  gatherer_.drop_record();
  gatherer_.begin_record();
  narrow(3);
  gatherer_.end_record();
  EXPECT_EQ(rows(0).bytes.size(), 0U);
  EXPECT_EQ(narrow_between(0, 3), "00010000000800000000000000010001000000080000000000000003");
  EXPECT_TRUE(gatherer_.invalid().empty());
}

TEST_F(RowGathererTest, ARecordWithAValueThatHasNoFormIsInvalidAndHasNoRows) {
  for (const std::string_view amount : {"12x", "", "-", ".", "1e5", "NaN", "1.2.3", " 1"}) {
    gatherer_.clear();
    gatherer_.begin_record();
    narrow(1);
    gatherer_.begin_row(kWide);
    for (int i = 0; i < 5; ++i) gatherer_.null();
    gatherer_.numeric(amount);
    gatherer_.null();
    gatherer_.null();
    gatherer_.begin_record();
    narrow(2);
    gatherer_.end_record();
    ASSERT_EQ(gatherer_.invalid().size(), 1U) << amount;
    EXPECT_EQ(gatherer_.invalid()[0].record, 0U);
    EXPECT_EQ(rows(0).bytes.size(), 0U);
    EXPECT_EQ(narrow_between(0, 2), "0001000000080000000000000002");
  }
}

TEST_F(RowGathererTest, RefusesATimeThatPostgresCannotHold) {
  gatherer_.begin_record();
  gatherer_.begin_row(kWide);
  for (int i = 0; i < 3; ++i) gatherer_.null();
  gatherer_.timestamp({std::numeric_limits<std::int64_t>::max()});
  for (int i = 0; i < 4; ++i) gatherer_.null();
  gatherer_.end_record();
  EXPECT_EQ(gatherer_.invalid().size(), 1U);
}

TEST_F(RowGathererTest, CountsWhatItHoldsAndKeepsItsMemory) {
  EXPECT_EQ(gatherer_.bytes(), 0U);
  gatherer_.begin_record();
  narrow(1);
  gatherer_.end_record();
  EXPECT_GT(gatherer_.bytes(), 14U);
  const std::size_t capacity = rows(1).bytes.capacity();
  gatherer_.clear();
  EXPECT_EQ(gatherer_.bytes(), 0U);
  EXPECT_EQ(rows(1).bytes.capacity(), capacity);
}

TEST_F(RowGathererTest, AProjectionThatBreaksTheContractIsABug) {
  constexpr View kOther{"other", kNarrowColumns};
  gatherer_.begin_record();
  EXPECT_THROW(gatherer_.begin_row(kOther), std::logic_error);
}

}  // namespace
}  // namespace voketag::postgres
