#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "events/error.h"
#include "processors/processor.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/roll_forward.h"
#include "runtime/task.h"
#include "state/database.h"

namespace voketag::runtime {

struct RestorerOptions {
  std::string group;             // consumer group of the processor
  std::string transactional_id;  // of the worker that restores; its own claims need no fencing
  // After so long without an end the log says what is being waited for, again and again.
  std::int64_t overdue_ms = 60'000;
};

// Brings partitions of one processor up to the last committed transaction: opens the store, reads
// the changelog from the store's position to its end, fences whoever left a claim there, and is
// done when no transaction is open on the changelog, all of it is read, and the last commit record
// equals the group's committed offsets. (The offsets alone would not do: a transaction of timers
// moves none.) A store that is missing, unreadable, too old or ahead of the changelog is wiped and
// rebuilt from its beginning. What may pass, it waits for, however long; the log says so. The store
// itself it has from the database's leases: a Standby gives it up when it is wanted, another worker
// of this process once it has noticed that the partition is no longer its own.
//
// step() does a bounded piece of work on whichever thread calls it (the worker's own restore
// thread, or the test driver); request, cancel and take_finished are called by the worker and never
// wait for a step, which may fence somebody for half a minute while the worker's group waits for
// its answer.
class Restorer {
 public:
  Restorer(Log& log, state::Database& database, const processors::Processor& processor,
           const Clock& clock, RestorerOptions options);
  ~Restorer();
  Restorer(const Restorer&) = delete;
  Restorer& operator=(const Restorer&) = delete;

  enum class Claimed { kByAnyone, kByThisIdOnly };
  // kByThisIdOnly: where anybody else has claimed the partition since, it is left to that owner.
  void request(std::int32_t partition, Claimed claimed = Claimed::kByAnyone);
  // The partition is not wanted any more, and take_finished will not give it. Its store's lease
  // ends with the step that is under way.
  void cancel(std::int32_t partition);

  struct Finished {
    std::int32_t partition = 0;
    std::optional<RestoredPartition> restored;  // none: it is somebody else's
  };
  std::vector<Finished> take_finished();

  // Waits until something is requested, at most timeout_ms; true: there is work for step().
  bool wait_for_work(int timeout_ms);

  // Does some work; waits at most timeout_ms for records, and longer only while it fences. An error
  // is one that trying again does not cure.
  events::Status step(int timeout_ms);

 private:
  enum class Phase { kOpen, kAim, kCatchUp, kAgree, kDone };
  struct Job {
    Phase phase = Phase::kOpen;
    Claimed claimed = Claimed::kByAnyone;
    std::unique_ptr<state::PartitionLease> lease;  // in kOpen, until the store is there
    std::optional<RollForward> store;              // in every other phase
    std::int64_t target_offset = 0;                // where this round of catching up ends
    std::optional<Moment> unsettled_since;         // a transaction is open on the changelog
    Moment began_at;
    Moment warned_at;  // or when it began
    Moment next_try_at;
  };
  using Jobs = std::map<std::int32_t, Job>;

  void accept_requests();
  // The partitions of the jobs in a phase that are due for another try.
  std::vector<std::int32_t> due(Phase phase) const;
  events::Status open_stores();
  // The partitions in kOpen whose stores are free.
  std::vector<std::int32_t> granted();
  events::Status open_store(std::int32_t partition, Job& job, Watermarks all);
  Job* find_open(std::int32_t partition);
  events::Status set_targets();
  std::vector<TopicPartition> changelogs(std::span<const std::int32_t> partitions) const;
  events::Status read_changelog(int timeout_ms);
  events::Status apply(Job& job, const events::RecordView& record);
  // Writes what was applied; a store for which it is too late is to be opened again.
  events::Status write(Job& job);
  events::Status end_of_catch_up(Job& job);
  events::Status agree_all();
  enum class Standing { kWhole, kNotYet, kSomebodyElses };
  Standing standing(std::int32_t partition, Job& job, const Watermarks& stable,
                    const Watermarks& all);
  // True: nobody but this owner can write to the changelog any more.
  bool fence_claim(std::int32_t partition, Job& job);
  events::Status agree_on(std::span<const std::int32_t> partitions,
                          const events::Result<GroupOffsets>& group);
  // Done, or to be tried again, or an error.
  events::Status agree(std::int32_t partition, Job& job,
                       std::span<const std::optional<std::int64_t>> group_offsets);
  // Sets the next try, and says so if the job has tried for long.
  void try_again(std::int32_t partition, Job& job, const std::string& why);
  void start_over(const events::Error& error);
  void say_progress();
  void say_restored();
  bool is_own(const Job& job) const;
  events::Result<std::map<std::string, std::int64_t>> input_offsets(std::int32_t partition,
                                                                    const Job& job);
  events::Status finish(std::int32_t partition, Job& job,
                        std::map<std::string, std::int64_t> inputs);
  void leave_to_owner(std::int32_t partition, Job& job);
  void hand_over(Finished finished);

  Log& log_;
  state::Database& database_;
  const processors::Processor& processor_;
  const Clock& clock_;
  const RestorerOptions options_;
  const std::string changelog_;

  mutable std::mutex exchange_mutex_;  // guards what worker and restore thread pass each other
  std::condition_variable requested_;
  std::map<std::int32_t, Claimed> requests_;
  std::set<std::int32_t> cancelled_;  // since the last step began
  std::vector<Finished> finished_;

  std::mutex step_mutex_;  // guards all below; held during a step
  Jobs jobs_;
  std::unique_ptr<Fetcher> fetcher_;  // there only while something is being restored
  FetchBatch batch_;
  // What was restored since the last time that nothing was, for the log.
  struct Round {
    std::int64_t partitions = 0;
    std::int64_t warm = 0;
    std::int64_t records = 0;
    std::int64_t took_ms = 0;
  };
  Round round_;
  Moment said_progress_at_;
  events::Timestamp asked_at_;    // the group, of whatever it agreed to last
  std::set<std::string> fenced_;  // since the last request, so that each id is fenced once
  bool fence_tried_ = false;      // in this step: one takes up to half a minute
};

}  // namespace voketag::runtime
