#include "connectors/postgres/migrations.h"

#include <gmock/gmock.h>

#include <map>
#include <string>
#include <thread>

#include "processors/views/anchors_projection.h"
#include "processors/views/batches_projection.h"
#include "processors/views/merkle_subtrees_projection.h"
#include "processors/views/products_projection.h"
#include "tests/integration/postgres/database.h"

namespace voketag::postgres {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MigrationsTest : public DatabaseTest {};

constexpr Migration kFirst{1, "first", "CREATE TABLE one (number integer)", "aaaa"};
constexpr Migration kSecond{2, "second", "CREATE TABLE two (number integer)", "bbbb"};

TEST_F(MigrationsTest, BringAnEmptyDatabaseUpAndDoNothingTheSecondTime) {
  EXPECT_EQ(*schema_version(*connection_), 0);
  const auto first = migrate(*connection_);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->from, 0);
  EXPECT_EQ(first->to, migrations().back().version);
  EXPECT_EQ(*schema_version(*connection_), first->to);

  const auto second = migrate(*connection_);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->from, first->to);
  EXPECT_EQ(second->to, first->to);
}

TEST_F(MigrationsTest, ApplyOnlyWhatIsMissing) {
  ASSERT_TRUE(migrate(*connection_, std::vector{kFirst}));
  const auto done = migrate(*connection_, std::vector{kFirst, kSecond});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->from, 1);
  EXPECT_EQ(done->to, 2);
  EXPECT_EQ(value("SELECT count(*) FROM voketag.two"), "0");
}

TEST_F(MigrationsTest, RefuseADatabaseThatIsNewer) {
  ASSERT_TRUE(migrate(*connection_, std::vector{kFirst, kSecond}));
  const auto done = migrate(*connection_, std::vector{kFirst});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kConflict);
  EXPECT_THAT(done.error().message, HasSubstr("version 2 or newer, this program knows up to 1"));
}

TEST_F(MigrationsTest, RefuseAStepThatWasAppliedWithOtherContent) {
  ASSERT_TRUE(migrate(*connection_, std::vector{kFirst}));
  Migration changed = kFirst;
  changed.checksum = "cccc";
  const auto done = migrate(*connection_, std::vector{changed, kSecond});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kConflict);
  EXPECT_EQ(*schema_version(*connection_), 1);
}

TEST_F(MigrationsTest, UndoAStepThatFails) {
  Migration broken = kSecond;
  broken.sql = "CREATE TABLE two (number integer); CREATE TABLE one (again integer)";
  const auto done = migrate(*connection_, std::vector{kFirst, broken});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("migration 2 (second) failed and was undone"));
  EXPECT_EQ(*schema_version(*connection_), 1);
  EXPECT_EQ(value("SELECT to_regclass('voketag.two') IS NULL"), "t");
  // The lock is free again.
  auto other = database_->connect();
  EXPECT_TRUE(migrate(other, std::vector{kFirst, kSecond}));
}

TEST_F(MigrationsTest, MayRunInSeveralProgramsAtOnce) {
  std::vector<std::thread> programs;
  std::vector<std::string> failures(4);
  for (auto& failure : failures) {
    programs.emplace_back([&failure] {
      auto connection = database_->connect();
      if (const auto done = migrate(connection); !done) failure = done.error().message;
    });
  }
  for (auto& program : programs) program.join();
  for (const auto& failure : failures) EXPECT_EQ(failure, "");
}

TEST_F(MigrationsTest, PutTheSchemaFirstOnTheSearchPath) {
  migrate_database();
  auto fresh = database_->connect();
  const auto schemas = fresh.execute("SELECT (current_schemas(false))[1]");
  ASSERT_TRUE(schemas);
  EXPECT_EQ(schemas->text(0, 0), "voketag");
}

TEST_F(MigrationsTest, BatchesThatHadEndedStayAsTheyEnded) {
  ASSERT_TRUE(migrate(*connection_, migrations().first(1)));
  run("INSERT INTO voketag.batches (batch_id, status, error) VALUES "
      "('00000000-0000-4000-8000-000000000001', 'completed', 'a failure before it'), "
      "('00000000-0000-4000-8000-000000000002', 'failed', 'why'), "
      "('00000000-0000-4000-8000-000000000003', 'anchoring', NULL)");
  migrate_database();
  EXPECT_EQ(value("SELECT string_agg(concat_ws(',', status, error, progress), ' ' ORDER BY "
                  "batch_id) FROM voketag.batches"),
            "completed,4611686018427387904 failed,why,4611686018427387905 anchoring");
}

TEST_F(MigrationsTest, EveryColumnThatAProjectionWritesIsThere) {
  migrate_database();
  const std::map<processors::ColumnType, std::string> types{
      {processors::ColumnType::kUuid, "uuid"},
      {processors::ColumnType::kInt64, "int8"},
      {processors::ColumnType::kText, "text"},
      {processors::ColumnType::kHash, "text"},
      {processors::ColumnType::kTimestamp, "timestamptz"},
      {processors::ColumnType::kNumeric, "numeric"}};
  processors::AnchorsProjection anchors;
  processors::BatchesProjection batches;
  processors::MerkleSubtreesProjection subtrees;
  processors::ProductsProjection products;
  for (const processors::Projection* projection :
       {static_cast<processors::Projection*>(&anchors),
        static_cast<processors::Projection*>(&batches),
        static_cast<processors::Projection*>(&subtrees),
        static_cast<processors::Projection*>(&products)}) {
    for (const processors::View* view : projection->views()) {
      for (const processors::Column& column : view->columns) {
        const bool is_enum = column.type == processors::ColumnType::kEnum;
        EXPECT_EQ(value("SELECT udt_name FROM information_schema.columns WHERE table_schema = "
                        "'voketag' AND table_name = '" +
                        std::string(view->name) + "' AND column_name = '" +
                        std::string(column.name) + "'"),
                  is_enum ? std::string(column.enum_type) : types.at(column.type))
            << view->name << '.' << column.name;
      }
    }
  }
}

TEST(ConnectionTest, NeverShowsThePassword) {
  for (const std::string url :
       {"postgresql://voketag:verysecret@127.0.0.1:1/voketag",
        "postgresql://v:verysecret@127.0.0.1:x/v", "postgresql://v:p@verysecret@127.0.0.1/v",
        "postgresql://v:verysecret@nowhere.invalid/v",
        "host=127.0.0.1 port=1 password=verysecret sslmode=nonsense"}) {
    const auto connection = Connection::open({.url = url, .connect_timeout_ms = 500});
    ASSERT_FALSE(connection);
    EXPECT_THAT(connection.error().message, Not(HasSubstr("verysecret")));
    EXPECT_THAT(connection.error().message, Not(HasSubstr("\n")));
  }
}

}  // namespace
}  // namespace voketag::postgres
