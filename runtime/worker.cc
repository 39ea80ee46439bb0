#include "runtime/worker.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "events/codec.h"
#include "runtime/former_member.h"

namespace voketag::runtime {
namespace {

constexpr int kTimersPerStepMax = 1000;
constexpr int kReleaseAttempts = 2;
constexpr std::int64_t kKeepYoungIntervalMs = 3'600'000;
// A transaction of so many records follows upon others: waiting a little for more of them costs
// no batch latency that anyone would notice, and saves the brokers most of the transactions.
constexpr std::size_t kBusyRecordsMin = 64;
constexpr std::int64_t kReconnectDelayMs = 1000;
// So many take-overs within so long are no take-overs: somebody else uses the same name.
constexpr std::size_t kFencedMax = 3;
constexpr std::int64_t kFencedWindowMs = 60'000;
// Within so long after a rebalance a successor may have found this id's claim on a partition that
// was its own, and has ended whatever the id had open: that is how a take-over goes, not a feud.
constexpr std::int64_t kRebalanceWindowMs = 5'000;
constexpr std::int64_t kFencedPauseMs = 200;
// What a record or timer may add to its transaction's record in the history, with room to spare:
// that must fit into one message.
constexpr std::size_t kWorkBytes = 512;
// While partitions are being restored the worker looks often whether one is ready.
constexpr int kRestoringWaitMs = 5;

bool log_may_come_back(const events::Error& error) {
  return error.code == events::Errc::kUnavailable || error.code == events::Errc::kTimeout;
}

void add_positions(const Task& task, std::vector<TopicPartitionOffset>& positions) {
  for (const auto& [topic, next_offset] : task.open_inputs()) {
    positions.push_back({topic, task.partition(), next_offset});
  }
}

TopicPartitionOffset place_of(const events::RecordView& record) {
  return {std::string(record.topic), record.partition, record.offset};
}

std::size_t bytes_of(const events::OutputRecord& record) {
  return (record.value ? record.value->size() : 0) + (record.key ? record.key->size() : 0);
}

}  // namespace

Worker::Worker(Log& log, state::Database& database, processors::Processor& processor,
               const Clock& clock, WorkerOptions options)
    : log_(log),
      processor_(processor),
      clock_(clock),
      options_(std::move(options)),
      changelog_(changelog_topic(processor.name())),
      history_(history_topic(processor.name())),
      inputs_(processor.inputs()),
      restorer_(log, database, processor, clock,
                RestorerOptions{options_.group, options_.transactional_id}) {}

Worker::~Worker() = default;

std::vector<std::int32_t> Worker::active_partitions() const {
  std::vector<std::int32_t> partitions;
  for (const auto& [partition, task] : tasks_) partitions.push_back(partition);
  return partitions;
}

// ---- one round ----------------------------------------------------------------------------------

events::Status Worker::step(int timeout_ms) {
  if (!connected()) {
    // A member that was given up must not hold its partitions until there is another.
    retired_membership_.reset();
    if (clock_.moment() < reconnect_at_) return {};
    if (const auto status = ensure_connected(); !status) {
      return log_may_come_back(status.error()) ? reconnect_later(status.error()) : status;
    }
  }
  callback_status_ = {};
  asked_at_ = clock_.now();
  const auto polled = membership_->poll(*this);
  retired_membership_.reset();
  if (!polled && connected()) return reconnect_later(polled.error());
  if (!callback_status_) return callback_status_;
  if (!connected()) return {};

  if (!producer_) {
    if (clock_.moment() < reopen_at_) return {};
    if (const auto opened = replace_producer(); !opened || !connected()) return opened;
  }
  if (const auto collected = collect_restored(); !collected) return collected;
  if (!unclaimed_.empty()) {
    if (const auto claimed = claim_partitions(); !claimed || !producer_) return claimed;
  }
  if (const auto processed = process_records(wait_for_records_ms(timeout_ms)); !processed) {
    return processed;
  }
  if (!producer_) return {};
  if (const auto fired = fire_timers(); !fired) return fired;
  if (producer_ && commit_is_due()) return commit();
  return keep_stores_young();
}

// A partition that is quiet for days is whole all the same: its owner knows, and its store says so.
events::Status Worker::keep_stores_young() {
  const Moment now = clock_.moment();
  if (in_transaction_ || now.ms - kept_young_at_.ms < kKeepYoungIntervalMs) return {};
  kept_young_at_ = now;
  for (const auto& [partition, task] : tasks_) {
    if (const auto status = task->stays_agreed(asked_at_); !status) return status;
  }
  return {};
}

events::Status Worker::stop() {
  if (!connected()) return {};
  callback_status_ = {};
  // Before it leaves: a client that is in the middle of a rebalance may tell the group first and
  // ask for its partitions afterwards, when nothing proves a commit any more.
  if (!former_) on_revoked(std::vector(owned_.begin(), owned_.end()));
  if (!connected()) return callback_status_;
  membership_->leave(*this);
  erase_former_member(options_.member_file);
  drop_everything();
  retired_membership_.reset();
  return callback_status_;
}

events::Status Worker::ensure_connected() {
  if (!options_.crash_marker_file.empty()) {
    auto marker = CrashMarker::open(options_.crash_marker_file);
    if (!marker) return tl::unexpected(marker.error());
    crash_marker_ = *std::move(marker);
  }
  if (!producer_) {
    auto producer = log_.open_producer(options_.transactional_id);
    if (!producer) return tl::unexpected(producer.error());
    producer_ = *std::move(producer);
  }
  if (!fetcher_) {
    auto fetcher = log_.open_fetcher(Isolation::kReadCommitted);
    if (!fetcher) return tl::unexpected(fetcher.error());
    fetcher_ = *std::move(fetcher);
  }
  auto membership = log_.join(options_.group, inputs_.front());
  if (!membership) return tl::unexpected(membership.error());
  membership_ = *std::move(membership);
  resume_former();
  return {};
}

// At the start of the process: goes on with what the member owned that a crash has ended, where
// nobody has claimed it since. Its group's generation proves each transaction: once the group has
// noticed the crash and given the partitions to others, the broker refuses them.
void Worker::resume_former() {
  if (assigned_once_) return;
  auto returned =
      resume_former_member(log_, options_.group, options_.transactional_id, options_.member_file);
  if (!returned) return;
  former_ = std::move(returned->member);
  assigned_once_ = true;
  for (const auto partition : returned->partitions) {
    request_restore(partition, Restorer::Claimed::kByThisIdOnly);
  }
}

// From here on the group decides. What it gives is restored anew: somebody else may have owned it
// for a moment.
void Worker::end_former() {
  if (!former_) return;
  if (in_transaction_) {
    callback_status_ = abort("the group hands out its partitions anew", Expected::kYes);
  }
  former_.reset();
  std::set<std::int32_t> partitions = restoring_;
  for (const auto& [partition, task] : tasks_) partitions.insert(partition);
  for (const auto partition : partitions) drop_task(partition);
}

events::Status Worker::reconnect_later(const events::Error& error) {
  spdlog::warn("{} starts over in {} ms: {}", options_.transactional_id, kReconnectDelayMs,
               error.message);
  drop_everything();
  reconnect_at_ = {clock_.moment().ms + kReconnectDelayMs};
  return {};
}

// Forgets everything that was not committed, and the connections with it.
void Worker::drop_everything() {
  for (const auto partition : restoring_) restorer_.cancel(partition);
  restoring_.clear();
  unclaimed_.clear();
  tasks_.clear();
  batch_.clear();
  batch_void_ = true;
  in_transaction_ = false;
  owned_.clear();
  former_.reset();
  // This may run within a callback of the membership itself.
  retired_membership_ = std::move(membership_);
  fetcher_.reset();
  producer_.reset();
}

// ---- partitions come and go ---------------------------------------------------------------------

void Worker::on_assigned(std::span<const std::int32_t> partitions) {
  if (!connected()) return;  // a membership that was given up a moment ago does not know it yet
  assigned_once_ = true;
  end_former();
  if (!connected()) return;
  owned_.insert(partitions.begin(), partitions.end());
  for (const auto partition : partitions) request_restore(partition);
}

void Worker::on_revoked(std::span<const std::int32_t> partitions) {
  std::vector<std::int32_t> active;
  for (const auto partition : partitions) {
    if (tasks_.contains(partition)) active.push_back(partition);
  }
  if (!active.empty() || in_transaction_) release(std::move(active));
  for (const auto partition : partitions) {
    drop_task(partition);
    owned_.erase(partition);
  }
}

// Commits what is open and takes back the claims. One that stays behind costs this worker its
// producer when the successor fences it; so a producer that was lost is replaced for this.
void Worker::release(std::vector<std::int32_t> partitions) {
  for (int attempt = 1; attempt <= kReleaseAttempts && connected(); ++attempt) {
    if (!producer_) callback_status_ = replace_producer();
    if (!callback_status_ || !producer_) return;
    const std::size_t rolled_back_before = rolled_back_;
    callback_status_ = commit(partitions);
    if (!callback_status_ || (producer_ && rolled_back_ == rolled_back_before)) return;
    // Those whose outcome is unknown are not at work any more: nothing proves a second attempt.
    std::erase_if(partitions, [&](std::int32_t partition) { return !tasks_.contains(partition); });
    if (partitions.empty()) return;
  }
}

void Worker::on_lost(std::span<const std::int32_t> partitions) {
  spdlog::warn("{} lost {} partitions: it did not reach the group in time",
               options_.transactional_id, partitions.size());
  if (in_transaction_) callback_status_ = abort("the partitions were lost");
  for (const auto partition : partitions) {
    drop_task(partition);
    owned_.erase(partition);
  }
}

// What a process that comes back after a crash can go on with. The group did not wait for a dead
// member: it has begun without it.
void Worker::on_generation() {
  if (!connected()) return;
  end_former();
  if (!connected()) return;
  rebalanced_at_ = clock_.moment();
  if (!owned_.contains(crash_marker_.partition())) crash_marker_.forget();
  write_former_member(options_.member_file, *membership_, owned_);
}

void Worker::request_restore(std::int32_t partition, Restorer::Claimed claimed) {
  restorer_.request(partition, claimed);
  restoring_.insert(partition);
}

void Worker::drop_task(std::int32_t partition) {
  if (restoring_.erase(partition) > 0) restorer_.cancel(partition);
  unclaimed_.erase(partition);
  if (tasks_.erase(partition) == 0 || !fetcher_) return;
  for (const auto topic : inputs_) fetcher_->unassign({std::string(topic), partition});
}

events::Status Worker::collect_restored() {
  if (restoring_.empty()) return {};
  for (auto& finished : restorer_.take_finished()) {
    if (restoring_.erase(finished.partition) == 0 || !finished.restored) continue;
    auto task =
        std::make_unique<Task>(processor_, finished.partition, *std::move(finished.restored),
                               options_.configuration_version);
    if (!former_) {
      unclaimed_[finished.partition] = std::move(task);
      continue;
    }
    // Its claim stands: it is why the partition was restored. No acknowledgement of one tells what
    // time it is; that it is no earlier than this, the log has shown.
    log_time_.see(task->time_seen(), clock_.moment());
    if (const auto fetching = fetch_from_committed(*task); !fetching) return fetching;
    tasks_[finished.partition] = std::move(task);
  }
  return {};
}

// The first transaction of an owner says who it is; only then does it touch input offsets. Whoever
// comes after a crash therefore knows whom to fence.
events::Status Worker::claim_partitions() {
  if (in_transaction_) {
    if (const auto status = commit(); !status || !producer_) return status;
  }
  const Claim claim{options_.transactional_id};
  const std::string claim_json = events::encode(claim);
  std::vector<TaskWork> history;
  if (const auto began = open_transaction(); !began) return cannot_begin(began.error());
  for (const auto& [partition, task] : unclaimed_) {
    events::OutputRecord record;
    record.topic = changelog_;
    record.partition = partition;
    record.key = std::string(kClaimKey);
    record.value = claim_json;
    if (const auto sent = producer_->send(std::move(record)); !sent) return abort(sent.error());
    if (const auto sent = send_changelog(*task); !sent) return changelog_failed(sent.error());
    history.push_back(task->history_entry());
  }
  if (const auto sent = send_history(std::move(history)); !sent) {
    return changelog_failed(sent.error());
  }
  // The unchanged offsets, and the commit record that goes with them, have the group check that
  // this is still the owner: one that is not must not write over its successor's claim.
  std::vector<TopicPartitionOffset> positions;
  for (const auto& [partition, task] : unclaimed_) add_positions(*task, positions);
  const CommitResult result = commit_positions(positions);
  if (result.outcome == CommitOutcome::kCommitted) {
    for (auto& [partition, task] : unclaimed_) {
      task->claimed(claim);
      if (const auto kept = keep(*task); !kept) return kept;
      if (const auto fetching = fetch_from_committed(*task); !fetching) return fetching;
      tasks_[partition] = std::move(task);
    }
    unclaimed_.clear();
  }
  return settle(result);
}

events::Status Worker::fetch_from_committed(const Task& task) {
  for (const auto& [topic, next_offset] : task.committed_inputs()) {
    const auto status = fetcher_->assign({topic, task.partition()}, next_offset);
    if (!status) return status;
  }
  return {};
}

// ---- records and timers -------------------------------------------------------------------------

Task* Worker::find_task(std::int32_t partition) {
  const auto found = tasks_.find(partition);
  return found == tasks_.end() ? nullptr : found->second.get();
}

int Worker::wait_for_records_ms(int timeout_ms) const {
  if (in_transaction_) {
    if (!busy_) return 0;
    const std::int64_t age_ms = clock_.moment().ms - transaction_began_at_.ms;
    const std::int64_t left_ms = options_.commit_interval_ms / 2 - age_ms;
    return static_cast<int>(std::clamp<std::int64_t>(left_ms, 0, timeout_ms));
  }
  int wait_ms = restoring_.empty() ? timeout_ms : std::min(timeout_ms, kRestoringWaitMs);
  const events::Timestamp log_now = log_time_.now(clock_.moment());
  for (const auto& [partition, task] : tasks_) {
    const auto due = task->next_timer();
    if (!due) continue;
    const std::int64_t until_due_ms = std::max<std::int64_t>(due->ms - log_now.ms, 0);
    wait_ms = static_cast<int>(std::min<std::int64_t>(wait_ms, until_due_ms));
  }
  return wait_ms;
}

events::Status Worker::process_records(int timeout_ms) {
  batch_void_ = false;
  const auto polled = fetcher_->poll(batch_, timeout_ms, options_.records_per_poll_max);
  if (!polled) return reconnect_later(polled.error());
  drained_ = batch_.records.empty();
  transaction_records_ += batch_.records.size();
  for (const auto& lost : batch_.out_of_range) {
    if (find_task(lost.partition) == nullptr) continue;
    return events::fail(
        events::Errc::kCorrupt,
        "input " + lost.topic + " partition " + std::to_string(lost.partition) + " offset " +
            std::to_string(lost.offset) + " of " + std::string(processor_.name()) +
            " is no longer in the log: records were deleted before they were processed. Nothing "
            "is skipped in silence: restore the topic, or set the group's offset by hand");
  }
  const Moment now = clock_.moment();
  for (const auto& record : batch_.records) log_time_.see(record.timestamp, now);
  for (const auto& record : batch_.records) {
    if (const auto status = process(record); !status) return status;
    if (batch_void_) break;
    if (commit_is_due()) {
      if (const auto status = commit(); !status) return status;
      if (batch_void_) break;
    }
  }
  return {};
}

events::Status Worker::process(const events::RecordView& record) {
  Task* const task = find_task(record.partition);
  if (task == nullptr) return {};
  if (const auto began = open_transaction(); !began) return cannot_begin(began.error());
  outputs_.clear();
  if (!refused_.empty()) {
    const auto found = refused_.find(place_of(record));
    if (found != refused_.end()) {
      task->refuse(record, "output_refused", found->second, outputs_);
      return send_outputs(nullptr);
    }
  }
  if (crash_marker_.is_deadly(record.topic, record.partition, record.offset)) {
    task->refuse(
        record, "killed_the_process",
        "the process died " + std::to_string(CrashMarker::kDeathsMax) +
            " times while it handled this record; mend the cause, then `voketag dlq retry`",
        outputs_);
    return send_outputs(nullptr);
  }
  crash_marker_.enter(record.topic, record.partition, record.offset);
  try {
    task->handle(record, outputs_);
  } catch (const state::Failure&) {
    crash_marker_.leave();  // it is the disk, whatever the record
    throw;
  }
  crash_marker_.leave();
  return send_outputs(&record);
}

events::Status Worker::fire_timers() {
  const events::Timestamp log_now = log_time_.now(clock_.moment());
  batch_void_ = false;
  int budget = kTimersPerStepMax;
  for (const auto& [partition, task] : tasks_) {
    while (budget-- > 0 && task->next_timer() && *task->next_timer() <= log_now) {
      if (const auto began = open_transaction(); !began) return cannot_begin(began.error());
      outputs_.clear();
      task->fire_timer(log_now, outputs_);
      if (const auto sent = send_outputs(nullptr); !sent) return sent;
      if (batch_void_ || commit_is_due()) return {};
    }
  }
  return {};
}

// `cause`: the record that they come from; null: a timer, or a record that was set aside.
events::Status Worker::send_outputs(const events::RecordView* cause) {
  transaction_bytes_ += kWorkBytes;
  for (auto& record : outputs_) {
    transaction_bytes_ += bytes_of(record);
    if (!emitted_to_.contains(record.topic)) emitted_to_.insert(record.topic);
    const auto sent = producer_->send(std::move(record));
    if (sent) continue;
    if (sent.error().code == events::Errc::kInvalid) {
      // It would be refused again and again. What came before it must not be half an effect: the
      // transaction is done over, and the record that led to it is set aside then.
      if (cause == nullptr) return tl::unexpected(sent.error());
      refused_[place_of(*cause)] = sent.error().message;
    }
    return abort(sent.error());
  }
  return {};
}

// ---- the transaction ----------------------------------------------------------------------------

events::Status Worker::open_transaction() {
  if (in_transaction_) return {};
  if (const auto began = producer_->begin(); !began) return began;
  in_transaction_ = true;
  transaction_began_at_ = clock_.moment();
  transaction_bytes_ = 0;
  emitted_to_.clear();
  // Records that came while the last transaction was being committed are many when work streams in.
  busy_ = transaction_records_ >= kBusyRecordsMin;
  transaction_records_ = 0;
  return {};
}

bool Worker::commit_is_due() const {
  if (!in_transaction_) return false;
  if (transaction_bytes_ >= options_.transaction_bytes_max) return true;
  const std::int64_t age_ms = clock_.moment().ms - transaction_began_at_.ms;
  if (age_ms >= options_.commit_interval_ms) return true;
  return drained_ && (!busy_ || age_ms >= options_.commit_interval_ms / 2);
}

// Of released partitions too, although they may not have moved: the group must check that they are
// still this member's to give up, or a late release would erase the successor's claim.
std::vector<TopicPartitionOffset> Worker::open_positions(
    std::span<const std::int32_t> released) const {
  std::vector<TopicPartitionOffset> positions;
  for (const auto& [partition, task] : tasks_) {
    if (task->touched() || std::ranges::find(released, partition) != released.end()) {
      add_positions(*task, positions);
    }
  }
  return positions;
}

events::Status Worker::send_changelog(const Task& task) {
  for (auto& record : task.changelog_records()) {
    if (const auto sent = producer_->send(std::move(record)); !sent) return sent;
  }
  return {};
}

// One record, in one partition, however many tasks: each partition more would cost the brokers.
events::Status Worker::send_history(std::vector<TaskWork> tasks) {
  if (tasks.empty()) return {};
  TransactionRecord transaction;
  transaction.configuration_version = options_.configuration_version;
  transaction.emitted_to.assign(emitted_to_.begin(), emitted_to_.end());
  transaction.tasks = std::move(tasks);
  events::OutputRecord record;
  record.topic = history_;
  record.partition = kHistoryPartition;
  record.key = options_.transactional_id;
  record.value = events::encode(transaction);
  return producer_->send(std::move(record));
}

events::Status Worker::send_changelogs(std::span<const std::int32_t> released) {
  std::vector<TaskWork> history;
  for (const auto& [partition, task] : tasks_) {
    if (!task->touched()) continue;
    if (const auto sent = send_changelog(*task); !sent) return sent;
    history.push_back(task->history_entry());
  }
  if (const auto sent = send_history(std::move(history)); !sent) return sent;
  for (const auto partition : released) {
    events::OutputRecord tombstone;
    tombstone.topic = changelog_;
    tombstone.partition = partition;
    tombstone.key = std::string(kClaimKey);
    if (const auto sent = producer_->send(std::move(tombstone)); !sent) return sent;
  }
  return {};
}

CommitResult Worker::commit_positions(std::span<const TopicPartitionOffset> positions) {
  asked_at_ = clock_.now();
  const CommitResult result = producer_->commit(positions, prover());
  in_transaction_ = false;
  return result;
}

events::Status Worker::commit(std::span<const std::int32_t> released) {
  if (const auto began = open_transaction(); !began) return cannot_begin(began.error());
  if (const auto sent = send_changelogs(released); !sent) return changelog_failed(sent.error());
  const CommitResult result = commit_positions(open_positions(released));
  return settle(result);
}

// What the log refuses it would refuse again and again, and no record is to blame: a value that is
// too large has not come so far.
events::Status Worker::changelog_failed(const events::Error& error) {
  if (error.code == events::Errc::kInvalid) return tl::unexpected(error);
  return abort(error);
}

// The producer is beyond use; nothing was sent with it.
events::Status Worker::cannot_begin(const events::Error& error) {
  return settle({CommitOutcome::kFatal, error.message});
}

events::Status Worker::abort(const events::Error& error) {
  const bool handed_over = error.code == events::Errc::kFenced && is_handing_over();
  return abort(error.message, handed_over ? Expected::kYes : Expected::kNo);
}

events::Status Worker::abort(const std::string& why, Expected expected) {
  spdlog::log(expected == Expected::kYes ? spdlog::level::info : spdlog::level::warn,
              "{} aborts its transaction: {}", options_.transactional_id, why);
  const CommitResult result = producer_->abort();
  in_transaction_ = false;
  return settle(result);
}

// An abort of our own has no detail: abort() has said why. That a successor fences this id after a
// rebalance is how a take-over goes.
void Worker::log_outcome(const CommitResult& result) const {
  if (result.outcome == CommitOutcome::kCommitted || result.detail.empty()) return;
  const bool handed_over = result.outcome == CommitOutcome::kFenced && is_handing_over();
  spdlog::log(handed_over ? spdlog::level::info : spdlog::level::warn, "{}: {}: {}",
              options_.transactional_id,
              result.outcome == CommitOutcome::kUnknown
                  ? "it is not known yet whether the transaction took effect"
                  : "the transaction came to nothing",
              result.detail);
}

bool Worker::rebalanced_of_late() const {
  return clock_.moment().ms - rebalanced_at_.ms <= kRebalanceWindowMs;
}

bool Worker::is_handing_over() const {
  return former_ != nullptr || rebalanced_of_late();
}

// What becomes of the work once it is known what became of the transaction.
events::Status Worker::settle(const CommitResult& result) {
  log_outcome(result);
  events::Status settled;
  switch (result.outcome) {
    case CommitOutcome::kFenced:
      return former_ ? former_refused() : fenced(result);
    case CommitOutcome::kCommitted:
      settled = keep_work();
      break;
    case CommitOutcome::kAborted:
      settled = roll_back();
      break;
    case CommitOutcome::kFatal:
    case CommitOutcome::kUnknown:
      // First of all: this settles the transaction that a restore would otherwise wait for.
      if (const auto replaced = replace_producer(); !replaced || !connected()) return replaced;
      return result.outcome == CommitOutcome::kFatal ? roll_back() : restore_touched();
  }
  return settled && result.replace_producer ? replace_producer() : settled;
}

// The next owner of the id settles whatever this one may have left, before it returns.
events::Status Worker::replace_producer() {
  producer_.reset();
  auto producer = log_.open_producer(options_.transactional_id);
  if (!producer) return reconnect_later(producer.error());
  producer_ = *std::move(producer);
  return {};
}

events::Status Worker::keep_work() {
  refused_.clear();
  for (const auto& [partition, task] : tasks_) {
    if (!task->touched()) continue;
    if (const auto kept = keep(*task); !kept) return kept;
  }
  return {};
}

events::Status Worker::keep(Task& task) {
  const TopicPartition changelog{changelog_, task.partition()};
  // A partition may be quiet for long: then its changelog has told last what time it is there.
  if (const auto time = producer_->last_time(changelog)) log_time_.see(*time, clock_.moment());
  return task.committed(producer_->last_offset(changelog), asked_at_);
}

events::Status Worker::roll_back() {
  for (const auto& [partition, task] : tasks_) {
    if (task->touched()) task->rewind();
  }
  return fetch_again();
}

// The log alone knows whether the transaction took effect: read it back, as after a crash.
events::Status Worker::restore_touched() {
  std::vector<std::int32_t> touched;
  for (const auto& [partition, task] : tasks_) {
    if (task->touched()) touched.push_back(partition);
  }
  for (const auto partition : touched) {
    drop_task(partition);
    request_restore(partition);
  }
  return fetch_again();
}

// What is left of the batch at hand is void. That goes for every partition, also for those that the
// transaction has not touched: the fetcher is past their records, which would be lost.
events::Status Worker::fetch_again() {
  ++rolled_back_;
  batch_void_ = true;
  for (const auto& [partition, task] : tasks_) {
    if (const auto status = fetch_from_committed(*task); !status) return status;
  }
  return {};
}

// The group has noticed the crash, or somebody has taken over: what was done in the dead member's
// name came to nothing, and what the group gives comes in its own time.
events::Status Worker::former_refused() {
  ++rolled_back_;
  batch_void_ = true;
  end_former();
  return replace_producer();
}

events::Status Worker::fenced(const CommitResult& result) {
  const Moment now = clock_.moment();
  std::erase_if(fenced_at_, [&](Moment at) { return now.ms - at.ms > kFencedWindowMs; });
  if (!result.expelled && !rebalanced_of_late()) fenced_at_.push_back(now);
  if (fenced_at_.size() >= kFencedMax) {
    return events::fail(events::Errc::kFenced,
                        options_.transactional_id + " was taken over " +
                            std::to_string(kFencedMax) + " times within a minute (" +
                            result.detail +
                            "): another process runs with the same VOKETAG_INSTANCE. Give each its "
                            "own name");
  }
  // Whether these partitions are still its own, the group says: it stays a member, and each commit
  // is checked. What became of the transaction, the log says: it may have been committed, the
  // answer lost, and only the repeated request refused.
  producer_.reset();
  reopen_at_ = {now.ms + kFencedPauseMs};
  return restore_touched();
}

}  // namespace voketag::runtime
