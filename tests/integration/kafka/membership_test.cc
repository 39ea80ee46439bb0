#include "tests/integration/kafka/kafka_fixture.h"

namespace voketag::kafka {
namespace {

using ::testing::ElementsAre;

class MembershipTest : public KafkaTest {
 protected:
  void SetUp() override {
    KafkaTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    create_topic("in", 4);
  }
};

TEST_F(MembershipTest, ASecondMemberGetsWhatTheFirstHasGivenUp) {
  RecordingListener first_listener;
  RecordingListener second_listener;
  const auto first = join("in", first_listener, 4);
  auto second = log().join(group(), "in");
  ASSERT_OK(second);
  bool overlap = false;
  first_listener.before_revoke = [&] { overlap = overlap || !second_listener.owned.empty(); };
  const std::int64_t started_ms = monotonic_ms();
  ASSERT_TRUE(poll_until({{first.get(), &first_listener}, {second->get(), &second_listener}}, [&] {
    return first_listener.owned.size() == 2 && second_listener.owned.size() == 2;
  }));
  std::printf("two members settled in %ld ms\n", static_cast<long>(monotonic_ms() - started_ms));
  EXPECT_FALSE(overlap) << "a partition was given out before it was given back";
  for (const auto partition : first_listener.owned) {
    EXPECT_EQ(second_listener.owned.count(partition), 0U);
  }
  // Cooperative: what stays is not interrupted.
  EXPECT_EQ(first_listener.calls.size(), 2U);
  EXPECT_EQ(first_listener.calls.at(0), "+0,1,2,3");
  EXPECT_EQ(first_listener.calls.at(1).at(0), '-');

  (*second)->leave(second_listener);
  EXPECT_TRUE(second_listener.owned.empty());
  EXPECT_EQ(second_listener.calls.back().at(0), '-');
  EXPECT_TRUE(poll_until({{first.get(), &first_listener}},
                         [&] { return first_listener.owned.size() == 4; }));
}

// While on_revoked runs, the member is still the owner: its last commit is accepted.
TEST_F(MembershipTest, OffsetsCanBeCommittedWhilePartitionsAreRevoked) {
  RecordingListener listener;
  const auto member = join("in", listener, 4);
  const auto producer = begun_producer(unique("id"));
  runtime::CommitResult result;
  listener.before_revoke = [&] {
    const runtime::TopicPartitionOffset position{"in", 0, 3};
    result = producer->commit(std::span(&position, 1), *member);
  };
  member->leave(listener);
  EXPECT_EQ(result.outcome, runtime::CommitOutcome::kCommitted) << result.detail;
  EXPECT_EQ(committed("in"), 3);
}

TEST_F(MembershipTest, LeavingTwiceAndWithoutPartitionsIsQuick) {
  RecordingListener listener;
  auto member = log().join(group(), "in");
  ASSERT_OK(member);
  const std::int64_t started_ms = monotonic_ms();
  (*member)->leave(listener);
  (*member)->leave(listener);
  EXPECT_LT(monotonic_ms() - started_ms, 5000);
  EXPECT_TRUE(listener.owned.empty());
}

// A rebalance every few hundred milliseconds, and a transaction with offsets again and again: a
// member that keeps its partitions must not be told that it lost them.
TEST_F(MembershipTest, CommitsDuringRebalancesNeverFenceAMemberThatStays) {
  RecordingListener listener;
  const auto member = join("in", listener, 4);
  const auto producer = begun_producer(unique("id"));
  int committed_count = 0;
  int aborted_count = 0;
  for (int round = 0; round < 6; ++round) {
    RecordingListener guest_listener;
    auto guest = log().join(group(), "in");
    ASSERT_OK(guest);
    const std::size_t wanted = 2;
    const auto commit_once = [&] {
      const runtime::TopicPartitionOffset position{"in", *listener.owned.begin(), 1};
      const auto result = producer->commit(std::span(&position, 1), *member);
      ASSERT_TRUE(result.outcome == runtime::CommitOutcome::kCommitted ||
                  result.outcome == runtime::CommitOutcome::kAborted)
          << result.detail;
      ++(result.outcome == runtime::CommitOutcome::kCommitted ? committed_count : aborted_count);
      ASSERT_OK(producer->begin());
    };
    ASSERT_TRUE(poll_until({{member.get(), &listener}, {guest->get(), &guest_listener}}, [&] {
      commit_once();
      return HasFatalFailure() || guest_listener.owned.size() == wanted;
    }));
    (*guest)->leave(guest_listener);
    ASSERT_TRUE(poll_until({{member.get(), &listener}}, [&] {
      commit_once();
      return HasFatalFailure() || listener.owned.size() == 4;
    }));
  }
  std::printf("%d committed, %d aborted\n", committed_count, aborted_count);
  EXPECT_GT(committed_count, 6);
}

}  // namespace
}  // namespace voketag::kafka
