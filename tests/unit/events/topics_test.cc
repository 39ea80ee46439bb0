#include "events/topics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "events/events.h"
#include "events/partitioner.h"

namespace voketag::events {
namespace {

const Topic* find(std::string_view name) {
  for (const Topic& topic : topic_catalogue()) {
    if (topic.name == name) return &topic;
  }
  return nullptr;
}

TEST(Topics, AllOfTheContractAreThereOnce) {
  const std::set<std::string_view> contract = {"batch-requested",
                                               "batch-accepted",
                                               "token-chunk-requested",
                                               "tokens-generated",
                                               "merkle-subtree-computed",
                                               "merkle-root-computed",
                                               "anchor-requested",
                                               "anchor-accepted",
                                               "anchor-queue",
                                               "anchor-submitted",
                                               "chain-observed",
                                               "anchor-completed",
                                               "anchor-failed",
                                               "anchor-invalidated",
                                               "batch-completed",
                                               "batch-failed",
                                               "products-declared",
                                               "product-status-changed",
                                               "scan-requested",
                                               "scan-evaluated",
                                               "fraud-reported",
                                               "card-job-requested",
                                               "cards-issued",
                                               "card-job-completed",
                                               "audit-recorded",
                                               "data-keys",
                                               "dead-letters"};
  std::multiset<std::string_view> found;
  for (const Topic& topic : topic_catalogue()) found.insert(topic.name);
  EXPECT_TRUE(std::equal(contract.begin(), contract.end(), found.begin(), found.end()));
}

TEST(Topics, EveryEventHasOne) {
  const auto check = [](const auto& event) { EXPECT_NE(find(event.kTopic), nullptr); };
  std::apply([&](const auto&... event) { (check(event), ...); }, AllEvents{});
}

TEST(Topics, Configuration) {
  for (const Topic& topic : topic_catalogue()) {
    EXPECT_EQ(topic.partitions, kPartitionCount) << topic.name;
    EXPECT_EQ(topic.cleanup, topic.name == "data-keys" ? Cleanup::kCompact : Cleanup::kKeep)
        << topic.name;
    EXPECT_FALSE(topic.key.empty()) << topic.name;
    EXPECT_FALSE(topic.meaning.empty()) << topic.name;
    if (topic.name == kDeadLetters) {
      EXPECT_GT(topic.message_bytes_max, kDeadLetterBytesMax);
    } else {
      EXPECT_EQ(topic.message_bytes_max, kInputBytesMax) << topic.name;
    }
  }
}

}  // namespace
}  // namespace voketag::events
