#include "tests/integration/kafka/kafka_fixture.h"

namespace voketag::kafka {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TopicsTest : public KafkaTest {};

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
    EXPECT_THAT(report.problems, IsEmpty()) << report.full_name;
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
  EXPECT_THAT(reports->at(0).problems, Contains(HasSubstr("voketag topics create")));
  EXPECT_THAT(reports->at(1).problems, Contains(HasSubstr("3 partitions")));
}

TEST_F(TopicsTest, AWrongConfigurationIsNamedWithItsCure) {
  const TopicSpec other{.name = "t", .partitions = 1, .config = {{"retention.ms", "60000"}}};
  ASSERT_OK(log().topics().ensure_topics(std::span(&other, 1)));
  const TopicSpec wanted{.name = "t", .partitions = 1};
  const auto reports = log().topics().describe(std::span(&wanted, 1));
  ASSERT_OK(reports);
  EXPECT_THAT(reports->at(0).problems,
              Contains(HasSubstr("has retention.ms=60000 and -1 is needed")));
}

TEST_F(TopicsTest, ACompactedTopicIsCompacted) {
  const TopicSpec changelog = changelog_topic("merkle", 1);
  ASSERT_OK(log().topics().ensure_topics(std::span(&changelog, 1)));
  TopicSpec kept = changelog;
  kept.cleanup = events::Cleanup::kKeep;
  const auto reports = log().topics().describe(std::span(&kept, 1));
  ASSERT_OK(reports);
  EXPECT_THAT(reports->at(0).problems, Contains(HasSubstr("has cleanup.policy=compact")));
}

}  // namespace
}  // namespace voketag::kafka
