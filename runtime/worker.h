#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "events/error.h"
#include "processors/processor.h"
#include "runtime/clock.h"
#include "runtime/crash_marker.h"
#include "runtime/log.h"
#include "runtime/log_time.h"
#include "runtime/restorer.h"
#include "runtime/task.h"
#include "state/database.h"

namespace voketag::runtime {

struct WorkerOptions {
  std::string group;             // "voketag.<processor>"
  std::string transactional_id;  // "voketag.<processor>.<instance>.<slot>"
  std::string configuration_version;
  // A transaction is committed when nothing more is waiting, or after so long, or after so many
  // bytes: idle, every event is passed on at once. While records stream in (the last transaction
  // had many), one is open for half as long at least: transactions grow, and each costs the brokers
  // a marker in every partition it touched.
  int commit_interval_ms = 100;
  std::size_t transaction_bytes_max = 8U << 20;
  std::size_t records_per_poll_max = 500;
  // Where the crash marker lies; empty: none is kept.
  std::filesystem::path crash_marker_file;
  // Where the member's identity lies (former_member.h); empty: it is not kept, and after a crash
  // the worker waits until its group has noticed.
  std::filesystem::path member_file;
};

// One member of a processor's consumer group: consumes the partitions it is given, runs their
// tasks, and commits what they did in Kafka transactions, each of which holds outputs, changelog
// and input offsets. See docs/architecture.md for the protocol.
//
// Used by one thread, which calls step() again and again; restores run in restorer(), on whichever
// thread steps that. The destructor commits nothing: it is a crash as far as the log can tell.
class Worker final : private RebalanceListener {
 public:
  Worker(Log& log, state::Database& database, processors::Processor& processor, const Clock& clock,
         WorkerOptions options);
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // One round: rebalances, restored partitions, records, timers, a commit if one is due. Waits at
  // most timeout_ms for records. An error is one that the worker cannot cure: stop the process.
  events::Status step(int timeout_ms);

  // Commits, hands the partitions over and leaves the group.
  events::Status stop();

  Restorer& restorer() { return restorer_; }
  std::string name() const { return std::string(processor_.name()); }
  // Partitions at work, for status displays and tests.
  std::vector<std::int32_t> active_partitions() const;
  // Whether there is a member and a producer; if not, step() returns at once until it tries again.
  bool connected() const { return membership_ != nullptr; }
  // Whether every partition that the group has given is at work.
  bool settled() const { return assigned_once_ && restoring_.empty() && unclaimed_.empty(); }

 private:
  // ---- RebalanceListener
  void on_assigned(std::span<const std::int32_t> partitions) override;
  void on_revoked(std::span<const std::int32_t> partitions) override;
  void on_lost(std::span<const std::int32_t> partitions) override;
  void on_generation() override;

  events::Status ensure_connected();
  void resume_former();
  void end_former();
  const Membership& prover() const { return former_ ? *former_ : *membership_; }
  events::Status collect_restored();
  events::Status claim_partitions();
  events::Status fetch_from_committed(const Task& task);
  void request_restore(std::int32_t partition,
                       Restorer::Claimed claimed = Restorer::Claimed::kByAnyone);
  void release(std::vector<std::int32_t> partitions);
  void drop_task(std::int32_t partition);

  events::Status process_records(int timeout_ms);
  events::Status process(const events::RecordView& record);
  events::Status fire_timers();
  events::Status keep_stores_young();
  events::Status send_outputs(const events::RecordView* cause);
  int wait_for_records_ms(int timeout_ms) const;
  Task* find_task(std::int32_t partition);

  events::Status open_transaction();
  bool commit_is_due() const;
  // Commits the open transaction; the partitions in `released` give up their claims with it.
  events::Status commit(std::span<const std::int32_t> released = {});
  CommitResult commit_positions(std::span<const TopicPartitionOffset> positions);
  events::Status send_changelog(const Task& task);
  // What this transaction has done on these partitions.
  events::Status send_history(std::vector<TaskWork> tasks);
  events::Status send_changelogs(std::span<const std::int32_t> released);
  std::vector<TopicPartitionOffset> open_positions(std::span<const std::int32_t> released) const;
  events::Status settle(const CommitResult& result);
  events::Status replace_producer();
  events::Status keep_work();
  // What the log has acknowledged for the task stands in its store from here on.
  events::Status keep(Task& task);
  events::Status roll_back();
  // Whether an abort is part of how work is handed over.
  enum class Expected { kNo, kYes };
  events::Status abort(const std::string& why, Expected expected = Expected::kNo);
  events::Status abort(const events::Error& error);
  events::Status changelog_failed(const events::Error& error);
  void log_outcome(const CommitResult& result) const;
  bool rebalanced_of_late() const;
  bool is_handing_over() const;
  events::Status cannot_begin(const events::Error& error);
  events::Status restore_touched();
  events::Status fetch_again();
  events::Status former_refused();
  events::Status fenced(const CommitResult& result);
  events::Status reconnect_later(const events::Error& error);
  void drop_everything();

  Log& log_;
  processors::Processor& processor_;
  const Clock& clock_;
  const WorkerOptions options_;
  const std::string changelog_;
  const std::string history_;
  const std::vector<std::string_view> inputs_;

  Restorer restorer_;
  CrashMarker crash_marker_;
  std::unique_ptr<TransactionalProducer> producer_;  // none for a moment after it was fenced
  std::unique_ptr<Membership> membership_;
  // A membership that was given up from within its own callback; destroyed once that has returned.
  std::unique_ptr<Membership> retired_membership_;
  // The member that a crash ended, as long as its group has not noticed: in its name the worker
  // goes on until the group gives it partitions, or refuses the dead member's offsets.
  std::unique_ptr<Membership> former_;
  std::set<std::int32_t> owned_;  // what the group has given
  std::unique_ptr<Fetcher> fetcher_;
  FetchBatch batch_;
  bool assigned_once_ = false;

  std::set<std::int32_t> restoring_;
  std::map<std::int32_t, std::unique_ptr<Task>> unclaimed_;  // restored, not yet claimed
  std::map<std::int32_t, std::unique_ptr<Task>> tasks_;      // at work

  bool in_transaction_ = false;
  Moment transaction_began_at_;
  std::size_t transaction_bytes_ = 0;
  std::set<std::string, std::less<>> emitted_to_;  // topics that the open transaction writes to
  bool drained_ = false;                           // the last poll brought nothing
  std::size_t transaction_records_ = 0;
  bool busy_ = false;  // the last transaction had many records, so more are on their way
  std::vector<events::OutputRecord> outputs_;  // of the record or timer being handled
  LogTime log_time_;                           // by which timers are due

  // Records whose outputs the log does not take, and why; until a transaction has set them aside.
  std::map<TopicPartitionOffset, std::string> refused_;
  Moment kept_young_at_;
  // When the group was last asked anything that only an owner is answered. Stores are as young as
  // the question: between it and what follows this process may have stood still for days.
  events::Timestamp asked_at_;

  // What is left of the batch was fetched for positions that no longer hold.
  bool batch_void_ = false;
  std::size_t rolled_back_ = 0;  // how many transactions came to nothing

  std::vector<Moment> fenced_at_;  // of late, to tell one take-over from a feud
  Moment rebalanced_at_;
  Moment reopen_at_;  // the producer, after it was fenced
  Moment reconnect_at_;
  // A rebalance callback cannot return an error: it is kept for the step it happened in.
  events::Status callback_status_;
};

}  // namespace voketag::runtime
