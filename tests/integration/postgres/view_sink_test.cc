#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "connectors/postgres/postgres_view_sink.h"
#include "tests/integration/postgres/cutting_proxy.h"
#include "tests/integration/postgres/database.h"

namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;
using runtime::TopicPartition;
using runtime::ViewSink;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::array kItemColumns{Column{"id", ColumnType::kInt64},
                                  Column{"name", ColumnType::kText}};
constexpr View kItems{"items", kItemColumns, 1, Merge::kInsert};
constexpr std::array kNoteColumns{Column{"id", ColumnType::kInt64},
                                  Column{"note", ColumnType::kText}};
constexpr View kNotes{"notes", kNoteColumns, 1, Merge::kInsert};
constexpr std::array kLifeColumns{
    Column{"id", ColumnType::kInt64}, Column{"name", ColumnType::kText},
    Column{"status", ColumnType::kEnum, "life"}, Column{"changed", ColumnType::kInt64, {}, true}};
constexpr View kLives{"lives", kLifeColumns, 1, Merge::kUpsert};
constexpr std::array kViews{&kItems, &kNotes, &kLives};

const TopicPartition kPartition{"topic", 3};

// Remembers what it is told, and may refuse to be told.
struct Rejects : ViewSink::RejectHandler {
  std::vector<std::int64_t> offsets;
  std::vector<std::string> details;
  std::function<events::Status()> when_told = [] { return events::Status{}; };

  events::Status on_rejected(std::span<const ViewSink::Rejected> rejected) override {
    for (const auto& record : rejected) {
      offsets.push_back(record.offset);
      details.push_back(record.detail);
    }
    std::sort(offsets.begin(), offsets.end());
    return when_told();
  }
};

class ViewSinkTest : public DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped()) return;
    migrate_database();
    run("CREATE TYPE voketag.life AS ENUM ('unborn', 'young', 'old')");
    run("CREATE TABLE voketag.items (id bigint PRIMARY KEY, name text NOT NULL)");
    run("CREATE TABLE voketag.notes (id bigint PRIMARY KEY, note text)");
    run("CREATE TABLE voketag.lives (id bigint PRIMARY KEY, name text, status voketag.life, "
        "changed bigint)");
  }

  PostgresViewSinkOptions options() {
    PostgresViewSinkOptions options;
    options.connection.url = database_->url();
    options.connection.lock_timeout_ms = 1'000;
    options.projection = "test";
    return options;
  }

  static void item(ViewSink& sink, std::int64_t offset, std::int64_t id, std::string_view name) {
    sink.begin_record(kPartition, offset);
    sink.rows().begin_row(kItems);
    sink.rows().int64(id);
    sink.rows().text(name);
  }
  static std::vector<ViewSink::Advance> advance(std::int64_t from, std::int64_t to) {
    return {{kPartition, from, to}};
  }
  static std::int64_t position(ViewSink& sink) {
    const auto positions = sink.positions(std::array{kPartition});
    return positions ? positions->front() : -1;
  }
  // Ends what the server still does for a client that has left: it might yet commit.
  void end_writers() {
    run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = "
        "'voketag.projector-test' AND datname = current_database()");
  }
  std::string item_count() { return value("SELECT count(*) FROM voketag.items"); }
};

// ---- the usual way --------------------------------------------------------------------------

