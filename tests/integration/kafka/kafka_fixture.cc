#include "tests/integration/kafka/kafka_fixture.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <thread>

extern "C" char** environ;

namespace voketag::kafka {
namespace {

std::string join_numbers(std::span<const std::int32_t> numbers) {
  std::string text;
  for (const auto number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

std::optional<std::string> keep(const std::optional<std::string_view>& view) {
  if (!view) return std::nullopt;
  return std::string(*view);
}

}  // namespace

void RecordingListener::on_assigned(std::span<const std::int32_t> partitions) {
  calls.push_back("+" + join_numbers(partitions));
  owned.insert(partitions.begin(), partitions.end());
}

void RecordingListener::on_revoked(std::span<const std::int32_t> partitions) {
  if (before_revoke) before_revoke();
  calls.push_back("-" + join_numbers(partitions));
  for (const auto partition : partitions) owned.erase(partition);
}

void RecordingListener::on_lost(std::span<const std::int32_t> partitions) {
  calls.push_back("!" + join_numbers(partitions));
  for (const auto partition : partitions) owned.erase(partition);
}

void KafkaTest::SetUp() {
  if (std::getenv("VOKETAG_KAFKA") == nullptr) {
    GTEST_SKIP() << "VOKETAG_KAFKA is not set: eval \"$(./dev stack env NAME)\"";
  }
  spdlog::set_level(spdlog::level::warn);
  auto read = options_from_environment(environ);
  ASSERT_OK(read);
  options_ = *read;
  options_.topic_prefix =
      "t" + std::to_string(getpid()) + "-" +
      std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + ".";
  options_.instance = "test";
  auto opened = KafkaLog::open(options_);
  ASSERT_OK(opened);
  log_ = std::move(*opened);
}

void KafkaTest::TearDown() {
  if (log_ == nullptr) return;
  Client::Settings settings;
  settings.purpose = "teardown";
  const auto client = Client::open(options_, std::move(settings));
  ASSERT_OK(client);
  rd_kafka_t* handle = (*client)->get();
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(handle, 1, nullptr, &metadata, 20000) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  std::vector<rd_kafka_DeleteTopic_t*> requests;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const std::string_view topic = metadata->topics[i].topic;
    if (topic.starts_with(options_.topic_prefix)) {
      requests.push_back(rd_kafka_DeleteTopic_new(metadata->topics[i].topic));
    }
  }
  rd_kafka_metadata_destroy(metadata);
  if (requests.empty()) return;
  const Queue answers(rd_kafka_queue_new(handle));
  rd_kafka_DeleteTopics(handle, requests.data(), requests.size(), nullptr, answers.get());
  const Event event(rd_kafka_queue_poll(answers.get(), 60000));
  rd_kafka_DeleteTopic_destroy_array(requests.data(), requests.size());
}

void KafkaTest::create_topic(const std::string& name, std::int32_t partitions) {
  const TopicSpec spec{.name = name, .partitions = partitions};
  ASSERT_OK(log().topics().ensure_topics(std::span(&spec, 1)));
}

std::vector<KeptRecord> KafkaTest::read_all(const std::string& topic, runtime::Isolation isolation,
                                            std::int32_t partition) {
  std::vector<KeptRecord> kept;
  auto fetcher = log().open_fetcher(isolation);
  EXPECT_TRUE(fetcher && (*fetcher)->assign({topic, partition}, 0));
  runtime::FetchBatch batch;
  const Deadline deadline(20000);
  while (batch.ends.empty()) {
    if (deadline.passed()) {
      ADD_FAILURE() << "no end of " << topic << " within 20 s";
      break;
    }
    const auto polled = (*fetcher)->poll(batch, 1000, 1000);
    EXPECT_TRUE(polled) << polled.error().message;
    for (const auto& view : batch.records) {
      KeptRecord record{view.offset, view.timestamp, keep(view.key), keep(view.value), {}};
      for (const auto& [name, value] : view.headers) record.headers.emplace_back(name, value);
      kept.push_back(std::move(record));
    }
  }
  return kept;
}

void KafkaTest::settle(const std::string& topic) {
  const Deadline deadline(20000);
  while (!deadline.passed()) {
    const auto all = log().watermarks({topic, 0}, runtime::Isolation::kReadUncommitted);
    const auto stable = log().watermarks({topic, 0}, runtime::Isolation::kReadCommitted);
    if (all && stable && all->high == stable->high) return;
  }
  ADD_FAILURE() << topic << " has an open transaction after 20 s";
}

std::vector<std::string> KafkaTest::values(const std::string& topic, runtime::Isolation isolation) {
  settle(topic);
  std::vector<std::string> result;
  for (const auto& record : read_all(topic, isolation)) {
    result.push_back(record.value.value_or("(tombstone)"));
  }
  return result;
}

std::unique_ptr<runtime::TransactionalProducer> KafkaTest::begun_producer(const std::string& id) {
  auto producer = log().open_producer(id);
  EXPECT_TRUE(producer) << producer.error().message;
  const auto began = (*producer)->begin();
  EXPECT_TRUE(began) << began.error().message;
  return std::move(*producer);
}

std::unique_ptr<runtime::Membership> KafkaTest::join(const std::string& topic,
                                                     RecordingListener& listener,
                                                     std::size_t partitions) {
  auto member = log().join(group(), topic);
  EXPECT_TRUE(member) << member.error().message;
  EXPECT_TRUE(poll_until({{member->get(), &listener}},
                         [&] { return listener.owned.size() == partitions; }));
  return std::move(*member);
}

std::optional<std::int64_t> KafkaTest::committed(const std::string& topic) {
  const runtime::TopicPartition partition{topic, 0};
  auto answer = log().committed(group(), std::span(&partition, 1));
  // A commit returns before its markers are written; until then its offsets are unstable.
  const Deadline deadline(10000);
  while (answer && answer->unstable && !deadline.passed()) {
    answer = log().committed(group(), std::span(&partition, 1));
  }
  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->unstable);
  return answer->offsets.at(0);
}

events::OutputRecord record(const std::string& topic, const std::string& value,
                            std::int32_t partition) {
  return {.topic = topic, .partition = partition, .key = "k", .value = value, .headers = {}};
}

bool poll_until(std::vector<std::pair<runtime::Membership*, RecordingListener*>> members,
                const std::function<bool()>& condition, int timeout_ms) {
  const Deadline deadline(timeout_ms);
  while (!condition()) {
    if (deadline.passed()) return false;
    for (const auto& [member, listener] : members) {
      const auto polled = member->poll(*listener);
      EXPECT_TRUE(polled) << polled.error().message;
    }
    // A member's poll returns at once, by contract.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace voketag::kafka
