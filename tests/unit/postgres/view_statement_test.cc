#include "connectors/postgres/view_statement.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "connectors/postgres/row_gatherer.h"

namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;

constexpr std::array kColumns{Column{"id", ColumnType::kInt64}, Column{"name", ColumnType::kText},
                              Column{"status", ColumnType::kEnum, "life"},
                              Column{"changed", ColumnType::kInt64, {}, true}};
constexpr View kLives{"lives", kColumns, 1, Merge::kUpsert};
constexpr View kInserted{"lives", kColumns, 1, Merge::kInsert};

const EnumTypes kEnums{{"life", {4711, {{"young", 0}, {"old", 1}, {"ancient", 2}}}}};

struct Life {
  std::int64_t id = 0;
  std::optional<std::string> name;
  std::optional<std::string> status;
  std::optional<std::int64_t> changed;
  auto operator<=>(const Life&) const = default;
};

std::string encode(const View& view, const std::vector<Life>& lives) {
  const std::array views{&view};
  RowGatherer gatherer(views);
  for (const Life& life : lives) {
    gatherer.begin_record();
    gatherer.begin_row(view);
    gatherer.int64(life.id);
    life.name ? gatherer.text(*life.name) : gatherer.null();
    life.status ? gatherer.enumeration(*life.status) : gatherer.null();
    life.changed ? gatherer.int64(*life.changed) : gatherer.null();
  }
  gatherer.end_record();
  return std::string(gatherer.views()[0]->bytes.view());
}

std::int32_t word(std::string_view bytes, std::size_t at) {
  return static_cast<std::int32_t>(ByteBuffer::load32(bytes.data() + at));
}

// The elements of a binary array, after its header of 20 bytes.
std::vector<std::optional<std::string>> elements(std::string_view array) {
  std::vector<std::optional<std::string>> result;
  for (std::size_t at = 20; at < array.size();) {
    const std::int32_t length = word(array, at);
    at += 4;
    if (length < 0) {
      result.emplace_back();
      continue;
    }
    result.emplace_back(std::string(array.substr(at, static_cast<std::size_t>(length))));
    at += static_cast<std::size_t>(length);
  }
  return result;
}

std::vector<Life> decode(const ViewArrays& arrays) {
  const auto parameters = arrays.parameters();
  const auto number = [](const std::string& bytes) {
    return static_cast<std::int64_t>(ByteBuffer::load64(bytes.data()));
  };
  std::vector<Life> lives(arrays.row_count());
  for (std::size_t row = 0; row < lives.size(); ++row) {
    lives[row].id = number(*elements(*parameters[0])[row]);
    lives[row].name = elements(*parameters[1])[row];
    lives[row].status = elements(*parameters[2])[row];
    if (const auto changed = elements(*parameters[3])[row]) lives[row].changed = number(*changed);
  }
  return lives;
}

TEST(ViewArraysTest, HaveTheHeaderOfABinaryArray) {
  const std::string rows = encode(kInserted, {{1, "a", "young", 1}, {2, std::nullopt, "old", 2}});
  const ViewArrays arrays(kInserted, kEnums, rows);
  const auto parameters = arrays.parameters();
  ASSERT_EQ(parameters.size(), 4U);
  const std::array<std::int32_t, 4> types{20, 25, 4711, 20};
  for (std::size_t column = 0; column < 4; ++column) {
    EXPECT_EQ(word(*parameters[column], 0), 1);                    // one dimension
    EXPECT_EQ(word(*parameters[column], 4), column == 1 ? 1 : 0);  // nulls
    EXPECT_EQ(word(*parameters[column], 8), types[column]);
    EXPECT_EQ(word(*parameters[column], 12), 2);  // elements
    EXPECT_EQ(word(*parameters[column], 16), 1);  // first index
  }
}

TEST(ViewArraysTest, KeepRowsOfAnInsertViewAsTheyAre) {
  const std::vector<Life> lives{{2, "b", "old", 1}, {1, "a", "young", 1}, {2, "b", "old", 1}};
  const std::string rows = encode(kInserted, lives);
  EXPECT_EQ(decode(ViewArrays(kInserted, kEnums, rows)), lives);
}

TEST(ViewArraysTest, MergeRowsOfAKeyColumnByColumn) {
  const std::string rows = encode(kLives, {{2, "first", "old", std::nullopt},
                                           {1, std::nullopt, std::nullopt, 5},
                                           {2, "second", "young", 9},
                                           {1, "late", "young", 4},
                                           {2, std::nullopt, "ancient", 7}});
  const std::vector<Life> merged{{1, "late", "young", 5}, {2, "first", "ancient", 9}};
  EXPECT_EQ(decode(ViewArrays(kLives, kEnums, rows)), merged);
}

