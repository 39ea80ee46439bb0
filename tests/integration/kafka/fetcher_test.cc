#include "tests/integration/kafka/kafka_fixture.h"

namespace voketag::kafka {
namespace {

using runtime::FetchBatch;
using runtime::Isolation;
using runtime::TopicPartitionOffset;
using ::testing::ElementsAre;

class FetcherTest : public KafkaTest {
 protected:
  void SetUp() override {
    KafkaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    create_topic("t", 2);
  }

  void write(const std::string& topic, int count, std::int32_t partition = 0,
             std::size_t bytes = 10) {
    auto producer = log().open_plain_producer();
    ASSERT_OK(producer);
    std::vector<events::OutputRecord> records;
    for (int i = 0; i < count; ++i) {
      std::string value = std::to_string(i);
      value.resize(std::max(bytes, value.size()), ' ');
      records.push_back(record(topic, value, partition));
    }
    ASSERT_OK((*producer)->write(records));
  }

  std::unique_ptr<runtime::Fetcher> fetcher(Isolation isolation = Isolation::kReadCommitted) {
    auto opened = log().open_fetcher(isolation);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }

  // Polls until the condition holds of all that came.
  void collect(runtime::Fetcher& from, const std::function<bool(const FetchBatch&)>& until) {
    const Deadline deadline(20000);
    FetchBatch batch;
    while (!deadline.passed()) {
      ASSERT_OK(from.poll(batch, 200, 100));
      if (until(batch)) return;
    }
    FAIL() << "not within 20 s";
  }
};

TEST_F(FetcherTest, KeepsKeysHeadersAndTombstonesApart) {
  auto producer = log().open_plain_producer();
  ASSERT_OK(producer);
  std::vector<events::OutputRecord> records(3);
  records[0] = {.topic = "t", .partition = 0, .key = "", .value = "", .headers = {{"a", ""}}};
  records[1] = {.topic = "t", .partition = 0, .key = "k", .value = std::nullopt, .headers = {}};
  records[2] = {.topic = "t",
                .partition = 0,
                .key = std::nullopt,
                .value = std::string("\0x", 2),
                .headers = {{"a", "1"}, {"b", "2"}, {"a", "3"}}};
  ASSERT_OK((*producer)->write(records));
  const auto read = read_all("t", Isolation::kReadCommitted);
  ASSERT_EQ(read.size(), 3U);
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(read[i].key, records[i].key) << i;
    EXPECT_EQ(read[i].value, records[i].value) << i;
    EXPECT_EQ(read[i].headers, records[i].headers) << i;
  }
}

TEST_F(FetcherTest, TheEndCountsMarkersAndAbortedRecords) {
  RecordingListener listener;
  const auto member = join("t", listener, 2);
  const auto producer = begun_producer(unique("id"));
  ASSERT_OK(producer->send(record("t", "committed")));
  ASSERT_EQ(producer->commit({}, *member).outcome, runtime::CommitOutcome::kCommitted);
  ASSERT_OK(producer->begin());
  for (int i = 0; i < 300; ++i) ASSERT_OK(producer->send(record("t", "aborted")));
  // Aborted only once they are in the log.
  while (log().watermarks({"t", 0}, Isolation::kReadUncommitted)->high < 302) {
  }
  ASSERT_EQ(producer->abort().outcome, runtime::CommitOutcome::kAborted);
  settle("t");

  const auto reading = fetcher();
  ASSERT_OK(reading->assign({"t", 0}, 0));
  std::size_t records = 0;
  std::vector<TopicPartitionOffset> ends;
  collect(*reading, [&](const FetchBatch& batch) {
    records += batch.records.size();
    ends.insert(ends.end(), batch.ends.begin(), batch.ends.end());
    return !ends.empty();
  });
  EXPECT_EQ(records, 1U);
  EXPECT_THAT(ends, ElementsAre(TopicPartitionOffset{"t", 0, 303}));
}

TEST_F(FetcherTest, AnEmptyPartitionsEndIsTold) {
  const auto reading = fetcher();
  ASSERT_OK(reading->assign({"t", 1}, 0));
  collect(*reading, [&](const FetchBatch& batch) {
    return batch.ends == std::vector{TopicPartitionOffset{"t", 1, 0}};
  });
}

TEST_F(FetcherTest, APositionBeyondTheEndIsOutOfRange) {
  write("t", 3);
  const auto reading = fetcher();
  ASSERT_OK(reading->assign({"t", 0}, 100));
  collect(*reading, [&](const FetchBatch& batch) {
    EXPECT_TRUE(batch.records.empty());
    return batch.out_of_range == std::vector{TopicPartitionOffset{"t", 0, 100}};
  });
}

TEST_F(FetcherTest, APositionThatRetentionHasDeletedIsOutOfRange) {
  write("t", 10);
  Client::Settings settings;
  settings.purpose = "deleting";
  const auto client = Client::open(options_, std::move(settings));
  ASSERT_OK(client);
  const PartitionList list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), unique("t").c_str(), 0)->offset = 5;
  rd_kafka_DeleteRecords_t* request = rd_kafka_DeleteRecords_new(list.get());
  const Queue queue(rd_kafka_queue_new((*client)->get()));
  rd_kafka_DeleteRecords((*client)->get(), &request, 1, nullptr, queue.get());
  const Event event(rd_kafka_queue_poll(queue.get(), 20000));
  rd_kafka_DeleteRecords_destroy(request);
  ASSERT_NE(event, nullptr);
  ASSERT_EQ(rd_kafka_event_error(event.get()), RD_KAFKA_RESP_ERR_NO_ERROR);

  const auto reading = fetcher();
  ASSERT_OK(reading->assign({"t", 0}, 2));
  collect(*reading, [&](const FetchBatch& batch) {
    EXPECT_TRUE(batch.records.empty());
    return batch.out_of_range == std::vector{TopicPartitionOffset{"t", 0, 2}};
  });
  EXPECT_EQ(log().watermarks({"t", 0}, Isolation::kReadCommitted)->low, 5);
}

