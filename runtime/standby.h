#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/error.h"
#include "events/timestamp.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/roll_forward.h"
#include "state/database.h"

namespace voketag::runtime {

// Keeps the stores that no worker of this process works on close behind their changelogs, so that a
// Restorer has little left to read when the group gives their partitions to this process. A reader
// and nothing else: it claims and fences nobody, writes nothing to the log, and does not know who
// owns what. It never reads past the last stable offset.
//
// A store that is free it takes; one that is wanted it gives up at its next step. Between two steps
// everything that it has read is in the stores. What passes (a broker that does not answer) it
// waits for, and what is wrong with one changelog costs this partition's standby only.
//
// Used by one thread.
class Standby {
 public:
  // `processors`: the names of those that this process runs.
  Standby(Log& log, state::Database& database, const Clock& clock,
          std::vector<std::string> processors);
  ~Standby();
  Standby(const Standby&) = delete;
  Standby& operator=(const Standby&) = delete;

  // Gives up what is wanted, takes what is free, and reads; waits at most timeout_ms for records.
  // Returns at once where there is nothing to read. An error: the disk.
  events::Status step(int timeout_ms);
  // The first part of that alone, while something else of this process comes first.
  void give_way();

  // Whether step() waits for records.
  bool is_reading() const { return fetcher_ != nullptr; }
  // Processor and partition of the stores that are being followed.
  std::vector<std::pair<std::string, std::int32_t>> followed() const;

 private:
  struct Job {
    std::string processor;
    std::unique_ptr<state::PartitionLease> lease;  // until the store is there
    std::optional<RollForward> store;
    // What was committed at a moment, to be reached.
    struct Target {
      std::int64_t offset = 0;
      events::Timestamp asked_at;  // the time of day: it goes into the store
    };
    std::optional<Target> target;
    bool caught_up = false;  // a target was reached, once
  };
  using Jobs = std::map<TopicPartition, Job>;  // by changelog

  void take_free();
  events::Status open_stores();
  events::Status open_store(const TopicPartition& changelog, Job& job, Watermarks all);
  void set_targets();
  events::Status read_changelogs(int timeout_ms);
  void apply_records();
  events::Status write_stores();
  void say_caught_up();
  // Waits before it asks the log again.
  void pause(const events::Error& error);
  // As give_up, and tries again only after a while.
  void shun(const TopicPartition& changelog, const events::Error& error);
  void give_up(const TopicPartition& changelog);

  Log& log_;
  state::Database& database_;
  const Clock& clock_;
  const std::vector<std::string> processors_;

  Jobs jobs_;
  std::unique_ptr<Fetcher> fetcher_;  // there only while something is followed
  FetchBatch batch_;
  std::map<TopicPartition, Moment> shunned_until_;
  Moment paused_until_;
  Moment warned_at_;
  Moment next_targets_at_;
  bool said_caught_up_ = true;
  std::int64_t records_ = 0;  // since it was last said
};

}  // namespace voketag::runtime
