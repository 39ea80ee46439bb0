#include "state/partition_lease.h"

#include <gtest/gtest.h>

namespace voketag::state {
namespace {

TEST(PartitionLeaseTest, ThoseInLineHaveItOneAfterTheOther) {
  PartitionLeases leases;
  auto first = leases.request("batches", 3);
  EXPECT_TRUE(first->granted());
  EXPECT_FALSE(first->wanted());
  auto second = leases.request("batches", 3);
  auto third = leases.request("batches", 3);
  EXPECT_TRUE(first->granted());
  EXPECT_TRUE(first->wanted());
  EXPECT_FALSE(second->granted());
  first.reset();
  EXPECT_TRUE(second->granted());
  EXPECT_FALSE(third->granted());
  second.reset();
  EXPECT_TRUE(third->granted());
  EXPECT_FALSE(third->wanted());
}

TEST(PartitionLeaseTest, WhoeverLeavesTheLineIsNotWaitedFor) {
  PartitionLeases leases;
  auto first = leases.request("batches", 3);
  auto second = leases.request("batches", 3);
  auto third = leases.request("batches", 3);
  second.reset();
  EXPECT_TRUE(first->wanted());
  third.reset();
  EXPECT_FALSE(first->wanted());
}

TEST(PartitionLeaseTest, WhoAsksForWhatIsFreeStandsInNoLine) {
  PartitionLeases leases;
  auto owner = leases.request("batches", 3);
  EXPECT_EQ(leases.request_if_free("batches", 3), nullptr);
  EXPECT_FALSE(owner->wanted());
  owner.reset();
  auto standby = leases.request_if_free("batches", 3);
  ASSERT_NE(standby, nullptr);
  EXPECT_TRUE(standby->granted());
  owner = leases.request("batches", 3);
  EXPECT_TRUE(standby->wanted());
}

TEST(PartitionLeaseTest, EachPartitionOfEachProcessorHasALineOfItsOwn) {
  PartitionLeases leases;
  const auto one = leases.request("batches", 3);
  EXPECT_TRUE(leases.request("batches", 4)->granted());
  EXPECT_TRUE(leases.request("tokens", 3)->granted());
  EXPECT_FALSE(one->wanted());
}

}  // namespace
}  // namespace voketag::state
