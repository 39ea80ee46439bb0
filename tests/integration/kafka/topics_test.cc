#include "tests/integration/kafka/kafka_fixture.h"

namespace voketag::kafka {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> texts(const TopicReport& report) {
  std::vector<std::string> result;
  for (const TopicProblem& problem : report.problems) result.push_back(problem.text);
  return result;
}

class TopicsTest : public KafkaTest {
 protected:
  // Creates a topic as somebody else would have, and asks to run on it as it must be.
  events::Error refused(events::Cleanup cleanup, const std::string& property,
                        const std::string& value) {
    const std::string name = "t-" + value;
    TopicSpec spec{.name = name, .cleanup = cleanup, .partitions = 1};
    spec.config[property] = value;
    EXPECT_TRUE(log().topics().ensure_topics(std::span(&spec, 1)));
    spec.config.clear();
    const std::vector<TopicSpec> topics = {{.name = "beside-" + value, .partitions = 1}, spec};
    const auto ensured = log().topics().ensure_topics(topics);
    const auto reports = log().topics().describe(topics);
    EXPECT_TRUE(reports && !reports->at(0).exists) << "something was created after all";
    return ensured ? events::Error{events::Errc::kInternal, "not refused"} : ensured.error();
  }
};

TEST_F(TopicsTest, TheWholeCatalogueIsCreatedOnceAndIsAsItShouldBe) {
  auto topics = catalogue_topics();
  topics.push_back(changelog_topic("merkle", 12));
  const auto created = log().topics().ensure_topics(topics);
  ASSERT_OK(created);
  EXPECT_EQ(*created, static_cast<int>(topics.size()));
  const auto again = log().topics().ensure_topics(topics);
  ASSERT_OK(again);
  EXPECT_EQ(*again, 0);
  const auto reports = log().topics().describe(topics);
  ASSERT_OK(reports);
  ASSERT_EQ(reports->size(), topics.size());
  for (const auto& report : *reports) {
    EXPECT_TRUE(report.exists) << report.full_name;
    EXPECT_EQ(report.partitions, 12) << report.full_name;
    EXPECT_THAT(texts(report), IsEmpty()) << report.full_name;
  }
}

TEST_F(TopicsTest, AnotherPartitionCountIsRefusedAndNothingIsCreated) {
  create_topic("old", 3);
  const std::vector<TopicSpec> topics = {{.name = "new", .partitions = 12},
                                         {.name = "old", .partitions = 12}};
  const auto refused = log().topics().ensure_topics(topics);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, events::Errc::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr(unique("old") + " has 3 partitions"));
  EXPECT_THAT(refused.error().message, HasSubstr("VOKETAG_TOPIC_PREFIX"));
  const auto reports = log().topics().describe(topics);
  ASSERT_OK(reports);
  EXPECT_FALSE(reports->at(0).exists);
  EXPECT_THAT(texts(reports->at(0)), Contains(HasSubstr("voketag topics create")));
  EXPECT_THAT(texts(reports->at(1)), Contains(HasSubstr("3 partitions")));
}

TEST_F(TopicsTest, AWrongConfigurationIsNamedWithItsCure) {
  const TopicSpec other{.name = "t", .partitions = 1, .config = {{"retention.ms", "60000"}}};
  ASSERT_OK(log().topics().ensure_topics(std::span(&other, 1)));
  const TopicSpec wanted{.name = "t", .partitions = 1};
  const auto reports = log().topics().describe(std::span(&wanted, 1));
  ASSERT_OK(reports);
  EXPECT_THAT(texts(reports->at(0)),
              Contains(HasSubstr("has retention.ms=60000 and -1 is needed")));
}