// Many records are queued when the partition is assigned anew: none of them may come.
TEST_F(FetcherTest, NothingOfTheAssignmentBeforeIsDelivered) {
  write("t", 20000, 0, 100);
  const auto reading = fetcher();
  FetchBatch batch;
  for (const std::int64_t start : {15000, 100, 19000, 0, 500}) {
    ASSERT_OK(reading->assign({"t", 0}, start));
    const Deadline deadline(20000);
    std::int64_t expected = start;
    while (expected < std::min<std::int64_t>(start + 200, 20000) && !deadline.passed()) {
      ASSERT_OK(reading->poll(batch, 500, 37));
      for (const auto& view : batch.records) ASSERT_EQ(view.offset, expected++);
    }
    ASSERT_GE(expected, start + 200);
  }
  reading->unassign({"t", 0});
  ASSERT_OK(reading->poll(batch, 300, 1000));
  EXPECT_TRUE(batch.records.empty());
}

TEST_F(FetcherTest, ABatchOutlivesItsFetcher) {
  write("t", 5);
  FetchBatch batch;
  {
    const auto reading = fetcher();
    ASSERT_OK(reading->assign({"t", 0}, 0));
    while (batch.records.empty()) ASSERT_OK(reading->poll(batch, 1000, 3));
  }
  EXPECT_EQ(batch.records.at(0).topic, "t");
  EXPECT_EQ(batch.records.at(0).value->substr(0, 2), "0 ");
  EXPECT_GT(batch.records.at(0).timestamp.ms, 1600000000000);
}

TEST_F(FetcherTest, OneLargeRecordIsReadWhateverTheBounds) {
  write("t", 3, 0, 8U << 20);
  EXPECT_EQ(read_all("t", Isolation::kReadCommitted).size(), 3U);
}

TEST_F(FetcherTest, PollReturnsWithWhatIsThereAndDoesNotWaitForMore) {
  write("t", 5);
  const auto reading = fetcher();
  ASSERT_OK(reading->assign({"t", 0}, 0));
  FetchBatch batch;
  const std::int64_t started_ms = monotonic_ms();
  std::size_t records = 0;
  while (records < 5) {
    ASSERT_OK(reading->poll(batch, 10000, 1000));
    records += batch.records.size();
  }
  EXPECT_LT(monotonic_ms() - started_ms, 5000);
}

}  // namespace
}  // namespace voketag::kafka
