#include "runtime/test_driver.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "events/partitioner.h"
#include "runtime/standby.h"
#include "runtime/task.h"

namespace voketag::runtime {
namespace {

constexpr std::size_t kTraceLines = 80;
constexpr std::size_t kInstancesMax = 3;
constexpr std::int64_t kStepsBetweenChecks = 100;
// A process that stands still in the middle of a call: long enough to be expelled and succeeded.
constexpr std::int64_t kPauseMsMax = 15'000;
constexpr int kPauseStepsMax = 600;
// How far the time of day of an instance is set from the right one. Two that differ by that much
// twice over are within what a store's age may be wrong by (roll_forward.cc).
constexpr std::int64_t kClockAheadMsMax = 5LL * 3600 * 1000;
// While nothing but timers waits: few enough at a time that nobody's session ends.
constexpr std::int64_t kIdleJumpMs = 1'000;
// The states are small, and files are laid out for as much as a write buffer takes.
constexpr std::size_t kDatabaseBytes = 512U << 10;
// A quiet spell lasts a minute at least, doubled up to so many times, and a part of that again.
constexpr std::int64_t kQuietMsMin = 60'000;
constexpr std::int64_t kQuietDoublingsMax = 13;
// What is at hand is done first, if so many steps do; then time passes in strides.
constexpr int kRestStepsMax = 4'000;
constexpr std::int64_t kStrideMsMax = 12LL * 3600 * 1000;
constexpr int kStridesMax = 100;
constexpr int kStepsPerStride = 40;
// As many writes as a power failure takes at most.
constexpr std::int64_t kUnsyncedWritesMax = 20;
constexpr std::string_view kTimerPrefix = "timer/";
constexpr std::size_t kDueDigits = 20;

MemoryLogOptions log_options(const TestDriverOptions& options, std::mt19937_64& random) {
  MemoryLogOptions result;
  result.seed = random();
  if (!options.disturbed) return result;
  // Each fault is on in every other run: what hides behind another one is found as well.
  const auto rate = [&](double most) {
    return random() % 2 == 0 ? 0 : most * static_cast<double>(random() % 1000) / 1000;
  };
  result.faults.commit_unknown = rate(0.3);
  result.faults.commit_aborted = rate(0.3);
  result.faults.commit_fatal = rate(0.1);
  result.faults.commit_troubled = rate(0.5);
  result.faults.commit_crash = rate(0.1);
  result.faults.marker_slow = rate(0.5);
  result.faults.marker_slow_ms_max = 1 + static_cast<std::int64_t>(random() % 3'000);
  result.faults.write_failed = rate(0.3);
  result.faults.call_failed = rate(0.05);
  result.faults.membership_failed = rate(0.002);
  result.faults.fetch_short = rate(0.5);
  result.faults.commit_fenced = rate(0.1);
  result.faults.request_late = rate(1.0);
  result.faults.paused = rate(0.02);
  return result;
}

}  // namespace

struct TestDriver::Part {
  std::string name;
  std::string place;  // for the trace: instance and name
  std::unique_ptr<Worker> worker;
  std::unique_ptr<MemoryViewSink> sink;
  std::unique_ptr<Projector> projector;
  std::unique_ptr<Standby> standby;
  bool paused = false;
};

struct TestDriver::Instance {
  std::string name;
  std::filesystem::path directory;
  std::filesystem::path copy;               // of the directory, from an earlier crash
  std::shared_ptr<state::MemoryDisk> disk;  // what holds the database, if it lies in memory
  std::optional<state::MemoryDisk> disk_copy;
  std::unique_ptr<state::Database> database;
  std::unique_ptr<DeviatingClock> clock;  // the machine's, whichever process runs on it
  std::vector<Part> parts;                // the workers first, in the order of their processors
  Moment frozen_until;
  bool within_a_call = false;  // it stands still there: nothing may touch it
  bool alive() const { return database != nullptr; }
};

TestDriver::TestDriver(TestSystem system, TestDriverOptions options)
    : system_(std::move(system)),
      options_(std::move(options)),
      random_(options_.seed),
      log_(clock_, log_options(options_, random_)) {
  // Rarely disturbed runs get more work done between one trouble and the next.
  disturbance_rate_ = 0.001 * static_cast<double>(1 + below(10));
  records_per_poll_max_ = options_.disturbed ? static_cast<std::size_t>(1 + below(8)) : 500;
  notes_.resize(kTraceLines);
  std::filesystem::remove_all(options_.directory);
  std::filesystem::create_directories(options_.directory);
  log_.on_pause([this] { stand_still(); });
  const double views_fail = options_.disturbed && chance(0.5) ? 0.1 : 0;
  views_.next_fault = [this, views_fail] {
    if (calm_ || !chance(views_fail)) return MemoryViews::Fault::kNone;
    return below(2) == 0 ? MemoryViews::Fault::kLost : MemoryViews::Fault::kUnknownButDone;
  };
}

TestDriver::~TestDriver() {
  instances_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(options_.directory, ignored);
}

void TestDriver::at_step(std::int64_t step, std::function<void()> action) {
  actions_.emplace(step, std::move(action));
}

// ---- instances ----------------------------------------------------------------------------------

TestDriver::Instance* TestDriver::find(std::string_view name) {
  for (auto& instance : instances_) {
    if (instance->name == name) return instance.get();
  }
  return nullptr;
}

std::vector<TestDriver::Instance*> TestDriver::live_instances() {
  std::vector<Instance*> live;
  for (auto& instance : instances_) {
    if (instance->alive() && !instance->within_a_call) live.push_back(instance.get());
  }
  return live;
}

void TestDriver::start(const std::string& name) {
  Instance* instance = find(name);
  if (instance == nullptr) {
    instances_.push_back(std::make_unique<Instance>());
    instance = instances_.back().get();
    instance->name = name;
    instance->directory = options_.directory / name;
    instance->copy = options_.directory / (name + ".copy");
    instance->clock = std::make_unique<DeviatingClock>(clock_);
    if (options_.state_on == StateOn::kMemory) {
      instance->disk = std::make_shared<state::MemoryDisk>();
    }
  }
  if (!instance->alive()) start_instance(*instance);
}

void TestDriver::start_instance(Instance& instance) {
  note(instance.name + " starts");
  std::filesystem::create_directories(instance.directory);
  if (instance.disk) {
    instance.database = state::Database::open_in_memory(instance.disk);
  } else {
    auto database = state::Database::open(
        instance.directory,
        {.block_cache_bytes = kDatabaseBytes, .write_buffer_bytes = kDatabaseBytes});
    if (!database) {
      error_ = database.error();
      return;
    }
    instance.database = *std::move(database);
  }
  instance.frozen_until = {};
  for (const auto& processor : system_.processors) {
    const std::string name(processor->name());
    WorkerOptions options;
    options.group = name;
    options.transactional_id = name + "." + instance.name;
    options.records_per_poll_max = records_per_poll_max_;
    options.crash_marker_file = instance.directory / ("handling-" + name);
    options.member_file = instance.directory / ("member-" + name);
    Part part;
    part.name = name;
    part.place = instance.name + " " + part.name;
    part.worker =
        std::make_unique<Worker>(log_, *instance.database, *processor, *instance.clock, options);
    instance.parts.push_back(std::move(part));
  }
  for (const auto& projection : system_.projections) {
    ProjectorOptions options;
    options.member_file = instance.directory / ("member-view-" + std::string(projection->name()));
    options.records_per_poll_max = records_per_poll_max_;
    Part part;
    part.name = "view of " + std::string(projection->name());
    part.place = instance.name + " " + part.name;
    part.sink = std::make_unique<MemoryViewSink>(views_, std::string(projection->name()));
    part.projector =
        std::make_unique<Projector>(log_, *projection, *part.sink, *instance.clock, options);
    instance.parts.push_back(std::move(part));
  }
  if (!options_.standbys) return;
  std::vector<std::string> processors;
  for (const auto& processor : system_.processors) processors.emplace_back(processor->name());
  Part part;
  part.name = "standby";
  part.standby =
      std::make_unique<Standby>(log_, *instance.database, *instance.clock, std::move(processors));
  instance.parts.push_back(std::move(part));
}

// Kills the process: nothing is committed, nothing is left in order.
void TestDriver::end_instance(Instance& instance) {
  instance.parts.clear();
  instance.database.reset();
}

void TestDriver::crash(const std::string& name, StateFate fate) {
  Instance& instance = *find(name);
  end_instance(instance);
  apply_fate(instance, fate);
}

void TestDriver::apply_fate(Instance& instance, StateFate fate) {
  switch (fate) {
    case StateFate::kKept:
      // A copy stays for a while, so that it is an old one when its time comes.
      if (std::filesystem::exists(instance.copy) && below(4) != 0) return;
      std::filesystem::remove_all(instance.copy);
      std::filesystem::copy(instance.directory, instance.copy,
                            std::filesystem::copy_options::recursive);
      if (instance.disk) instance.disk_copy = *instance.disk;
      return;
    case StateFate::kLost:
      std::filesystem::remove_all(instance.directory);
      if (instance.disk) *instance.disk = {};
      return;
    case StateFate::kOlderCopy:
      if (!std::filesystem::exists(instance.copy)) return;
      std::filesystem::remove_all(instance.directory);
      std::filesystem::rename(instance.copy, instance.directory);
      if (instance.disk) *instance.disk = *std::exchange(instance.disk_copy, std::nullopt);
      return;
    case StateFate::kUnsyncedLost:
      if (!instance.disk) return;
      instance.disk->lose_writes(static_cast<std::size_t>(1 + below(kUnsyncedWritesMax)));
      return;
  }
}

events::Status TestDriver::stop(const std::string& name) {
  Instance& instance = *find(name);
  note(name + " stops in order");
  events::Status result;
  Instance* const caller = std::exchange(stepping_, &instance);
  try {
    for (auto& part : instance.parts) {
      if (part.standby) continue;
      const auto status = part.worker ? part.worker->stop() : part.projector->stop();
      if (!status && result) result = status;
    }
  } catch (const SimulatedCrash&) {
    note(name + " crashes while it stops");
  }
  stepping_ = caller;
  end_instance(instance);
  return result;
}

// ---- steps --------------------------------------------------------------------------------------

void TestDriver::pause(const std::string& name, const std::string& part, bool paused) {
  for (auto& candidate : find(name)->parts) {
    if (candidate.name == part) candidate.paused = paused;
  }
}

void TestDriver::step_part(Instance& instance, Part& part) {
  if (part.paused) return;
  note(part.place);
  Instance* const caller = std::exchange(stepping_, &instance);
  try {
    events::Status status;
    if (part.worker) {
      // In a process they are two threads: either may be ahead of the other.
      if (!options_.disturbed || below(2) == 0) status = part.worker->step(0);
      if (status && (!options_.disturbed || below(2) == 0)) {
        status = part.worker->restorer().step(0);
      }
    } else if (part.standby) {
      // As the engine does while something is being restored.
      if (options_.disturbed && below(4) == 0) {
        part.standby->give_way();
      } else {
        status = part.standby->step(0);
      }
    } else {
      status = part.projector->step(0);
    }
    stepping_ = caller;
    if (!status) end_process(instance, part.name, status.error());
  } catch (const SimulatedCrash&) {
    stepping_ = caller;
    note(part.place + " dies in a commit");
    end_instance(instance);
  }
}

// The process that is being stepped stands still within a call, as under SIGSTOP; the others go on,
// and may take from it all that it has. One at a time: the call is on our stack.
void TestDriver::stand_still() {
  if (calm_ || stepping_ == nullptr || standing_still_) return;
  Instance& paused = *stepping_;
  happened("pause within a call", paused.name);
  paused.within_a_call = standing_still_ = true;
  const std::int64_t until_ms = clock_.moment().ms + 1 + below(kPauseMsMax);
  for (int i = 0; i < kPauseStepsMax && clock_.moment().ms < until_ms && !error_; ++i) {
    disturb();
    step_chosen();
    clock_.advance(1 + below(50));
  }
  paused.within_a_call = standing_still_ = false;
  note(paused.name + " goes on");
}

// An error ends the process. Whoever was frozen again and again may come to that by itself
// (Worker::fenced), and is started again by whatever started it; any other error is a failure.
void TestDriver::end_process(Instance& instance, const std::string& doing,
                             const events::Error& error) {
  const std::string who = instance.name + " " + doing;
  if (options_.disturbed && error.code == events::Errc::kFenced) {
    happened("end after three take-overs", who);
    end_instance(instance);
  } else if (!error_) {
    error_ = events::Error{error.code, who + ": " + error.message};
  }
}

void TestDriver::step_chosen() {
  std::vector<Instance*> ready;
  for (Instance* instance : live_instances()) {
    if (instance->frozen_until <= clock_.moment()) ready.push_back(instance);
  }
  if (ready.empty()) return;
  const auto pick = [&](std::size_t count) {
    return options_.disturbed ? static_cast<std::size_t>(below(static_cast<std::int64_t>(count)))
                              : static_cast<std::size_t>(step_) % count;
  };
  Instance& instance = *ready[pick(ready.size())];
  step_part(instance, instance.parts[pick(instance.parts.size())]);
}

// Any of those that can be disturbed; half of the time one that is just taking something over.
TestDriver::Instance* TestDriver::choose_victim() {
  auto candidates = live_instances();
  if (candidates.empty()) return nullptr;
  if (below(2) == 0) {
    const auto restoring = [](const Instance* instance) {
      return std::ranges::any_of(instance->parts, [](const Part& part) {
        return part.worker && part.worker->connected() && !part.worker->settled();
      });
    };
    std::vector<Instance*> unsettled;
    std::ranges::copy_if(candidates, std::back_inserter(unsettled), restoring);
    if (!unsettled.empty()) candidates = std::move(unsettled);
  }
  return candidates[static_cast<std::size_t>(below(static_cast<std::int64_t>(candidates.size())))];
}

// One instance after the other, each while the others are still at the consequences.
void TestDriver::crash_in_turn() {
  if (crashes_in_turn_ == 0 || !chance(0.02)) return;
  Instance* const victim = choose_victim();
  if (victim == nullptr) return;
  --crashes_in_turn_;
  happened("crash in turn", victim->name);
  crash(victim->name, below(4) == 0 ? StateFate::kLost : StateFate::kKept);
}

void TestDriver::disturb() {
  for (auto& instance : instances_) {
    if (!instance->alive() && chance(0.02)) start_instance(*instance);
  }
  crash_in_turn();
  if (!chance(disturbance_rate_)) return;
  Instance* const victim = choose_victim();
  switch (below(10)) {
    case 0: {
      if (victim == nullptr) return;
      static constexpr std::array<const char*, 4> kKinds{"crash", "crash, state lost",
                                                         "crash, older state", "power failure"};
      const auto fate = static_cast<StateFate>(below(kKinds.size()));
      happened(kKinds.at(static_cast<std::size_t>(fate)), victim->name);
      crash(victim->name, fate);
      return;
    }
    case 9: {
      if (victim == nullptr) return;
      const std::int64_t ahead_ms = below(2 * kClockAheadMsMax) - kClockAheadMsMax;
      happened("time of day set", victim->name + ", " + std::to_string(ahead_ms) + " ms ahead");
      victim->clock->set_ahead(ahead_ms);
      return;
    }
    case 8:
      be_quiet();
      return;
    case 7:
      crashes_in_turn_ = 2 + below(4);
      return;
    case 1:
      if (instances_.size() >= kInstancesMax) return;
      happened("new instance", std::to_string(instances_.size() + 1));
      start("instance-" + std::to_string(instances_.size() + 1));
      return;
    case 2:
      if (victim == nullptr) return;
      victim->frozen_until = {clock_.moment().ms + 500 + below(15'000)};
      happened("freeze", victim->name);
      return;
    case 3: {
      if (victim == nullptr || victim->frozen_until > clock_.moment()) return;
      happened("stop", victim->name);
      if (const auto status = stop(victim->name); !status)
        end_process(*victim, "stop", status.error());
      return;
    }
    case 4: {
      const auto jump_ms = below(8'000);
      happened("standstill of all", std::to_string(jump_ms) + " ms");
      clock_.advance(jump_ms);
      return;
    }
    default:
      happened("compaction", "of the changelogs");
      compact_changelogs();
  }
}

// All that is at hand comes to an end, then nothing happens for long, and then it goes on as
// before.
void TestDriver::be_quiet() {
  if (calm_ || standing_still_) return;
  const MemoryLogFaults faults = log_.faults();
  calm_down();
  // Whoever goes before the last work is done does not learn what it erased.
  if (below(2) == 0) lay_down_some(1);
  if (come_to_rest()) {
    const std::int64_t ms = kQuietMsMin << below(kQuietDoublingsMax + 1);
    happened("quiet spell", std::to_string(ms / 60'000) + " minutes at least");
    lay_down_some(0);
    let_time_pass(ms + below(ms));
  }
  log_.set_faults(faults);
  calm_ = false;
  disturbed_from_ms_ = simulated_ms();
  note("faults begin again");
}

bool TestDriver::come_to_rest() {
  for (int steps = 0; steps < kRestStepsMax && !error_; steps += kStepsBetweenChecks) {
    step_quietly(kStepsBetweenChecks);
    if (!consumed()) continue;
    const auto timer = next_timer();
    if (!timer) return true;
    wait_for_timer(*timer);
  }
  return false;
}

// So many instances stay up at least.
void TestDriver::lay_down_some(std::size_t left_min) {
  auto left = live_instances().size();
  for (Instance* instance : live_instances()) {
    if (left <= left_min || below(2) == 0) continue;
    --left;
    if (below(2) == 0) {
      if (const auto status = stop(instance->name); !status) {
        end_process(*instance, "stop", status.error());
      }
    } else {
      crash(instance->name, StateFate::kKept);
    }
  }
}

// Whoever is up polls all the while, which need not be gone through: a stride ends where somebody
// has something to do. Only the dead have a transaction open meanwhile.
void TestDriver::let_time_pass(std::int64_t ms) {
  const std::int64_t until_ms = clock_.moment().ms + ms;
  for (int stride = 0; stride < kStridesMax && clock_.moment().ms < until_ms && !error_; ++stride) {
    step_quietly(kStepsPerStride);
    const std::int64_t stride_ms = log_.settled() ? kStrideMsMax : kIdleJumpMs;
    clock_.advance(std::min(1 + below(stride_ms), until_ms - clock_.moment().ms));
    log_.keep_members();
    if (below(4) == 0) compact_changelogs();
  }
}

// No longer than to where it may be due. One that is overdue by the brokers' time of day fires in
// the next steps, or, where that was set back, after the time that its record asked for.
void TestDriver::wait_for_timer(events::Timestamp due) {
  const std::int64_t left_ms = due.ms - clock_.now().ms;
  if (left_ms > 0 || options_.disturbed) {
    clock_.advance(left_ms > 0 ? std::min(left_ms, kIdleJumpMs) : kIdleJumpMs);
  }
}

void TestDriver::step_quietly(int steps) {
  for (int i = 0; i < steps && !error_; ++i) {
    ++quiet_steps_;
    step_chosen();
    clock_.advance(1 + below(15));
  }
}

void TestDriver::compact_changelogs() {
  for (const auto& processor : system_.processors) log_.compact(changelog_topic(processor->name()));
}

void TestDriver::start_all() {
  for (auto& instance : instances_) {
    if (!instance->alive()) start_instance(*instance);
  }
}

void TestDriver::calm_down() {
  if (calm_) return;
  calm_ = true;
  disturbed_ms_ += simulated_ms() - disturbed_from_ms_;
  note("faults end");
  log_.set_faults({});
  for (auto& instance : instances_) instance->frozen_until = {};
  start_all();
}

events::Status TestDriver::run() {
  if (instances_.empty()) start("instance-1");
  if (!options_.disturbed) calm_ = true;
  while (!error_ && step_ < options_.steps_max) {
    ++step_;
    while (!actions_.empty() && actions_.begin()->first <= step_) {
      actions_.extract(actions_.begin()).mapped()();
    }
    if (options_.disturbed && step_ < options_.disturbed_steps) {
      disturb();
    } else if (options_.disturbed) {
      calm_down();
      // A crash in a commit that was decided before the faults ended.
      start_all();
    }
    step_chosen();
    clock_.advance(options_.disturbed ? 1 + below(15) : 5);
    if (!calm_ || !actions_.empty() || step_ % kStepsBetweenChecks != 0 || !consumed()) continue;
    const auto timer = next_timer();
    if (!timer) return {};
    wait_for_timer(*timer);
  }
  if (error_) return tl::unexpected(*error_);
  const auto timer = next_timer();
  return events::fail(events::Errc::kTimeout,
                      "no rest after " + std::to_string(step_) + " steps: " + unrest() +
                          (timer ? "; the next timer is due at " + timer->to_string() : ""));
}

events::Status TestDriver::run_for(std::int64_t ms) {
  const auto end = clock_.moment().ms + ms;
  while (clock_.moment().ms < end && !error_) {
    ++step_;
    for (Instance* instance : live_instances()) {
      for (std::size_t i = 0; i < instance->parts.size(); ++i) {
        step_part(*instance, instance->parts[i]);
        if (!instance->alive()) break;
      }
    }
    clock_.advance(std::min<std::int64_t>(10, end - clock_.moment().ms));
  }
  if (error_) return tl::unexpected(*error_);
  return {};
}

events::Status TestDriver::run_until_idle(std::int64_t ms) {
  const auto end = clock_.moment().ms + ms;
  while (clock_.moment().ms < end) {
    if (const auto status = run_for(100); !status) return status;
    if (consumed()) return {};
  }
  return {};
}

// ---- rest ---------------------------------------------------------------------------------------

std::string TestDriver::unread(std::string_view topic,
                               const std::function<std::int64_t(std::int32_t)>& position) const {
  for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
    const auto next = log_.next_record({std::string(topic), partition}, position(partition));
    if (!next) continue;
    return std::string(topic) + " partition " + std::to_string(partition) + " offset " +
           std::to_string(*next) + " was not consumed by ";
  }
  return {};
}

std::string TestDriver::unrest() const {
  if (!log_.settled()) return "a transaction is not settled";
  auto& log = const_cast<MemoryLog&>(log_);  // asking moves nothing, but Log does not promise it
  for (const auto& processor : system_.processors) {
    for (const auto topic : processor->inputs()) {
      const auto position = [&](std::int32_t partition) -> std::int64_t {
        const TopicPartition name{std::string(topic), partition};
        const auto offsets = log.committed(processor->name(), std::span(&name, 1));
        return offsets ? offsets->offsets[0].value_or(0) : 0;
      };
      if (auto left = unread(topic, position); !left.empty()) {
        return left + std::string(processor->name());
      }
    }
  }
  for (const auto& projection : system_.projections) {
    for (const auto topic : projection->inputs()) {
      const auto position = [&](std::int32_t partition) {
        return views_.position(projection->name(), {std::string(topic), partition});
      };
      if (auto left = unread(topic, position); !left.empty()) {
        return left + "the view " + std::string(projection->name());
      }
    }
  }
  return lagging_standby();
}

std::string TestDriver::lagging_standby() const {
  if (!options_.standbys) return {};
  for (std::size_t i = 0; i < system_.processors.size(); ++i) {
    const std::string processor(system_.processors[i]->name());
    std::map<std::int32_t, std::int64_t> ends;
    for (const auto& record : log_.records(changelog_topic(processor))) {
      ends[record.partition] = record.offset + 1;
    }
    for (const auto& instance : instances_) {
      if (!instance->alive()) continue;
      const auto active = instance->parts[i].worker->active_partitions();
      const auto followed = instance->parts.back().standby->followed();
      for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
        if (std::ranges::find(active, partition) != active.end()) continue;
        const std::string where =
            processor + " partition " + std::to_string(partition) + " in " + instance->name;
        if (std::ranges::find(followed, std::pair(processor, partition)) == followed.end()) {
          return "nobody has " + where;
        }
        const auto position =
            read_store_position(*instance->database->open_partition(processor, partition));
        if ((position ? position->changelog_offset : 0) < ends[partition]) {
          return "the standby is behind with " + where;
        }
      }
    }
  }
  return {};
}

bool TestDriver::consumed() const {
  return unrest().empty();
}

std::optional<events::Timestamp> TestDriver::next_timer() const {
  std::optional<events::Timestamp> next;
  for (const auto& processor : system_.processors) {
    for (const auto& [key, value] : state(processor->name(), kTimerPrefix)) {
      const auto name = std::string_view(key).substr(key.find('/') + 1);
      const events::Timestamp due{
          std::stoll(std::string(name.substr(kTimerPrefix.size(), kDueDigits)))};
      if (!next || due < *next) next = due;
    }
  }
  return next;
}

std::map<std::string, std::string> TestDriver::state(std::string_view processor) const {
  return state(processor, "");
}

std::map<std::string, std::string> TestDriver::state(std::string_view processor,
                                                     std::string_view prefix) const {
  std::map<std::string, std::string> result;
  log_.for_each_record(changelog_topic(processor),
                       [&](std::int32_t partition, const events::OutputRecord& record) {
                         const std::string& name = record.key.value();
                         if (name == kClaimKey || name == kCommitKey || !name.starts_with(prefix))
                           return;
                         const std::string key = std::to_string(partition) + "/" + name;
                         if (record.value) {
                           result.insert_or_assign(key, *record.value);
                         } else {
                           result.erase(key);
                         }
                       });
  return result;
}

std::string TestDriver::compare_local_state() const {
  std::string differences;
  for (const auto& instance : instances_) {
    if (!instance->alive()) continue;
    for (std::size_t i = 0; i < system_.processors.size(); ++i) {
      const auto& name = instance->parts[i].name;
      std::map<std::string, std::string> local;
      std::map<std::string, std::string> recorded;
      const auto changelog = state(name);
      auto partitions = instance->parts[i].worker->active_partitions();
      if (options_.standbys) {
        for (const auto& [processor, partition] : instance->parts.back().standby->followed()) {
          if (processor == name) partitions.push_back(partition);
        }
      }
      for (const auto partition : partitions) {
        const std::string prefix = std::to_string(partition) + "/";
        instance->database->open_partition(name, partition)
            ->scan("", [&](std::string_view key, std::string_view value) {
              local[prefix + std::string(key)] = std::string(value);
              return true;
            });
        for (const auto& [key, value] : changelog) {
          if (key.starts_with(prefix)) recorded[key] = value;
        }
      }
      if (local == recorded) continue;
      differences += instance->name + " " + name + ": " + std::to_string(local.size()) +
                     " keys in the local state, " + std::to_string(recorded.size()) +
                     " in the changelog, or other values\n";
    }
  }
  return differences;
}

std::map<std::string, int> TestDriver::disturbances() const {
  auto all = disturbances_;
  for (const auto& [kind, times] : log_.disturbed_commits()) all[kind] += times;
  return all;
}

// ---- chance and trace ---------------------------------------------------------------------------

bool TestDriver::chance(double probability) {
  if (probability <= 0) return false;
  return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability;
}

std::int64_t TestDriver::below(std::int64_t bound) {
  return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(bound));
}

void TestDriver::note(std::string_view what) {
  Note& place = notes_[noted_++ % notes_.size()];
  place.step = steps();
  place.at_ms = simulated_ms();
  place.what.assign(what);
}

void TestDriver::happened(const std::string& kind, const std::string& what) {
  ++disturbances_[kind];
  note(kind + ": " + what);
}

std::string TestDriver::trace() const {
  std::string text;
  for (std::size_t i = noted_ - std::min(noted_, notes_.size()); i < noted_; ++i) {
    const Note& line = notes_[i % notes_.size()];
    text +=
        std::to_string(line.step) + " +" + std::to_string(line.at_ms) + " ms  " + line.what + "\n";
  }
  return text;
}

void silence_log() {
  spdlog::set_level(spdlog::level::off);
}

}  // namespace voketag::runtime