TEST_F(TopicsTest, ATopicThatLosesRecordsOrHasProducersTimesIsRefused) {
  using events::Cleanup;
  const struct {
    Cleanup cleanup;
    const char* property;
    const char* value;
    const char* wanted;
  } cases[] = {{Cleanup::kKeep, "message.timestamp.type", "CreateTime", "LogAppendTime"},
               {Cleanup::kKeep, "cleanup.policy", "compact", "delete"},
               {Cleanup::kKeep, "retention.ms", "604800000", "-1"},
               {Cleanup::kKeep, "retention.bytes", "1000000", "-1"},
               {Cleanup::kCompact, "cleanup.policy", "delete", "compact"}};
  for (const auto& wrong : cases) {
    const events::Error error = refused(wrong.cleanup, wrong.property, wrong.value);
    EXPECT_EQ(error.code, events::Errc::kConflict) << wrong.property;
    const std::string topic = unique(std::string("t-") + wrong.value);
    const std::string property = wrong.property;
    EXPECT_THAT(error.message, HasSubstr("Topic " + topic + " has " + property + "=" + wrong.value +
                                         " and " + wrong.wanted + " is needed"));
    EXPECT_THAT(error.message, HasSubstr("kafka-configs.sh --bootstrap-server " +
                                         options().bootstrap_servers + " --alter"));
    EXPECT_THAT(error.message, HasSubstr("--entity-name " + topic + " --add-config " + property +
                                         "=" + wrong.wanted));
  }
}

TEST_F(TopicsTest, WhatLosesNothingIsNotRefused) {
  TopicSpec spec{.name = "compacted", .cleanup = events::Cleanup::kCompact, .partitions = 1};
  spec.config = {{"retention.ms", "604800000"}};  // says nothing about what is only compacted
  ASSERT_OK(log().topics().ensure_topics(std::span(&spec, 1)));
  spec.config.clear();
  ASSERT_OK(log().topics().ensure_topics(std::span(&spec, 1)));
  EXPECT_THAT(texts(log().topics().describe(std::span(&spec, 1))->at(0)), IsEmpty());

  TopicSpec small{.name = "small", .partitions = 1};
  small.config = {{"max.message.bytes", "1000"}};
  ASSERT_OK(log().topics().ensure_topics(std::span(&small, 1)));
  small.config.clear();
  ASSERT_OK(log().topics().ensure_topics(std::span(&small, 1)));
  const auto reports = log().topics().describe(std::span(&small, 1));
  EXPECT_THAT(texts(reports->at(0)), Contains(HasSubstr("max.message.bytes=1000")));
}

// Writes one record to each partition; a client that never tries again shows what the first answer
// was.
std::vector<std::string> failures_of_first_tries(const KafkaOptions& options,
                                                 const std::string& topic, int partitions) {
  std::array<char, 256> reason{};
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", options.bootstrap_servers.c_str(), nullptr, 0);
  rd_kafka_conf_set(conf, "retries", "0", nullptr, 0);
  rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason.data(), reason.size());
  if (producer == nullptr) return {reason.data()};
  for (int partition = 0; partition < partitions; ++partition) {
    rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
                      RD_KAFKA_V_KEY("k", 1), RD_KAFKA_V_END);
  }
  std::vector<std::string> failures;
  int answered = 0;
  const Deadline deadline(20000);
  rd_kafka_queue_t* answers = rd_kafka_queue_get_main(producer);
  while (answered < partitions && !deadline.passed()) {
    const Event event(rd_kafka_queue_poll(answers, 1000));
    if (event == nullptr || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_DR) continue;
    while (const auto* message = rd_kafka_event_message_next(event.get())) {
      ++answered;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      failures.push_back(std::to_string(message->partition) + ": " +
                         rd_kafka_err2str(message->err));
    }
  }
  rd_kafka_queue_destroy(answers);
  rd_kafka_destroy(producer);
  if (answered < partitions) failures.push_back("only " + std::to_string(answered) + " answers");
  return failures;
}

TEST_F(TopicsTest, EveryPartitionCreatedIsLedAtOnce) {
  constexpr int kPartitions = 48;
  for (int round = 0; round < 5; ++round) {
    const TopicSpec spec{.name = "led-" + std::to_string(round), .partitions = kPartitions};
    ASSERT_OK(log().topics().ensure_topics(std::span(&spec, 1)));
    EXPECT_THAT(failures_of_first_tries(options(), unique(spec.name), kPartitions), IsEmpty());
  }
}

TEST_F(TopicsTest, ACompactedTopicIsCompacted) {
  const TopicSpec changelog = changelog_topic("merkle", 1);
  ASSERT_OK(log().topics().ensure_topics(std::span(&changelog, 1)));
  TopicSpec kept = changelog;
  kept.cleanup = events::Cleanup::kKeep;
  const auto reports = log().topics().describe(std::span(&kept, 1));
  ASSERT_OK(reports);
  EXPECT_THAT(texts(reports->at(0)), Contains(HasSubstr("has cleanup.policy=compact")));
}

}  // namespace
}  // namespace voketag::kafka
