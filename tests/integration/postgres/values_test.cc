#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "connectors/postgres/postgres_view_sink.h"
#include "events/codec.h"
#include "events/events.h"
#include "processors/anchoring/anchoring_processor.h"
#include "processors/views/anchors_projection.h"
#include "processors/views/batches_projection.h"
#include "tests/integration/postgres/database.h"

// What is written is what PostgreSQL reads, by COPY and by INSERT; and rows merge to the same
// result in whatever order, transactions and connections they come.
namespace voketag::postgres {
namespace {

using processors::Column;
using processors::ColumnType;
using processors::Merge;
using processors::View;
using runtime::TopicPartition;
using runtime::ViewSink;
using ::testing::ElementsAre;

constexpr std::array kWideColumns{
    Column{"id", ColumnType::kInt64},           Column{"uuid", ColumnType::kUuid},
    Column{"text", ColumnType::kText},          Column{"time", ColumnType::kTimestamp},
    Column{"hash", ColumnType::kHash},          Column{"amount", ColumnType::kNumeric},
    Column{"status", ColumnType::kEnum, "life"}};
constexpr View kWide{"wide", kWideColumns, 1, Merge::kInsert};
constexpr std::array kWideViews{&kWide};

constexpr std::array kLifeColumns{Column{"id", ColumnType::kInt64},
                                  Column{"name", ColumnType::kText},
                                  Column{"status", ColumnType::kEnum, "life"},
                                  Column{"changed", ColumnType::kTimestamp, {}, true},
                                  Column{"amount", ColumnType::kNumeric, {}, true},
                                  Column{"word", ColumnType::kText, {}, true},
                                  Column{"told", ColumnType::kInt64, {}, false, "changed"},
                                  Column{"most", ColumnType::kInt64, {}, true, "word"}};
constexpr View kLives{"lives", kLifeColumns, 1, Merge::kUpsert};
constexpr std::array kLifeViews{&kLives};

struct NoRejects : ViewSink::RejectHandler {
  events::Status on_rejected(std::span<const ViewSink::Rejected> rejected) override {
    return events::fail(events::Errc::kInternal, rejected.front().detail);
  }
};

class ValuesTest : public DatabaseTest {
 protected:
  void SetUp() override {
    DatabaseTest::SetUp();
    if (IsSkipped()) return;
    migrate_database();
    run("CREATE TYPE voketag.life AS ENUM ('young', 'old', 'ancient')");
    run("CREATE TABLE voketag.wide (id bigint PRIMARY KEY, uuid uuid, text text, time timestamptz, "
        "hash text, amount numeric, status voketag.life)");
    run("CREATE TABLE voketag.lives (id bigint PRIMARY KEY, name text, status voketag.life, "
        "changed timestamptz, amount numeric, word text, told bigint, most bigint)");
    run("SET timezone = 'UTC'");
  }

  static PostgresViewSink sink(std::span<const View* const> views, std::size_t stream_bytes_min) {
    PostgresViewSinkOptions options;
    options.connection.url = database_->url();
    options.projection = "values";
    options.stream_bytes_min = stream_bytes_min;
    return {options, views};
  }
  void commit(PostgresViewSink& sink, std::int64_t records) {
    NoRejects rejects;
    const std::array advance{ViewSink::Advance{{"topic", 0}, next_offset_, next_offset_ + records}};
    next_offset_ += records;
    const auto done = sink.commit(advance, rejects);
    ASSERT_TRUE(done) << done.error().message;
  }
  void empty() {
    run("TRUNCATE voketag.wide, voketag.lives, voketag.projection_positions");
    next_offset_ = 0;
  }

