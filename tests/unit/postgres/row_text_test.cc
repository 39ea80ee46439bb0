#include "connectors/postgres/row_text.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "connectors/postgres/row_gatherer.h"

namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::View;

constexpr std::array kColumns{Column{"id", ColumnType::kUuid}, Column{"part", ColumnType::kInt64},
                              Column{"word", ColumnType::kText}, Column{"note", ColumnType::kText}};
constexpr View kThings{"things", kColumns, 3};

TEST(RowTextTest, TakesRowsApartAndNamesTheirKeys) {
  const std::array views{&kThings};
  RowGatherer gatherer(views);
  gatherer.begin_record();
  const std::array<std::string, 3> words{"plain", "", std::string(80, 'x') + "\n"};
  for (std::int64_t row = 0; row < 3; ++row) {
    gatherer.begin_row(kThings);
    gatherer.uuid(*events::Uuid::parse("01234567-89ab-4def-8123-456789abcdef"));
    gatherer.int64(row - 1);
    gatherer.text(words[static_cast<std::size_t>(row)]);
    row == 1 ? gatherer.null() : gatherer.text("not shown");
  }
  gatherer.end_record();
  const auto rows = split_rows(kThings, gatherer.views()[0]->bytes.view());
  ASSERT_EQ(rows.size(), 3U);
  const std::string id = "things id=01234567-89ab-4def-8123-456789abcdef part=";
  EXPECT_EQ(key_text(kThings, rows[0]), id + "-1 word=plain");
  EXPECT_EQ(key_text(kThings, rows[1]), id + "0 word=");
  EXPECT_EQ(key_text(kThings, rows[2]), id + "1 word=" + std::string(64, 'x') + "...");
  EXPECT_TRUE(split_rows(kThings, "").empty());
}

TEST(RowTextTest, ShowsBytesThatAreNoTextAsQuestionMarks) {
  const std::array views{&kThings};
  RowGatherer gatherer(views);
  gatherer.begin_record();
  gatherer.begin_row(kThings);
  gatherer.null();
  gatherer.int64(1);
  gatherer.text(std::string_view("a\0\xff", 3));
  gatherer.null();
  gatherer.end_record();
  EXPECT_EQ(key_text(kThings, gatherer.views()[0]->bytes.view()), "things id=null part=1 word=a??");
}

}  // namespace
}  // namespace voketag::postgres