TEST_F(ViewSinkTest, RowsAndPositionsAppearTogether) {
  PostgresViewSink sink(options(), kViews);
  EXPECT_EQ(position(sink), 0);
  item(sink, 7, 1, "one");
  item(sink, 8, 2, "two");
  EXPECT_EQ(item_count(), "0");
  Rejects rejects;
  const auto done = sink.commit(advance(0, 9), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(rows("SELECT * FROM voketag.items ORDER BY id"), ElementsAre("1|one", "2|two"));
  EXPECT_EQ(position(sink), 9);
  EXPECT_EQ(sink.gathered_bytes(), 0U);
  PostgresViewSink other(options(), kViews);
  EXPECT_EQ(position(other), 9);
}

TEST_F(ViewSinkTest, PositionsAreOfOneProjectionAndGeneration) {
  PostgresViewSink sink(options(), kViews);
  Rejects rejects;
  ASSERT_TRUE(sink.commit(advance(0, 5), rejects));
  auto next_generation = options();
  next_generation.generation = 2;
  PostgresViewSink other(next_generation, kViews);
  EXPECT_EQ(position(other), 0);
  const auto nobody_builds_it = other.commit(advance(0, 2), rejects);
  ASSERT_FALSE(nobody_builds_it);
  EXPECT_EQ(nobody_builds_it.error().code, events::Errc::kFenced);
  const std::string insert =
      "INSERT INTO voketag.projection_generations (projection, generation, state) VALUES ";
  run(insert + "('test', 1, 'live'), ('test', 2, 'building')");
  ASSERT_TRUE(other.commit(advance(0, 2), rejects));
  EXPECT_EQ(position(sink), 5);
}

TEST_F(ViewSinkTest, AWriterOfTheReplacedGenerationIsFencedAndGoesOnWithTheNewOne) {
  PostgresViewSink sink(options(), kViews);
  EXPECT_EQ(position(sink), 0);
  Rejects rejects;
  item(sink, 0, 1, "of the first");
  ASSERT_TRUE(sink.commit(advance(0, 5), rejects));
  run("INSERT INTO voketag.projection_generations (projection, generation, state)"
      " VALUES ('test', 1, 'retired'), ('test', 2, 'live');"
      "INSERT INTO voketag.projection_positions (projection, generation, topic, partition,"
      " next_offset) SELECT projection, 2, topic, partition, next_offset"
      "  FROM voketag.projection_positions WHERE projection = 'test'");
  item(sink, 5, 2, "of both");
  const auto fenced = sink.commit(advance(5, 6), rejects);
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, events::Errc::kFenced);
  EXPECT_EQ(position(sink), 5);
  item(sink, 5, 2, "of both");
  ASSERT_TRUE(sink.commit(advance(5, 6), rejects));
  EXPECT_THAT(rows("SELECT id FROM voketag.items ORDER BY id"), ElementsAre("1", "2"));
  EXPECT_THAT(rows("SELECT generation, next_offset FROM voketag.projection_positions"
                   " WHERE projection = 'test' ORDER BY 1"),
              ElementsAre("1|5", "2|6"));
}

TEST_F(ViewSinkTest, ADroppedRecordAndAnAbandonedTransactionLeaveNothing) {
  auto small = options();
  small.stream_bytes_min = 100;
  PostgresViewSink sink(small, kViews);
  EXPECT_EQ(position(sink), 0);
  item(sink, 0, 1, "kept");
  item(sink, 1, 2, "dropped");
  sink.drop_record();
  Rejects rejects;
  ASSERT_TRUE(sink.commit(advance(0, 2), rejects));
  EXPECT_THAT(rows("SELECT id FROM voketag.items"), ElementsAre("1"));

  for (std::int64_t id = 10; id < 100; ++id)
    item(sink, id, id, "abandoned in the middle of a COPY");
  EXPECT_GT(sink.counts().copies, 0);
  sink.abandon();
  EXPECT_EQ(sink.gathered_bytes(), 0U);
  item(sink, 2, 3, "after it");
  ASSERT_TRUE(sink.commit(advance(2, 3), rejects));
  EXPECT_THAT(rows("SELECT id FROM voketag.items ORDER BY id"), ElementsAre("1", "3"));
}