TEST(ViewArraysTest, ALabelThatTheTypeDoesNotHaveReachesTheDatabase) {
  const std::string rows =
      encode(kLives, {{1, "a", "ancient", 1}, {1, "a", "unheard of", 1}, {1, "a", "old", 1}});
  EXPECT_EQ(decode(ViewArrays(kLives, kEnums, rows)).front().status, "unheard of");
}

// Of several values of a column that is not `greatest` the first stays: so the projections give one
// value only, and then any order gives the same row.
RC_GTEST_PROP(ViewArraysTest, MergeToTheSameRowsInAnyOrder, ()) {
  const std::array<std::string, 3> labels{"young", "old", "ancient"};
  std::vector<Life> lives;
  for (int i = *rc::gen::inRange(0, 40); i > 0; --i) {
    Life life;
    life.id = *rc::gen::inRange(-3, 4);
    if (*rc::gen::arbitrary<bool>()) life.name = "name of " + std::to_string(life.id);
    if (*rc::gen::arbitrary<bool>()) {
      life.status = labels[static_cast<std::size_t>(*rc::gen::inRange(0, 3))];
    }
    if (*rc::gen::arbitrary<bool>()) life.changed = *rc::gen::inRange(-9, 10);
    lives.push_back(life);
  }
  const std::string rows = encode(kLives, lives);
  const auto expected = decode(ViewArrays(kLives, kEnums, rows));
  // Fisher-Yates, so that a failing case can be shrunk and shown again.
  for (std::size_t i = lives.size(); i > 1; --i) {
    std::swap(lives[i - 1], lives[*rc::gen::inRange<std::size_t>(0, i)]);
  }
  const std::string shuffled = encode(kLives, lives);
  RC_ASSERT(decode(ViewArrays(kLives, kEnums, shuffled)) == expected);
}

// ---- columns that another decides
// ----------------------------------------------------------------

constexpr std::array kDecidedColumns{Column{"id", ColumnType::kInt64},
                                     Column{"name", ColumnType::kText, {}, false, "changed"},
                                     Column{"status", ColumnType::kEnum, "life", false, "changed"},
                                     Column{"changed", ColumnType::kInt64, {}, true}};
constexpr View kDecided{"lives", kDecidedColumns, 1, Merge::kUpsert};

TEST(ViewArraysTest, TheRowThatIsLaterGivesAllThatItDecides) {
  const std::string rows = encode(kDecided, {{1, "old", "ancient", 5},
                                             {1, std::nullopt, "young", 7},
                                             {1, "older", "ancient", 6},
                                             {2, "none", "old", std::nullopt},
                                             {2, "some", std::nullopt, 0},
                                             {3, std::nullopt, "young", 4},
                                             {3, "joined", "old", 4}});
  const std::vector<Life> merged{
      {1, std::nullopt, "young", 7}, {2, "some", std::nullopt, 0}, {3, "joined", "old", 4}};
  EXPECT_EQ(decode(ViewArrays(kDecided, kEnums, rows)), merged);
}

TEST(ViewStatementTest, ADecidedColumnFollowsTheLaterRow) {
  const std::string sql = insert_sql(kDecided);
  EXPECT_NE(
      sql.find("name = CASE WHEN (excluded.changed > existing.changed OR (existing.changed IS "
               "NULL AND excluded.changed IS NOT NULL)) THEN excluded.name WHEN "
               "excluded.changed IS NOT DISTINCT FROM existing.changed THEN "
               "COALESCE(existing.name, excluded.name) ELSE existing.name END"),
      std::string::npos)
      << sql;
}

TEST(ViewStatementTest, WhatDecidesMustGrow) {
  static constexpr std::array kWrong{Column{"id", ColumnType::kInt64},
                                     Column{"name", ColumnType::kText, {}, false, "id"}};
  static constexpr View kView{"lives", kWrong, 1, Merge::kUpsert};
  EXPECT_THROW(insert_sql(kView), std::logic_error);
}

TEST(ViewStatementTest, MergesByTheRuleAndLeavesUnchangedRowsAlone) {
  EXPECT_EQ(
      insert_sql(kLives),
      "INSERT INTO voketag.lives AS existing (id, name, status, changed) SELECT * FROM "
      "unnest($1::bigint[], $2::text[], $3::voketag.life[], $4::bigint[]) ON CONFLICT (id) DO "
      "UPDATE SET name = COALESCE(existing.name, excluded.name), status = "
      "GREATEST(existing.status, excluded.status), changed = GREATEST(existing.changed, "
      "excluded.changed) WHERE (existing.name IS NULL AND excluded.name IS NOT NULL) OR "
      "(existing.status IS NULL AND excluded.status IS NOT NULL) OR excluded.status > "
      "existing.status OR (existing.changed IS NULL AND excluded.changed IS NOT NULL) OR "
      "excluded.changed > existing.changed");
  EXPECT_EQ(copy_sql(kInserted),
            "COPY voketag.lives (id, name, status, changed) FROM STDIN (FORMAT binary)");
}

}  // namespace
}  // namespace voketag::postgres
