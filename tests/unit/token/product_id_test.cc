#include "processors/tokens/product_id.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <limits>

#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

using events::Uuid;

constexpr std::int64_t kTimeMs = 1'767'225'600'123;

TokenKey key_of(std::uint8_t fill) {
  return TokenKey(1, std::vector<std::uint8_t>(32, fill));
}

Uuid batch_id_of(std::uint64_t number) {
  Uuid id;
  for (int i = 0; i < 8; ++i)
    id.bytes[static_cast<std::size_t>(15 - i)] = static_cast<std::uint8_t>(number >> (8 * i));
  return id;
}

BatchPlan plan_of(std::uint64_t batch, std::int64_t count, std::uint8_t key = 7) {
  auto plan = BatchPlan::derive(key_of(key), {batch_id_of(batch), kTimeMs, count});
  EXPECT_TRUE(plan);
  return *plan;
}

std::uint64_t position_of(const BatchPlan& plan, std::int64_t index) {
  std::uint64_t position = 0;
  PositionStream(plan, index).next(std::span(&position, 1));
  return position;
}

TEST(ProductId, IsAUuidOfVersion8WithTheTimeInFront) {
  const BatchPlan plan = plan_of(1, 1000);
  for (const std::int64_t index : {0, 1, 500, 999}) {
    const Uuid id = plan.product_id(index);
    EXPECT_EQ(id.bytes[6] >> 4, 8);
    EXPECT_EQ(id.bytes[8] >> 6, 2);
    std::int64_t milliseconds = 0;
    for (std::size_t i = 0; i < 6; ++i) milliseconds = milliseconds << 8 | id.bytes[i];
    EXPECT_EQ(milliseconds, kTimeMs);
  }
}

TEST(ProductId, RisesWithTheIndex) {
  const BatchPlan plan = plan_of(2, 5000);
  Uuid previous = plan.product_id(0);
  for (std::int64_t index = 1; index < 5000; ++index) {
    const Uuid id = plan.product_id(index);
    ASSERT_LT(previous, id) << index;
    previous = id;
  }
}

TEST(ProductId, AnyRangeOfPositionsIsTheSameAsOneByOne) {
  const BatchPlan plan = plan_of(3, 3000);
  EXPECT_TRUE(rc::check([&plan] {
    const auto first = *rc::gen::inRange<std::int64_t>(0, 3000);
    const auto count = *rc::gen::inRange<std::int64_t>(1, 3001 - first);
    std::vector<std::uint64_t> positions(static_cast<std::size_t>(count));
    PositionStream stream(plan, first);
    const auto cut = *rc::gen::inRange<std::size_t>(0, positions.size() + 1);
    stream.next(std::span(positions).first(cut));
    stream.next(std::span(positions).subspan(cut));
    for (const std::int64_t i : {std::int64_t{0}, count / 2, count - 1})
      RC_ASSERT(positions[static_cast<std::size_t>(i)] == position_of(plan, first + i));
  }));
}

TEST(ProductId, TellsItsIndexToTheHolderOfTheKey) {
  EXPECT_TRUE(rc::check([] {
    const auto count = *rc::gen::inRange<std::int64_t>(1, kProductCountMax + 1);
    const auto index = *rc::gen::inRange<std::int64_t>(0, count);
    const BatchPlan plan = plan_of(*rc::gen::arbitrary<std::uint64_t>(), count);
    RC_ASSERT(plan.index_of(plan.product_id(index)) == index);
  }));
}

TEST(ProductId, OfAnotherBatchKeyOrPositionHasNoIndex) {
  const BatchPlan plan = plan_of(4, 1000);
  EXPECT_EQ(plan.index_of(plan_of(5, 1000).product_id(3)), std::nullopt);
  EXPECT_EQ(plan.index_of(plan_of(4, 1000, 8).product_id(3)), std::nullopt);
  for (std::size_t byte = 0; byte < 16; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      Uuid id = plan.product_id(3);
      id.bytes[byte] ^= static_cast<std::uint8_t>(1 << bit);
      EXPECT_EQ(plan.index_of(id), std::nullopt) << byte << ' ' << bit;
    }
  }
}

TEST(ProductId, OutsideTheBatchHasNoIndex) {
  const BatchPlan longer = plan_of(6, kProductCountMax);
  EXPECT_EQ(longer.index_of(Uuid{}), std::nullopt);
  Uuid last;
  last.bytes.fill(0xff);
  EXPECT_EQ(longer.index_of(last), std::nullopt);
}

// The largest batch at the widest stride ends within 42 bits, and every id keeps the batch's own
// bits.
TEST(ProductId, PositionsStayWithin42Bits) {
  for (std::uint64_t batch = 0; batch < 2000; ++batch) {
    const BatchPlan plan = plan_of(batch, kProductCountMax);
    EXPECT_LT(position_of(plan, kProductCountMax - 1),
              std::uint64_t{1} << BatchPlan::kPositionBits);
    EXPECT_EQ(plan.id_low() & ((std::uint64_t{1} << BatchPlan::kPositionBits) - 1), 0U);
  }
}

// What an outsider sees of two neighbours is their distance: it must be open over the whole range
// of strides, each octave about as likely as the next.
TEST(ProductId, DistancesCoverTheRangeOfStrides) {
  std::array<int, 8> octaves{};
  constexpr int kBatches = 6000;
  for (std::uint64_t batch = 0; batch < kBatches; ++batch) {
    const BatchPlan plan = plan_of(batch, 100'001);
    const std::uint64_t mean =
        (position_of(plan, 100'000) - position_of(plan, 0) + 50'000) / 100'000;
    ASSERT_GE(mean, BatchPlan::kStrideMin - 1);
    ASSERT_LE(mean, BatchPlan::kStrideMax);
    ++octaves[std::min<std::size_t>(7, static_cast<std::size_t>(std::bit_width(mean >> 12)))];
  }
  for (std::size_t octave = 1; octave <= 6; ++octave)
    EXPECT_NEAR(octaves[octave], kBatches / 6, 150) << octave;
}

TEST(ProductId, RefusesWhatDoesNotFit) {
  const TokenKey key = key_of(1);
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-1}, kProductCountMax + 1,
                                   std::numeric_limits<std::int64_t>::max()}) {
    const auto plan = BatchPlan::derive(key, {batch_id_of(1), kTimeMs, count});
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, events::Errc::kInvalid);
    EXPECT_NE(plan.error().message.find("1..10000000"), std::string::npos);
  }
  for (const std::int64_t time : {std::int64_t{-1}, std::int64_t{1} << 48}) {
    const auto plan = BatchPlan::derive(key, {batch_id_of(1), time, 1});
    ASSERT_FALSE(plan);
    EXPECT_NE(plan.error().message.find("clock"), std::string::npos);
  }
}

}  // namespace
}  // namespace voketag::processors