TEST_F(ViewSinkTest, StreamsLargeTransactionsAndShowsThemOnlyAtTheirCommit) {
  PostgresViewSink sink(options(), kViews);
  EXPECT_EQ(position(sink), 0);
  constexpr std::int64_t kRows = 50'000;
  for (std::int64_t id = 0; id < kRows; ++id) {
    item(sink, id, id, "a name that makes the row a little longer");
  }
  EXPECT_EQ(sink.counts().copies, 1);
  EXPECT_EQ(item_count(), "0");
  Rejects rejects;
  const auto done = sink.commit(advance(0, kRows), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(sink.counts().copies, 1);
  EXPECT_EQ(item_count(), std::to_string(kRows));
  EXPECT_EQ(value("SELECT sum(id) FROM voketag.items"), std::to_string(kRows * (kRows - 1) / 2));
}

TEST_F(ViewSinkTest, SeveralViewsOfOneRecordLandTogether) {
  auto small = options();
  small.stream_bytes_min = 1'000;
  for (const std::int64_t count : {5, 500}) {
    PostgresViewSink sink(small, kViews);
    const std::int64_t from = position(sink);
    for (std::int64_t id = from; id < from + count; ++id) {
      item(sink, id, id, "item");
      sink.rows().begin_row(kNotes);
      sink.rows().int64(id);
      sink.rows().null();
      sink.rows().begin_row(kLives);
      sink.rows().int64(id % 10);
      sink.rows().text("life");
      sink.rows().enumeration("young");
      sink.rows().int64(id);
    }
    Rejects rejects;
    const auto done = sink.commit(advance(from, from + count), rejects);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(item_count(), std::to_string(from + count));
    EXPECT_EQ(value("SELECT count(*) FROM voketag.notes"), std::to_string(from + count));
  }
  EXPECT_THAT(rows("SELECT * FROM voketag.lives WHERE id IN (0, 9) ORDER BY id"),
              ElementsAre("0|life|young|500", "9|life|young|499"));
}

// ---- refused rows ---------------------------------------------------------------------------

struct RefusedCase {
  const char* name;
  std::size_t stream_bytes_min;
  std::int64_t rows;
};

class RefusedRowsTest : public ViewSinkTest, public ::testing::WithParamInterface<RefusedCase> {};

TEST_P(RefusedRowsTest, GoToTheHandlerBeforeTheOthersAreVisible) {
  auto sized = options();
  sized.stream_bytes_min = GetParam().stream_bytes_min;
  PostgresViewSink sink(sized, kViews);
  EXPECT_EQ(position(sink), 0);
  const std::int64_t count = GetParam().rows;
  for (std::int64_t id = 0; id < count; ++id) {
    if (id == count / 3) {
      item(sink, id, id, std::string_view("zero\0byte", 9));
    } else if (id == count / 2) {
      item(sink, id, id, "\xff is not UTF-8");
    } else if (id == count - 1) {
      item(sink, id, 0, "the key of the first row again");
    } else {
      item(sink, id, id, "good");
    }
  }
  Rejects rejects;
  std::string seen_when_told;
  rejects.when_told = [&] {
    seen_when_told = item_count();
    return events::Status{};
  };
  const auto done = sink.commit(advance(0, count), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(rejects.offsets, ElementsAre(count / 3, count / 2, count - 1));
  EXPECT_EQ(seen_when_told, "0");
  EXPECT_EQ(item_count(), std::to_string(count - 3));
  EXPECT_EQ(position(sink), count);
  EXPECT_EQ(sink.counts().careful, 1);

  // The next transaction is an ordinary one again.
  item(sink, count, count, "good");
  ASSERT_TRUE(sink.commit(advance(count, count + 1), rejects));
  EXPECT_EQ(sink.counts().careful, 1);
}

INSTANTIATE_TEST_SUITE_P(Sizes, RefusedRowsTest,
                         ::testing::Values(RefusedCase{"Insert", 1U << 20, 100},
                                           RefusedCase{"Copy", 5'000, 100},
                                           RefusedCase{"Stream", 1'000, 3'000}),
                         [](const auto& refused) { return refused.param.name; });

TEST_F(ViewSinkTest, OfARecordOnlyTheBadRowsAreLeftOut) {
  PostgresViewSink sink(options(), kViews);
  item(sink, 0, 1, "one");
  sink.rows().begin_row(kNotes);
  sink.rows().int64(1);
  sink.rows().text(std::string_view("\0", 1));
  item(sink, 1, 2, "two");
  Rejects rejects;
  const auto done = sink.commit(advance(0, 2), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(rejects.offsets, ElementsAre(0));
  EXPECT_THAT(rejects.details,
              ElementsAre(AllOf(HasSubstr("22021"),
                                HasSubstr("Refused: notes id=1; 1 of the record's 2 rows, the "
                                          "others are in the view"))));
  EXPECT_THAT(rows("SELECT id FROM voketag.items ORDER BY id"), ElementsAre("1", "2"));
  EXPECT_EQ(item_count(), "2");
  EXPECT_EQ(value("SELECT count(*) FROM voketag.notes"), "0");
}

// One record of 1,024 rows, as a chunk of tokens is, among others.
TEST_F(ViewSinkTest, OneBadRowOfAChunkCostsTheOthersNothing) {
  for (const std::size_t stream_bytes_min : {std::size_t{1'000}, std::size_t{1} << 20}) {
    run("TRUNCATE voketag.items");
    auto sized = options();
    sized.stream_bytes_min = stream_bytes_min;
    PostgresViewSink sink(sized, kViews);
    const std::int64_t from = position(sink);
    for (std::int64_t chunk = 0; chunk < 3; ++chunk) {
      sink.begin_record(kPartition, from + chunk);
      for (std::int64_t row = 0; row < 1'024; ++row) {
        sink.rows().begin_row(kItems);
        sink.rows().int64(chunk * 1'024 + row);
        sink.rows().text(chunk == 1 && row == 700 ? "\xff" : "good");
      }
    }
    Rejects rejects;
    const auto done = sink.commit(advance(from, from + 3), rejects);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(rejects.offsets, ElementsAre(from + 1));
    EXPECT_THAT(rejects.details,
                ElementsAre(HasSubstr("items id=1724; 1 of the record's 1024 rows")));
    EXPECT_EQ(item_count(), "3071");
    EXPECT_EQ(position(sink), from + 3);
  }
}

TEST_F(ViewSinkTest, NamesTheFirstOfManyBadRowsAndCountsThem) {
  PostgresViewSink sink(options(), kViews);
  sink.begin_record(kPartition, 0);
  for (std::int64_t id = 0; id < 100; ++id) {
    sink.rows().begin_row(kItems);
    sink.rows().int64(id);
    sink.rows().text(id % 4 == 0 ? "\xff" : "good");
  }
  Rejects rejects;
  const auto done = sink.commit(advance(0, 1), rejects);
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_THAT(rejects.details,
              ElementsAre(HasSubstr("items id=0, items id=4, items id=8, items id=12, items id=16, "
                                    "items id=20, items id=24, items id=28, items id=32, items "
                                    "id=36 and 15 more; 25 of the record's 100 rows")));
  EXPECT_EQ(item_count(), "75");
}

// However much is refused, finding it is bounded; what is not found row by row goes together.
TEST_F(ViewSinkTest, ManyBadRowsCostABoundedTime) {
  PostgresViewSink sink(options(), kViews);
  constexpr std::int64_t kChunks = 8;
  for (std::int64_t chunk = 0; chunk < kChunks; ++chunk) {
    sink.begin_record(kPartition, chunk);
    for (std::int64_t row = 0; row < 1'024; ++row) {
      sink.rows().begin_row(kItems);
      sink.rows().int64(chunk * 1'024 + row);
      sink.rows().text("\xff");
    }
  }
  Rejects rejects;
  const auto done = sink.commit(advance(0, kChunks), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(rejects.offsets.size(), static_cast<std::size_t>(kChunks));
  for (const auto& detail : rejects.details) {
    EXPECT_THAT(detail, HasSubstr("and 1014 more; 1024 of the record's 1024 rows"));
  }
  EXPECT_EQ(position(sink), kChunks);
  EXPECT_EQ(item_count(), "0");
}

TEST_F(ViewSinkTest, AllRecordsMayBeRefused) {
  PostgresViewSink sink(options(), kViews);
  constexpr std::int64_t kCount = 33;
  for (std::int64_t id = 0; id < kCount; ++id) item(sink, id, id, "\xc0");
  Rejects rejects;
  const auto done = sink.commit(advance(0, kCount), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(rejects.offsets.size(), static_cast<std::size_t>(kCount));
  EXPECT_EQ(position(sink), kCount);
}

TEST_F(ViewSinkTest, AnUnknownEnumLabelIsRefusedAlone) {
  PostgresViewSink sink(options(), kViews);
  for (const auto& [offset, label] : {std::pair{0, "young"}, {1, "ancient"}, {2, "old"}}) {
    sink.begin_record(kPartition, offset);
    sink.rows().begin_row(kLives);
    sink.rows().int64(1);  // all of one key: merged before they are sent
    sink.rows().null();
    sink.rows().enumeration(label);
    sink.rows().int64(offset);
  }
  Rejects rejects;
  const auto done = sink.commit(advance(0, 3), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(rejects.offsets, ElementsAre(1));
  EXPECT_THAT(rows("SELECT * FROM voketag.lives"), ElementsAre("1|null|old|2"));
}

TEST_F(ViewSinkTest, AFencedWriterReportsNoRefusals) {
  PostgresViewSink owner(options(), kViews);
  PostgresViewSink zombie(options(), kViews);
  Rejects rejects;
  item(owner, 0, 1, "by the owner");
  ASSERT_TRUE(owner.commit(advance(0, 1), rejects));
  item(zombie, 0, 1, "its key is there already");
  item(zombie, 1, 2, "\xff");
  const auto fenced = zombie.commit(advance(0, 2), rejects);
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, events::Errc::kFenced);
  EXPECT_THAT(rejects.offsets, IsEmpty());
}

TEST_F(ViewSinkTest, ARecordThatCannotBeEncodedIsReportedAndTheOthersLand) {
  run("CREATE TABLE voketag.amounts (id bigint PRIMARY KEY, amount numeric)");
  static constexpr std::array kAmountColumns{Column{"id", ColumnType::kInt64},
                                             Column{"amount", ColumnType::kNumeric}};
  static constexpr View kAmounts{"amounts", kAmountColumns, 1, Merge::kInsert};
  static constexpr std::array kAmountViews{&kAmounts};
  auto small = options();
  small.stream_bytes_min = 100;
  PostgresViewSink sink(small, kAmountViews);
  EXPECT_EQ(position(sink), 0);
  for (std::int64_t id = 0; id < 50; ++id) {
    sink.begin_record(kPartition, id);
    sink.rows().begin_row(kAmounts);
    sink.rows().int64(id);
    sink.rows().numeric(id == 30 ? "much" : "1.5");
  }
  Rejects rejects;
  const auto done = sink.commit(advance(0, 50), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(rejects.offsets, ElementsAre(30));
  EXPECT_THAT(rejects.details, ElementsAre(HasSubstr("much")));
  EXPECT_EQ(value("SELECT count(*) FROM voketag.amounts"), "49");
}

TEST_F(ViewSinkTest, WhatTheHandlerCannotTakeIsNotCommitted) {
  PostgresViewSink sink(options(), kViews);
  item(sink, 0, 1, "good");
  item(sink, 1, 2, "\xff");
  Rejects rejects;
  rejects.when_told = [] { return events::fail(events::Errc::kTimeout, "no broker"); };
  const auto done = sink.commit(advance(0, 2), rejects);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kTimeout);
  EXPECT_EQ(item_count(), "0");
  EXPECT_EQ(position(sink), 0);
}

// ---- fencing --------------------------------------------------------------------------------

TEST_F(ViewSinkTest, OfTwoThatMoveAPositionOneIsFenced) {
  PostgresViewSink first(options(), kViews);
  PostgresViewSink second(options(), kViews);
  EXPECT_EQ(position(first), 0);
  EXPECT_EQ(position(second), 0);
  Rejects rejects;
  item(first, 0, 1, "by the first");
  ASSERT_TRUE(first.commit(advance(0, 1), rejects));

  item(second, 0, 2, "by the second");
  const auto fenced = second.commit(advance(0, 1), rejects);
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, events::Errc::kFenced);
  EXPECT_THAT(rows("SELECT name FROM voketag.items"), ElementsAre("by the first"));

  EXPECT_EQ(position(second), 1);
  item(second, 1, 2, "by the second");
  ASSERT_TRUE(second.commit(advance(1, 2), rejects));
  EXPECT_EQ(item_count(), "2");
}

TEST_F(ViewSinkTest, OneFencedPartitionHoldsBackAll) {
  PostgresViewSink sink(options(), kViews);
  Rejects rejects;
  ASSERT_TRUE(sink.commit(advance(0, 4), rejects));
  item(sink, 4, 1, "one");
  const std::vector<ViewSink::Advance> advances{{kPartition, 4, 5}, {{"topic", 4}, 3, 5}};
  const auto fenced = sink.commit(advances, rejects);
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, events::Errc::kFenced);
  EXPECT_EQ(position(sink), 4);
  EXPECT_EQ(item_count(), "0");
}

// A writer that stands still in the middle of a COPY holds the keys of its rows. Its successor
// waits for a lock timeout, ends it, and goes on.
TEST_F(ViewSinkTest, AStalledWriterIsEnded) {
  auto small = options();
  small.stream_bytes_min = 1'000;
  PostgresViewSink stalled(small, kViews);
  EXPECT_EQ(position(stalled), 0);
  for (std::int64_t id = 0; id < 5'000; ++id) item(stalled, id, id, "held");
  ASSERT_EQ(stalled.counts().copies, 1);

  PostgresViewSink successor(small, kViews);
  EXPECT_EQ(position(successor), 0);
  for (std::int64_t id = 0; id < 100; ++id) item(successor, id, id, "taken over");
  Rejects rejects;
  const auto done = successor.commit(advance(0, 100), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(successor.counts().stalled_ended, 1);

  const auto late = stalled.commit(advance(0, 5'000), rejects);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, events::Errc::kUnavailable);
  EXPECT_EQ(position(stalled), 100);
  EXPECT_EQ(value("SELECT count(*) FROM voketag.items WHERE name = 'taken over'"), "100");
  EXPECT_EQ(item_count(), "100");
}

// ---- connections that fail --------------------------------------------------------------------

TEST_F(ViewSinkTest, AConnectionEndedWhileGatheringLosesTheTransactionOnly) {
  for (const std::size_t stream_bytes_min : {std::size_t{1'000}, std::size_t{1} << 20}) {
    auto sized = options();
    sized.stream_bytes_min = stream_bytes_min;
    PostgresViewSink sink(sized, kViews);
    const std::int64_t from = position(sink);
    for (std::int64_t id = from; id < from + 100; ++id) item(sink, id, id, "lost");
    run("SELECT pg_terminate_backend(" + std::to_string(*sink.backend_id()) + ", 5000)");
    Rejects rejects;
    const auto lost = sink.commit(advance(from, from + 100), rejects);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, events::Errc::kUnavailable);
    EXPECT_EQ(position(sink), from);
    item(sink, from, from, "kept");
    ASSERT_TRUE(sink.commit(advance(from, from + 1), rejects));
  }
  EXPECT_EQ(value("SELECT count(*), count(*) FILTER (WHERE name = 'kept') FROM voketag.items"),
            "2|2");
}

TEST_F(ViewSinkTest, WhetherACutCommitTookEffectIsToldByThePositions) {
  for (const auto cut : {CuttingProxy::Cut::kBeforeCommit, CuttingProxy::Cut::kAfterCommit}) {
    const bool takes_effect = cut == CuttingProxy::Cut::kAfterCommit;
    CuttingProxy proxy(database_->port(), cut);
    auto cut_off = options();
    cut_off.connection.url = database_->url(proxy.port()) + "?sslmode=disable&gssencmode=disable";
    PostgresViewSink sink(cut_off, kViews);
    EXPECT_EQ(position(sink), 0);
    item(sink, 0, 1, "one");
    Rejects rejects;
    const auto unknown = sink.commit(advance(0, 1), rejects);
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, events::Errc::kUnavailable);
    EXPECT_TRUE(proxy.has_cut());
    EXPECT_EQ(position(sink), takes_effect ? 1 : 0);
    EXPECT_EQ(item_count(), takes_effect ? "1" : "0");
  }
}

TEST_F(ViewSinkTest, ADatabaseThatIsAwayIsUnavailableWithinItsTimeout) {
  auto away = options();
  away.connection.url = database_->url(1);
  away.unavailable_timeout_ms = 300;
  PostgresViewSink sink(away, kViews);
  const auto began = std::chrono::steady_clock::now();
  const auto positions = sink.positions(std::array{kPartition});
  ASSERT_FALSE(positions);
  EXPECT_EQ(positions.error().code, events::Errc::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(3));
}

TEST_F(ViewSinkTest, AMissingTableIsNoPassingError) {
  run("DROP TABLE voketag.notes");
  PostgresViewSink sink(options(), kViews);
  const auto positions = sink.positions(std::array{kPartition});
  ASSERT_FALSE(positions);
  EXPECT_EQ(positions.error().code, events::Errc::kInternal);
  EXPECT_THAT(positions.error().message, HasSubstr("voketag migrate"));
}

// ---- transactions that are run again -----------------------------------------------------------

TEST_F(ViewSinkTest, ALockThatIsReleasedInTimeIsWaitedFor) {
  for (const std::size_t stream_bytes_min : {std::size_t{1'000}, std::size_t{1} << 20}) {
    run("TRUNCATE voketag.items");
    auto sized = options();
    sized.stream_bytes_min = stream_bytes_min;
    sized.connection.lock_timeout_ms = 100;
    PostgresViewSink sink(sized, kViews);
    const std::int64_t from = position(sink);
    for (std::int64_t id = 0; id < 100; ++id) item(sink, from + id, id, "patient");
    run("BEGIN");
    run("INSERT INTO voketag.items VALUES (99, 'in the way')");
    std::thread in_the_way([&] {
      auto watcher = database_->connect();
      while (true) {
        const auto waiting = watcher.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'");
        if (waiting && waiting->int64(0, 0) > 0) break;
        std::this_thread::yield();
      }
      run("ROLLBACK");
    });
    Rejects rejects;
    const auto done = sink.commit(advance(from, from + 100), rejects);
    in_the_way.join();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(rejects.offsets, IsEmpty());
    EXPECT_EQ(item_count(), "100");
  }
}

// Each attempt may wait for its lock; all of them together end by one deadline.
TEST_F(ViewSinkTest, AllAttemptsTogetherEndByOneDeadline) {
  auto patient = options();
  patient.connection.lock_timeout_ms = 300;
  patient.attempts_max = 1'000;
  patient.commit_timeout_ms = 1'000;
  PostgresViewSink sink(patient, kViews);
  EXPECT_EQ(position(sink), 0);
  run("BEGIN");
  run("INSERT INTO voketag.items VALUES (1, 'in the way')");
  item(sink, 0, 1, "one");
  Rejects rejects;
  const auto began = std::chrono::steady_clock::now();
  const auto done = sink.commit(advance(0, 1), rejects);
  const auto took = std::chrono::steady_clock::now() - began;
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kUnavailable);
  EXPECT_GE(took, std::chrono::milliseconds(900));
  EXPECT_LT(took, std::chrono::milliseconds(2'500));
  EXPECT_GT(sink.counts().retries, 1);
  end_writers();
  run("ROLLBACK");
  EXPECT_EQ(position(sink), 0);
  item(sink, 0, 1, "one");
  ASSERT_TRUE(sink.commit(advance(0, 1), rejects));
}

// A single statement that the server does not end is left at the deadline too.
TEST_F(ViewSinkTest, AStatementIsNotWaitedForBeyondTheDeadline) {
  auto patient = options();
  patient.connection.lock_timeout_ms = 20'000;
  patient.commit_timeout_ms = 500;
  PostgresViewSink sink(patient, kViews);
  EXPECT_EQ(position(sink), 0);
  run("BEGIN");
  run("INSERT INTO voketag.items VALUES (1, 'in the way')");
  item(sink, 0, 1, "one");
  Rejects rejects;
  const auto began = std::chrono::steady_clock::now();
  const auto done = sink.commit(advance(0, 1), rejects);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  EXPECT_FALSE(sink.backend_id());
  end_writers();
  run("ROLLBACK");
}

TEST_F(ViewSinkTest, TheRejectHandlersTimeIsNotTheDatabases) {
  auto hasty = options();
  hasty.commit_timeout_ms = 400;
  PostgresViewSink sink(hasty, kViews);
  EXPECT_EQ(position(sink), 0);
  item(sink, 0, 1, "\xff");
  item(sink, 1, 2, "good");
  Rejects rejects;
  rejects.when_told = [] {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return events::Status{};
  };
  const auto done = sink.commit(advance(0, 2), rejects);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(item_count(), "1");
}

TEST_F(ViewSinkTest, AfterSeveralDeadlocksOrTimeoutsItGivesUpForNow) {
  auto hasty = options();
  hasty.connection.lock_timeout_ms = 20;
  hasty.attempts_max = 3;
  PostgresViewSink sink(hasty, kViews);
  EXPECT_EQ(position(sink), 0);
  run("BEGIN");
  run("INSERT INTO voketag.items VALUES (1, 'in the way')");
  item(sink, 0, 1, "one");
  Rejects rejects;
  const auto done = sink.commit(advance(0, 1), rejects);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, events::Errc::kUnavailable);
  EXPECT_EQ(sink.counts().retries, 2);
  run("ROLLBACK");
  EXPECT_EQ(position(sink), 0);
}

}  // namespace
}  // namespace voketag::postgres
