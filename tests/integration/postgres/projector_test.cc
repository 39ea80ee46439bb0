#include "runtime/projector.h"

#include <gmock/gmock.h>

#include <array>
#include <string>

#include "connectors/postgres/postgres_view_sink.h"
#include "tests/integration/postgres/database.h"
#include "tests/unit/projector/fake_log.h"

// Projectors on a real PostgreSQL; the log is one in memory.
namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;
using runtime::FakeClock;
using runtime::FakeLog;
using runtime::Projector;
using ::testing::SizeIs;

constexpr std::array kColumns{Column{"id", ColumnType::kInt64}, Column{"name", ColumnType::kText}};
constexpr View kItems{"items", kColumns, 1, Merge::kInsert};

// "id" of the record's offset, the value as it is.
class Items final : public processors::Projection {
 public:
  std::string_view name() const override { return "items"; }
  std::vector<std::string_view> inputs() const override { return {"items"}; }
  std::span<const View* const> views() const override { return kViews; }
  events::Status project(const events::RecordView& record, processors::RowWriter& rows) override {
    rows.begin_row(kItems);
    rows.int64(record.partition * 1'000'000 + record.offset);
    rows.text(*record.value);
    return {};
  }

 private:
  static constexpr std::array kViews{&kItems};
};

class PostgresProjectorTest : public DatabaseTest {
 protected:
  struct Member {
    Member(FakeLog& log, const FakeClock& clock, Items& items)
        : sink(options(), items.views()), projector(log, items, sink, clock, {}) {}
    static PostgresViewSinkOptions options() {
      PostgresViewSinkOptions options;
      options.connection.url = database_->url();
      options.projection = "items";
      return options;
    }
    PostgresViewSink sink;
    Projector projector;
  };

  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped()) return;
    migrate_database();
    run("CREATE TABLE voketag.items (id bigint PRIMARY KEY, name text)");
  }
  void fill(FakeLog& log, int count) {
    for (int i = 0; i < count; ++i) log.append("items", 0, "item " + std::to_string(i));
  }
  static void drain(Projector& projector) {
    for (int round = 0; round < 10; ++round) {
      const auto status = projector.step(0);
      ASSERT_TRUE(status) << status.error().message;
    }
  }

  FakeClock clock_;
  Items items_;
};

// A zombie that believes to own a partition and its successor, both at work on the same records.
TEST_F(PostgresProjectorTest, OfTwoOwnersEachRecordHasItsEffectOnce) {
  FakeLog first_log;
  FakeLog second_log;
  for (FakeLog* log : {&first_log, &second_log}) {
    log->rebalances.push_back({FakeLog::Change::kAssign, {0}});
  }
  Member first(first_log, clock_, items_);
  Member second(second_log, clock_, items_);
  ASSERT_TRUE(first.projector.step(0));
  ASSERT_TRUE(second.projector.step(0));
  for (int round = 0; round < 20; ++round) {
    clock_.advance(1'000);
    fill(first_log, 7);
    fill(second_log, 7);
    ASSERT_TRUE(second.projector.step(0));
    ASSERT_TRUE(first.projector.step(0));
  }
  drain(first.projector);
  drain(second.projector);
  EXPECT_EQ(value("SELECT count(*), max(id) FROM voketag.items"), "140|139");
  EXPECT_GT(first.projector.counts().reloads, 0);
  // Rows that the other one had written were no reason for a dead letter.
  EXPECT_EQ(first_log.written.size(), 0U);
  EXPECT_EQ(second_log.written.size(), 0U);
}

TEST_F(PostgresProjectorTest, ConnectionsThatAreCutAgainAndAgainCostNothing) {
  FakeLog log;
  log.rebalances.push_back({FakeLog::Change::kAssign, {0}});
  Member member(log, clock_, items_);
  int appended = 0;
  for (int round = 0; round < 20; ++round) {
    clock_.advance(1'000);
    fill(log, 5);
    appended += 5;
    if (round % 3 == 1) {
      run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = "
          "'voketag.projector-items' AND datname = current_database()");
    }
    ASSERT_TRUE(member.projector.step(0));
  }
  drain(member.projector);
  EXPECT_EQ(value("SELECT count(*) FROM voketag.items"), std::to_string(appended));
  EXPECT_GT(member.projector.counts().reloads, 0);
}

TEST_F(PostgresProjectorTest, ABadRowAmongGoodOnesIsADeadLetter) {
  FakeLog log;
  log.rebalances.push_back({FakeLog::Change::kAssign, {0}});
  fill(log, 500);
  log.append("items", 0, std::string("a\0b", 3));
  fill(log, 500);
  Member member(log, clock_, items_);
  drain(member.projector);
  EXPECT_EQ(value("SELECT count(*) FROM voketag.items"), "1000");
  ASSERT_THAT(log.written, SizeIs(1));
  EXPECT_EQ(log.written[0].value, std::string("a\0b", 3));
}

TEST_F(PostgresProjectorTest, ASuccessorGoesOnWhereItsPredecessorCrashed) {
  for (const int round : {1, 2, 3}) {
    FakeLog log;
    log.rebalances.push_back({FakeLog::Change::kAssign, {0}});
    fill(log, 100 * round);
    Member member(log, clock_, items_);
    ASSERT_TRUE(member.projector.step(0));
    fill(log, 10);
    ASSERT_TRUE(member.projector.step(0));
    // Destroyed with rows gathered.
  }
  EXPECT_EQ(value("SELECT count(*), max(id) FROM voketag.items"), "300|299");
}

}  // namespace
}  // namespace voketag::postgres
