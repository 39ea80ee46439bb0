#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "processors/processor.h"
#include "processors/projection.h"
#include "runtime/memory_log.h"
#include "runtime/memory_view_sink.h"
#include "runtime/projector.h"
#include "runtime/worker.h"
#include "state/database.h"
#include "state/memory_disk.h"

namespace voketag::runtime {

// What is run: every instance runs all of it. Processors and projections hold no state of their
// own.
struct TestSystem {
  std::vector<std::shared_ptr<processors::Processor>> processors;
  std::vector<std::shared_ptr<processors::Projection>> projections;
};

// Where the databases of the instances lie.
enum class StateOn { kDisk, kMemory };

struct TestDriverOptions {
  std::uint64_t seed = 1;
  // For the state of the instances; made and removed by the driver.
  std::filesystem::path directory;
  // In memory a database is opened in no time. It is RocksDB's overlays on a map then, not its
  // files.
  StateOn state_on = StateOn::kDisk;
  // An undisturbed run has one instance and steps its parts in turn; a disturbed one has whatever
  // the seed brings.
  bool disturbed = false;
  bool standbys = false;  // each instance has one (standby.h)
  // For so many steps things go wrong; then faults end and everything may come to rest.
  std::int64_t disturbed_steps = 3'000;
  std::int64_t steps_max = 200'000;
};

// What becomes of an instance's state when it crashes. kUnsyncedLost: power failed, and the last
// writes are gone (of a state in memory; on a disk it is kept).
enum class StateFate { kKept, kLost, kOlderCopy, kUnsyncedLost };

// Runs the engine over a simulated cluster, one step of one part at a time: workers, restorers,
// standbys and projectors of several instances, each instance with a database of its own.
// Which part is stepped, and what happens between the steps (crashes, one after the other too, and
// of whoever is taking over; processes that stand still between two steps or within a call; new
// instances, time that passes while nobody is stepped, an instance's time of day that is set hours
// back or forward, compaction, the faults of memory_log.h), follows from the seed alone; the same
// seed gives the same run.
//
// Now and then the disturbances pause until all work is done, and a quiet spell follows, of a
// minute to eleven days: stores grow old, tombstones vanish, sessions end, groups that have nobody
// left forget their offsets. Some instances may be down all the while.
//
// Not thread-safe.
class TestDriver {
 public:
  TestDriver(TestSystem system, TestDriverOptions options);
  ~TestDriver();
  TestDriver(const TestDriver&) = delete;
  TestDriver& operator=(const TestDriver&) = delete;

  // Something that is to happen (an input, say) at about this step.
  void at_step(std::int64_t step, std::function<void()> action);

  // Steps until every input is consumed, every row written, every standby close behind, no
  // transaction open and no timer set; time jumps to the next timer where there is nothing else to
  // do. An error: something could not be cured, or there was no rest within steps_max.
  events::Status run();

  // ---- by hand, for scenarios
  void start(const std::string& name);
  void crash(const std::string& name, StateFate fate = StateFate::kKept);
  events::Status stop(const std::string& name);
  // A part that is paused is not stepped: "tokens", or "view of products".
  void pause(const std::string& name, const std::string& part, bool paused);
  // Steps everything in turn for so much simulated time.
  events::Status run_for(std::int64_t ms);
  // As run, but time does not jump: stops before timers that lie further ahead than `ms`.
  events::Status run_until_idle(std::int64_t ms);

  ManualClock& clock() { return clock_; }
  MemoryLog& log() { return log_; }
  MemoryViews& views() { return views_; }

  // The state of a processor's partitions as its changelog has it: "partition/key" -> value,
  // without claims and commit records.
  std::map<std::string, std::string> state(std::string_view processor) const;
  // Where the local state of an active or followed partition differs from its changelog; empty:
  // nowhere.
  std::string compare_local_state() const;
  // The last steps, for a test that fails.
  std::string trace() const;
  std::int64_t steps() const { return step_ + quiet_steps_; }
  // How long it took, by the simulated clock.
  std::int64_t simulated_ms() const { return clock_.moment().ms - ManualClock().moment().ms; }
  // Of that, the time in which disturbances may happen: neither quiet spells, nor the end, when
  // what is left comes to rest.
  std::int64_t disturbed_ms() const {
    return calm_ ? disturbed_ms_ : disturbed_ms_ + simulated_ms() - disturbed_from_ms_;
  }
  // How often each kind of disturbance happened, for tests that ask whether anything did.
  std::map<std::string, int> disturbances() const;

 private:
  struct Instance;
  struct Part;

  void step_chosen();
  void stand_still();
  Instance* choose_victim();
  void crash_in_turn();
  void step_part(Instance& instance, Part& part);
  void end_process(Instance& instance, const std::string& doing, const events::Error& error);
  void disturb();
  void be_quiet();
  bool come_to_rest();
  void lay_down_some(std::size_t left_min);
  void let_time_pass(std::int64_t ms);
  void wait_for_timer(events::Timestamp due);
  void step_quietly(int steps);
  void compact_changelogs();
  void calm_down();
  void start_all();
  void note(std::string_view what);
  void happened(const std::string& kind, const std::string& what);
  Instance* find(std::string_view name);
  std::vector<Instance*> live_instances();
  void start_instance(Instance& instance);
  void end_instance(Instance& instance);
  void apply_fate(Instance& instance, StateFate fate);
  // Whether nothing waits but timers.
  bool consumed() const;
  // What is still to be done, or nothing.
  std::string unrest() const;
  std::string lagging_standby() const;
  std::string unread(std::string_view topic,
                     const std::function<std::int64_t(std::int32_t)>& position) const;
  // The last value of each key of a changelog that begins with a prefix: "partition/key" -> value.
  std::map<std::string, std::string> state(std::string_view processor,
                                           std::string_view prefix) const;
  std::optional<events::Timestamp> next_timer() const;
  bool chance(double probability);
  std::int64_t below(std::int64_t bound);

  const TestSystem system_;
  const TestDriverOptions options_;
  std::mt19937_64 random_;
  ManualClock clock_;
  MemoryLog log_;
  MemoryViews views_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::multimap<std::int64_t, std::function<void()>> actions_;
  double disturbance_rate_ = 0;
  std::size_t records_per_poll_max_ = 0;
  std::int64_t step_ = 0;
  std::int64_t quiet_steps_ = 0;  // those between the disturbances, which step_ does not count
  Instance* stepping_ = nullptr;  // whose call is on the stack
  bool standing_still_ = false;
  std::int64_t crashes_in_turn_ = 0;  // still to come
  bool calm_ = false;
  std::int64_t disturbed_ms_ = 0;       // up to when it became calm last
  std::int64_t disturbed_from_ms_ = 0;  // since when it is not calm
  std::optional<events::Error> error_;
  struct Note {
    std::int64_t step = 0;
    std::int64_t at_ms = 0;
    std::string what;
  };
  std::vector<Note> notes_;  // a ring: the place of the next is noted_ modulo its size
  std::size_t noted_ = 0;
  std::map<std::string, int> disturbances_;
};

// Silences the engine's log: under a simulation every warning is expected.
void silence_log();

}  // namespace voketag::runtime
