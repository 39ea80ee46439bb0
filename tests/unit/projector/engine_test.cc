#include "runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>

#include "state/database.h"
#include "tests/unit/projector/fake_log.h"
#include "tests/unit/projector/fake_projection.h"
#include "tests/unit/projector/fake_sink.h"

// What the engine does with a view whose sink cannot be made yet. One slot and no processor: the
// fakes bear one thread.
namespace voketag::runtime {
namespace {

using ::testing::UnorderedElementsAre;
using Sink = events::Result<std::unique_ptr<ViewSink>>;

constexpr int kTriesMax = 5;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() : state_(*state::Database::open(directory_)) {
    log_.append("left", 0, "one");
    log_.append("right", 0, "two");
    log_.rebalances.push_back({FakeLog::Change::kAssign, {0}});
  }
  ~EngineTest() override {
    state_.reset();
    std::filesystem::remove_all(directory_);
  }

  events::Status run(Engine::MakeSink make_sink) {
    EngineOptions options;
    options.standbys = false;
    Engine engine(log_, *state_, clock_, options);
    engine.add_projection(std::make_shared<Words>(), 1, std::move(make_sink));
    return engine.run(stop_);
  }

  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / ("voketag-engine-" + std::to_string(getpid()));
  std::unique_ptr<state::Database> state_;
  FakeLog log_;
  FakeDatabase database_;
  FakeClock clock_;
  std::atomic<bool> stop_{false};
  int tries_ = 0;
};

TEST_F(EngineTest, AViewWaitsUntilItsSinkCanBeMade) {
  const auto ran = run([&]() -> Sink {
    if (++tries_ < kTriesMax) {
      EXPECT_EQ(log_.joins, 0);
      return events::fail(events::Errc::kUnavailable, "PostgreSQL is away");
    }
    auto sink = std::make_unique<FakeSink>(database_);
    sink->before_commit = [&] { stop_ = true; };
    return sink;
  });
  EXPECT_TRUE(ran.has_value());
  EXPECT_EQ(tries_, kTriesMax);
  EXPECT_EQ(log_.joins, 1);
  EXPECT_THAT(database_.rows, UnorderedElementsAre("one", "two"));
}

TEST_F(EngineTest, AStopDoesNotWaitForASink) {
  const auto ran = run([&]() -> Sink {
    stop_ = ++tries_ >= kTriesMax;
    return events::fail(events::Errc::kUnavailable, "PostgreSQL is away");
  });
  EXPECT_TRUE(ran.has_value());
  EXPECT_EQ(log_.joins, 0);
}

TEST_F(EngineTest, ASinkThatCanNeverBeMadeEndsTheEngine) {
  const auto ran = run([&]() -> Sink {
    ++tries_;
    return events::fail(events::Errc::kConflict, "the schema is newer than this program");
  });
  ASSERT_FALSE(ran.has_value());
  EXPECT_EQ(ran.error().code, events::Errc::kConflict);
  EXPECT_EQ(tries_, 1);
}

}  // namespace
}  // namespace voketag::runtime
