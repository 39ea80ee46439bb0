#include "processors/batches/chunk_window.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "processors/tokens/chunks.h"

namespace voketag::processors {
namespace {

TEST(ChunkWindowTest, CountsEachChunkOnce) {
  ChunkWindow window;
  window.next = 3;
  EXPECT_EQ(window.note_return(1), ChunkWindow::Return::kFirst);
  EXPECT_EQ(window.note_return(1), ChunkWindow::Return::kAgain);
  EXPECT_EQ(window.note_return(3), ChunkWindow::Return::kNeverRequested);
  EXPECT_EQ(window.note_return(-1), ChunkWindow::Return::kNeverRequested);
  EXPECT_EQ(window.open(), (std::vector<std::int64_t>{0, 2}));
}

TEST(ChunkWindowTest, AReturnEndsTheReminders) {
  ChunkWindow window;
  window.next = 2;
  window.reminders = 3;
  window.note_return(1);
  EXPECT_EQ(window.reminders, 0);
}

// Chunks come back in any order, some twice: each is requested once, never more than so many are
// out, and the window never stops before the last.
RC_GTEST_PROP(ChunkWindowTest, LeadsEveryBatchToItsEnd, ()) {
  const auto chunk_count = *rc::gen::inRange<std::int64_t>(1, 300);
  const auto in_flight_max = *rc::gen::inRange<std::int64_t>(1, 40);
  ChunkWindow window;
  std::set<std::int64_t> out;
  std::set<std::int64_t> back;
  for (;;) {
    const auto room = window.room(chunk_count, in_flight_max);
    for (auto i = 0; i < room; ++i) RC_ASSERT(out.insert(window.next++).second);
    RC_ASSERT(static_cast<std::int64_t>(out.size()) <= in_flight_max);
    RC_ASSERT(window.open() == std::vector<std::int64_t>(out.begin(), out.end()));
    RC_ASSERT(static_cast<std::int64_t>(window.returned.size()) <=
              ChunkWindow::kSpan * in_flight_max / 4 + 1);
    if (out.empty()) break;
    if (!back.empty() && *rc::gen::inRange(0, 5) == 0) {
      RC_ASSERT(window.note_return(*rc::gen::elementOf(back)) == ChunkWindow::Return::kAgain);
    }
    const auto chunk = *rc::gen::elementOf(out);
    RC_ASSERT(window.note_return(chunk) == ChunkWindow::Return::kFirst);
    out.erase(chunk);
    back.insert(chunk);
  }
  RC_ASSERT(static_cast<std::int64_t>(back.size()) == chunk_count);
}

TEST(ChunksTest, TheLastHoldsWhatIsLeft) {
  EXPECT_EQ(chunk_count(1000, 1024), 1);
  EXPECT_EQ(chunk_count(1024, 1024), 1);
  EXPECT_EQ(chunk_count(1025, 1024), 2);
  EXPECT_EQ(chunk_products(1025, 1024, 0), 1024);
  EXPECT_EQ(chunk_products(1025, 1024, 1), 1);
  EXPECT_EQ(chunk_count(10'000'000, 1024), 9766);
}

}  // namespace
}  // namespace voketag::processors
