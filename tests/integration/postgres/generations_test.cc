#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <future>
#include <span>
#include <string>
#include <thread>

#include "connectors/postgres/generation_swap.h"
#include "connectors/postgres/view_generations.h"
#include "tests/integration/postgres/cutting_proxy.h"
#include "tests/integration/postgres/database.h"

// A generation beside the live one, and the swap, where something goes wrong: what readers and
// projectors meet then, and what is said.
namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::array kItemColumns{Column{"id", ColumnType::kInt64},
                                  Column{"name", ColumnType::kText}};
constexpr View kItems{"items", kItemColumns, 1, Merge::kInsert};
constexpr std::array kWordColumns{Column{"word", ColumnType::kText}};
constexpr View kWords{"words", kWordColumns, 1, Merge::kUpsert};
constexpr std::array kViews{&kItems, &kWords};
const std::array kPartitions{runtime::TopicPartition{"items", 0}};
constexpr std::int32_t kBuilt = 2;

class GenerationsTest : public DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped()) return;
    migrate_database();
    run("CREATE TABLE voketag.items (id bigint PRIMARY KEY, name text);"
        "CREATE TABLE voketag.words (word text PRIMARY KEY);"
        "INSERT INTO voketag.items SELECT n, 'name' FROM generate_series(1, 100) AS n;"
        "INSERT INTO voketag.words VALUES ('one'), ('two');"
        "INSERT INTO voketag.projection_positions"
        " (projection, generation, topic, partition, next_offset)"
        " VALUES ('items', 1, 'items', 0, 100)");
  }

  // As `voketag replay` opens them; the port is that of a proxy.
  static ViewGenerations open(int port = 0, int lock_timeout_ms = 3'000) {
    auto opened = ViewGenerations::open(
        {.url = database_->url(port), .lock_timeout_ms = lock_timeout_ms}, "items", kViews);
    if (!opened) throw std::runtime_error(opened.error().message);
    return *std::move(opened);
  }
  // A second generation that stands where the live one does.
  void build(ViewGenerations& generations) {
    const auto begun = generations.begin({"beginning", false, "test", {{"items", 0, 0}}});
    ASSERT_TRUE(begun) << begun.error().message;
    ASSERT_EQ(begun->number, kBuilt);
    run("INSERT INTO voketag.items_g2 SELECT * FROM voketag.items;"
        "INSERT INTO voketag.words_g2 SELECT * FROM voketag.words;"
        "UPDATE voketag.projection_positions SET next_offset = 100 WHERE generation = 2");
    const auto indexed = generations.create_indexes(kBuilt);
    ASSERT_TRUE(indexed) << indexed.error().message;
  }
  std::string live_generation() { return value("SELECT voketag.live_generation('items')"); }

  // A session of somebody else.
  static Connection session(const std::string& name, int lock_timeout_ms = 3'000) {
    auto opened = Connection::open(
        {.url = database_->url(), .application_name = name, .lock_timeout_ms = lock_timeout_ms});
    if (!opened) throw std::runtime_error(opened.error().message);
    return *std::move(opened);
  }
  static void run_on(Connection& connection, const std::string& sql) {
    const auto done = connection.execute(sql);
    ASSERT_TRUE(done) << sql << ": " << done.error().message;
  }

  // Asks again and again until the answer is this.
  void await(const std::string& wanted, const std::string& sql) {
    const Watch waited;
    while (value(sql) != wanted) {
      ASSERT_LT(waited.ms(), 20'000) << sql;
      std::this_thread::sleep_for(milliseconds(10));
    }
  }

  class Watch {
   public:
    std::int64_t ms() const { return steady_now_ms() - began_ms_; }

   private:
    const std::int64_t began_ms_ = steady_now_ms();
  };
};

// ---- what is built -----------------------------------------------------------------------------

TEST_F(GenerationsTest, PartitionsWouldBeLostSoAPartitionedViewIsRefused) {
  auto generations = open();
  EXPECT_EQ(*generations.why_not_replaceable(), "");
  run("ALTER TABLE voketag.items RENAME TO old;"
      "CREATE TABLE voketag.items (id bigint, name text) PARTITION BY RANGE (id)");
  EXPECT_THAT(*generations.why_not_replaceable(), HasSubstr("voketag.items is partitioned"));
  run("DROP TABLE voketag.items; CREATE TABLE voketag.whole (id bigint, name text)"
      " PARTITION BY RANGE (id);"
      "CREATE TABLE voketag.items PARTITION OF voketag.whole FOR VALUES FROM (0) TO (1000)");
  EXPECT_THAT(*generations.why_not_replaceable(), HasSubstr("docs/replay.md"));
  run("DROP TABLE voketag.whole; ALTER TABLE voketag.old RENAME TO items;"
      "CREATE TABLE voketag.child () INHERITS (voketag.items)");
  EXPECT_THAT(*generations.why_not_replaceable(), HasSubstr("voketag.items is partitioned"));
}