  std::int64_t next_offset_ = 0;
};

TEST_F(ValuesTest, ArriveAsTheyWereByCopyAndByInsert) {
  events::Hash hash;
  for (std::size_t i = 0; i < hash.bytes.size(); ++i) hash.bytes[i] = static_cast<std::uint8_t>(i);
  const std::string hash_text = hash.to_string();
  const auto uuid = *events::Uuid::parse("01234567-89ab-4def-8123-456789abcdef");
  struct Numbers {
    std::string written;
    std::string read;
  };
  const std::vector<Numbers> amounts{
      {"0", "0"},
      {"1", "1"},
      {"-1.50", "-1.50"},
      {"123456789012345678901234567890.000001", "123456789012345678901234567890.000001"},
      {"0.00001234", "0.00001234"},
      {"10000", "10000"},
      {"99999999", "99999999"},
      {"00012", "12"},
      {"-0.000", "0.000"},
      {"5.0000", "5.0000"}};
  for (const std::size_t stream_bytes_min : {std::size_t{1}, std::size_t{1} << 20}) {
    empty();
    auto writer = sink(kWideViews, stream_bytes_min);
    auto& rows_out = writer.rows();
    std::int64_t id = 0;
    for (const auto& amount : amounts) {
      writer.begin_record({"topic", 0}, id);
      rows_out.begin_row(kWide);
      rows_out.int64(id % 2 == 0 ? id : -id);
      rows_out.uuid(uuid);
      rows_out.text(id == 3 ? "" : "quote ' tab \t newline \n backslash \\ \\N \xe2\x82\xac");
      rows_out.timestamp({id * 86'400'000 + 123});
      rows_out.hash(hash);
      rows_out.numeric(amount.written);
      rows_out.enumeration("old");
      ++id;
    }
    writer.begin_record({"topic", 0}, id);
    rows_out.begin_row(kWide);
    rows_out.int64(std::numeric_limits<std::int64_t>::min());
    for (int i = 0; i < 6; ++i) rows_out.null();
    commit(writer, id + 1);
    EXPECT_EQ(writer.counts().copies, stream_bytes_min == 1 ? 1 : 0);

    for (std::int64_t i = 0; i < id; ++i) {
      const std::string key = std::to_string(i % 2 == 0 ? i : -i);
      EXPECT_EQ(
          value("SELECT amount, time = '1970-01-01 00:00:00.123+00'::timestamptz + " +
                std::to_string(i) + " * interval '1 day', hash, uuid, status, text = " +
                (i == 3 ? "''" : "E'quote '' tab \\t newline \\n backslash \\\\ \\\\N \u20ac'") +
                " FROM voketag.wide WHERE id = " + key),
          amounts[static_cast<std::size_t>(i)].read + "|t|" + hash_text + '|' + uuid.to_string() +
              "|old|t");
    }
    EXPECT_EQ(value("SELECT uuid, text, time, hash, amount, status FROM voketag.wide WHERE id = "
                    "-9223372036854775808"),
              "null|null|null|null|null|null");
  }
}

TEST_F(ValuesTest, MergeToTheSameRowsHoweverTheyCome) {
  const std::array<std::string, 3> labels{"young", "old", "ancient"};
  ::setenv("RC_PARAMS", "max_success=20", 0);  // each takes a dozen transactions
  const bool holds = rc::check("rows merge alike", [&] {
    struct Row {
      std::int64_t id;
      int known;  // which columns, one bit each
      std::string status;
      std::int64_t changed_ms;
      std::string amount;
      std::string word;
    };
    std::vector<Row> written;
    for (int i = *rc::gen::inRange(1, 30); i > 0; --i) {
      written.push_back({*rc::gen::inRange(0, 4), *rc::gen::inRange(0, 128),
                         labels[static_cast<std::size_t>(*rc::gen::inRange(0, 3))],
                         *rc::gen::inRange(0, 5),
                         std::to_string(*rc::gen::inRange(-200, 200)) + ".5",
                         std::string(1, *rc::gen::elementOf(std::string("aBb_Z")))});
    }
    std::vector<std::vector<std::string>> results;
    for (int order = 0; order < 3; ++order) {
      empty();
      auto writer = sink(kLifeViews, 1U << 20);
      std::int64_t gathered = 0;
      for (const Row& row : written) {
        writer.begin_record({"topic", 0}, gathered++);
        auto& out = writer.rows();
        out.begin_row(kLives);
        out.int64(row.id);
        (row.known & 1) ? out.text("name of " + std::to_string(row.id)) : out.null();
        (row.known & 2) ? out.enumeration(row.status) : out.null();
        (row.known & 4) ? out.timestamp({row.changed_ms}) : out.null();
        (row.known & 8) ? out.numeric(row.amount) : out.null();
        (row.known & 16) ? out.text(row.word) : out.null();
        // One value per deciding value, so that the order of arrival cannot tell.
        (row.known & 32) ? out.int64((row.known & 4) ? row.changed_ms : -1) : out.null();
        (row.known & 64) ? out.int64(row.id) : out.null();
        if (*rc::gen::inRange(0, 4) == 0) commit(writer, std::exchange(gathered, 0));
      }
      if (gathered > 0) commit(writer, gathered);
      results.push_back(rows("SELECT * FROM voketag.lives ORDER BY id"));
      for (std::size_t i = written.size(); i > 1; --i) {
        std::swap(written[i - 1], written[*rc::gen::inRange<std::size_t>(0, i)]);
      }
    }
    RC_ASSERT(results[0] == results[1]);
    RC_ASSERT(results[0] == results[2]);
  });
  EXPECT_TRUE(holds);
}

// Several connections that merge into the same rows neither lose a value nor stop each other.
TEST_F(ValuesTest, MergeFromSeveralConnectionsAtOnce) {
  constexpr int kWriters = 3;
  constexpr int kRounds = 20;
  std::vector<std::string> failures(kWriters);
  std::vector<std::thread> writers;
  for (int number = 0; number < kWriters; ++number) {
    writers.emplace_back([&, number] {
      auto writer = sink(kLifeViews, 1U << 20);
      NoRejects rejects;
      for (int round = 0; round < kRounds; ++round) {
        for (int id = 0; id < 20; ++id) {
          writer.begin_record({"topic", number}, round * 20 + id);
          auto& out = writer.rows();
          out.begin_row(kLives);
          out.int64(number % 2 == 0 ? id : 19 - id);
          out.null();
          out.enumeration("old");
          out.timestamp({round * 1'000 + number});
          for (int i = 0; i < 4; ++i) out.null();
        }
        const std::array advance{
            ViewSink::Advance{{"topic", number}, round * 20, (round + 1) * 20}};
        if (const auto done = writer.commit(advance, rejects); !done) {
          failures[static_cast<std::size_t>(number)] = done.error().message;
        }
      }
    });
  }
  for (auto& writer : writers) writer.join();
  for (const auto& failure : failures) EXPECT_EQ(failure, "");
  EXPECT_THAT(rows("SELECT count(*), min(extract(epoch FROM changed))::numeric(9, 3), "
                   "max(extract(epoch FROM changed))::numeric(9, 3) FROM voketag.lives"),
              ElementsAre("20|19.002|19.002"));
}

// ---- the projections themselves ----------------------------------------------------------------

template <class Event>
void write(processors::Projection& projection, PostgresViewSink& writer, std::int64_t offset,
           const Event& event) {
  const std::string json = events::encode(event);
  events::RecordView record;
  record.topic = Event::kTopic;
  record.key = "key";
  record.value = json;
  record.timestamp = {1'700'000'000'000 + offset};
  writer.begin_record({"topic", 0}, offset);
  ASSERT_TRUE(projection.project(record, writer.rows()));
}

events::Hash filled(std::uint8_t byte) {
  events::Hash hash;
  hash.bytes.fill(byte);
  return hash;
}

events::AnchorCompleted revision(std::int64_t number) {
  events::AnchorCompleted event;
  event.anchor_id = *events::Uuid::parse("00000000-0000-4000-8000-000000000001");
  event.batch_id = *events::Uuid::parse("00000000-0000-4000-8000-000000000002");
  event.merkle_root = filled(static_cast<std::uint8_t>(number));
  event.product_count = 10 * number;
  event.network = "mock";
  event.transaction_id = {"0x" + std::string(64, static_cast<char>('a' + number))};
  event.block_number = 100 + number;
  event.block_hash = {"0x" + std::string(64, '0')};
  event.gas_price_gwei = {std::to_string(9 - number)};
  event.revision = number;
  event.aggregate = {filled(static_cast<std::uint8_t>(16 * number)), 0, 1, {}};
  return event;
}

// In one transaction or in several, in whatever order: the row is that of the last revision.
TEST_F(ValuesTest, AnAnchorShowsItsLastRevision) {
  for (const bool together : {true, false}) {
    for (const std::vector<std::int64_t>& order :
         {std::vector<std::int64_t>{1, 2}, std::vector<std::int64_t>{2, 1}}) {
      empty();
      run("TRUNCATE voketag.anchors");
      processors::AnchorsProjection anchors;
      auto writer = sink(anchors.views(), 1U << 20);
      std::int64_t offset = 0;
      for (const std::int64_t number : order) {
        write(anchors, writer, offset++, revision(number));
        if (!together) commit(writer, 1);
      }
      if (together) commit(writer, 2);
      EXPECT_EQ(value("SELECT revision, merkle_root, product_count, transaction_id, block_number, "
                      "gas_price_gwei, aggregate_root, status FROM voketag.anchors"),
                "2|" + filled(2).to_string() + "|20|0x" + std::string(64, 'c') + "|102|7|" +
                    filled(32).to_string() + "|completed");
    }
  }
}

TEST_F(ValuesTest, ABatchShowsNoErrorWhileItsAnchoringIsTriedAgain) {
  const auto batch_id = revision(1).batch_id;
  const auto anchor_id = revision(1).anchor_id;
  processors::BatchesProjection batches;
  auto writer = sink(batches.views(), 1U << 20);
  const auto row = [&] { return value("SELECT status, error, job_id FROM voketag.batches"); };
  const std::string job = processors::anchor_id_of(batch_id).to_string();
  write(batches, writer, 0, events::MerkleRootComputed{batch_id, filled(1), 10});
  commit(writer, 1);
  EXPECT_EQ(row(), "anchoring|null|" + job);
  write(batches, writer, 1,
        events::AnchorFailed{anchor_id, batch_id, "no_funds", "empty", 0, std::nullopt, "own"});
  commit(writer, 1);
  EXPECT_EQ(row(), "anchor_failed|empty|" + job);
  write(batches, writer, 2, events::AnchorQueued{anchor_id, batch_id, filled(1), 10, "own", 2});
  commit(writer, 1);
  EXPECT_EQ(row(), "anchoring|null|" + job);
}

}  // namespace
}  // namespace voketag::postgres