TEST_F(GenerationsTest, TablesAndIndexesLieInTheTablespacesOfTheLiveOnes) {
  const std::string space = "generations_test_" + std::to_string(::getpid());
  run("SET allow_in_place_tablespaces = on");
  run("CREATE TABLESPACE " + space + " LOCATION ''");
  run("CREATE INDEX by_name ON voketag.items (name) TABLESPACE " + space +
      "; ALTER TABLE voketag.words SET TABLESPACE " + space);
  {
    auto generations = open();
    build(generations);
    EXPECT_EQ(value("SELECT string_agg(relname || ' ' || coalesce(spcname, 'default'), ', '"
                    "                  ORDER BY relname)"
                    "  FROM pg_class LEFT JOIN pg_tablespace space ON space.oid = reltablespace"
                    " WHERE relname IN ('items_g2', 'items_pkey_g2', 'by_name_g2', 'words_g2',"
                    "                   'words_pkey_g2')"),
              "by_name_g2 " + space + ", items_g2 default, items_pkey_g2 default, words_g2 " +
                  space + ", words_pkey_g2 default");
  }
  run("DROP SCHEMA voketag CASCADE");
  run("DROP TABLESPACE " + space);
}

TEST_F(GenerationsTest, WhoLosesTheLocksConnectionDoesNotWaitForALongStatement) {
  auto generations = open(0, 600'000);
  build(generations);
  Connection blocker = session("blocker");
  run_on(blocker, "BEGIN; LOCK TABLE voketag.items_g2");
  const Watch waited;
  const auto done = generations.run_long([&] { return generations.analyze(kBuilt); },
                                         [&] {
                                           run("SELECT pg_terminate_backend(pid, 5000)"
                                               "  FROM pg_stat_activity WHERE application_name ="
                                               "       'voketag.replay-control-items'");
                                           return false;
                                         });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kTimeout);
  EXPECT_LT(waited.ms(), 10'000);
  // The server notices that nobody waits for its answer any more.
  await("0",
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'voketag.replay-items'"
        "   AND datname = current_database()");
}

// ---- equal offsets -----------------------------------------------------------------------------

TEST_F(GenerationsTest, WhoKeepsTheViewFromStandingStillIsNamed) {
  auto generations = open();
  build(generations);
  Connection reader = session("a-reader");
  run_on(reader, "BEGIN; SELECT count(*) FROM voketag.items");
  for (const char* writes :
       {"INSERT INTO voketag.items VALUES (1000, 'mine')",
        "SELECT 1 FROM voketag.projection_positions WHERE projection = 'items' FOR UPDATE"}) {
    Connection writer = session("a-writer");
    run_on(writer, std::string("BEGIN; ") + writes);
    const auto frozen = generations.freeze(kPartitions);
    ASSERT_FALSE(frozen);
    EXPECT_EQ(frozen.error().code, events::Errc::kUnavailable);
    EXPECT_THAT(frozen.error().message, HasSubstr("lock timeout"));
    EXPECT_THAT(frozen.error().message, HasSubstr("(a-writer, since "));
    EXPECT_THAT(frozen.error().message, Not(HasSubstr("a-reader")));
  }
  EXPECT_TRUE(generations.freeze(kPartitions));
}

// ---- the swap ----------------------------------------------------------------------------------

TEST_F(GenerationsTest, AProcessThatStopsWithTheTablesLockedKeepsReadersOutForASecond) {
  auto generations = open();
  build(generations);
  Connection frozen = session("voketag.replay-items");
  Connection control = session("voketag.replay-control-items");
  run_on(frozen, "BEGIN; LOCK TABLE voketag.items, voketag.words IN SHARE ROW EXCLUSIVE MODE");
  const auto locked = swap_generations(frozen, control,
                                       {.projection = "items",
                                        .views = kViews,
                                        .retired = 1,
                                        .generation = kBuilt,
                                        .lock_timeout_ms = 500});
  ASSERT_TRUE(locked) << locked.error().message;
  // And its COMMIT does not come.
  const Watch waited;
  EXPECT_EQ(value("SELECT count(*) FROM voketag.items"), "100");
  EXPECT_LT(waited.ms(), 2'500);
  EXPECT_EQ(live_generation(), "1");
  EXPECT_EQ(value("SELECT to_regclass('voketag.items_g2') IS NOT NULL"), "t");
}

TEST_F(GenerationsTest, ASwapWaitsNoLongerThanItsTimeoutInAll) {
  auto generations = open();
  build(generations);
  Connection snapshot = session("an-old-snapshot");
  run_on(snapshot, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  Connection reader = session("a-reader");
  run_on(reader, "BEGIN; SELECT count(*) FROM voketag.words");
  ASSERT_TRUE(generations.freeze(kPartitions));
  const Watch waited;
  auto swapped =
      std::async(std::launch::async, [&] { return generations.swap(kBuilt, 2'000, false); });
  std::this_thread::sleep_for(milliseconds(1'500));
  run_on(snapshot, "COMMIT");
  const auto refused = swapped.get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, events::Errc::kConflict);
  EXPECT_THAT(refused.error().message,
              HasSubstr("a reader holds the view for longer than 2000 ms: process "));
  EXPECT_THAT(refused.error().message, HasSubstr(" (a-reader, since "));
  EXPECT_GE(waited.ms(), 2'000);
  EXPECT_LT(waited.ms(), 3'000);
  EXPECT_EQ(live_generation(), "1");

  // When they are gone it is done.
  run_on(reader, "COMMIT");
  ASSERT_TRUE(generations.freeze(kPartitions));
  const auto done = generations.swap(kBuilt, 500, false);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(live_generation(), "2");
  EXPECT_EQ(value("SELECT to_regclass('voketag.items_g1') IS NOT NULL"), "t");
}

// The reader asks for the first table while the swap still waits for it, so that it waits longer
// than the swap does when both wait for each other: PostgreSQL would end the reader.
TEST_F(GenerationsTest, AReaderOfSeveralTablesIsNotSacrificedToASwap) {
  auto generations = open();
  build(generations);
  Connection first = session("the-first-reader");
  run_on(first, "BEGIN; SELECT count(*) FROM voketag.items");
  Connection reader = session("a-reader", 10'000);
  run_on(reader, "BEGIN; SELECT count(*) FROM voketag.words");
  ASSERT_TRUE(generations.freeze(kPartitions));
  auto swapped =
      std::async(std::launch::async, [&] { return generations.swap(kBuilt, 3'000, false); });
  await("1",
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        "   AND relation = 'voketag.items'::regclass");
  const Watch waited;
  auto asked = std::async(std::launch::async,
                          [&] { return reader.execute("SELECT count(*) FROM voketag.items"); });
  std::this_thread::sleep_for(milliseconds(500));
  run_on(first, "COMMIT");
  const auto read = asked.get();
  EXPECT_TRUE(read) << read.error().message;
  EXPECT_LT(waited.ms(), 2'000);
  const auto refused = swapped.get();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("a-reader"));
  EXPECT_EQ(live_generation(), "1");
}

// The answer to the swap's COMMIT is lost.
class LostCommitTest : public GenerationsTest {
 protected:
  events::Result<ViewGenerations::Swapped> swap_through(CuttingProxy::Cut cut) {
    auto builder = open();
    build(builder);
    // COMMIT takes a while.
    run("CREATE FUNCTION voketag.linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER lingers AFTER UPDATE ON voketag.projection_generations"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'live')"
        " EXECUTE FUNCTION voketag.linger()");
    CuttingProxy proxy(database_->port(), cut);
    auto generations = open(proxy.port());
    const auto frozen = generations.freeze(kPartitions);
    if (!frozen) return tl::unexpected(frozen.error());
    auto swapped = generations.swap(kBuilt, 500, false);
    EXPECT_TRUE(proxy.has_cut());
    return swapped;
  }
};

TEST_F(LostCommitTest, WhatCameOfItIsAskedWhenTheServerIsDone) {
  const auto swapped = swap_through(CuttingProxy::Cut::kDuringCommit);
  ASSERT_TRUE(swapped) << swapped.error().message;
  EXPECT_EQ(swapped->retired, 1);
  EXPECT_EQ(live_generation(), "2");
}

TEST_F(LostCommitTest, ItWasDone) {
  EXPECT_TRUE(swap_through(CuttingProxy::Cut::kAfterCommit));
  EXPECT_EQ(live_generation(), "2");
}

TEST_F(LostCommitTest, ItNeverCame) {
  const auto swapped = swap_through(CuttingProxy::Cut::kBeforeCommit);
  ASSERT_FALSE(swapped);
  EXPECT_EQ(swapped.error().code, events::Errc::kUnavailable);
  EXPECT_EQ(live_generation(), "1");
}

}  // namespace
}  // namespace voketag::postgres
