#include "runtime/restorer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <ranges>
#include <utility>

namespace voketag::runtime {
namespace {

constexpr std::size_t kRecordsPerPollMax = 10'000;
constexpr std::size_t kAppliedBytesMax = 1U << 20;
constexpr int kRetryDelayMs = 20;
constexpr std::int64_t kStartOverDelayMs = 1000;
// An owner that hands over in order erases its claim in its last transaction, whose markers are
// written a little later: whoever fenced him meanwhile would take a living producer from him.
constexpr std::int64_t kSettleGraceMs = 150;
constexpr std::int64_t kProgressIntervalMs = 5000;

// What the group says about a partition's inputs, held against the last commit record.
enum class Agreement { kEqual, kChangelogBehind, kGroupBehind, kGroupEmpty };

Agreement compare(const std::vector<std::string_view>& topics,
                  std::span<const std::optional<std::int64_t>> group,
                  const std::optional<CommitRecord>& commit) {
  std::map<std::string_view, std::int64_t> recorded;
  if (commit) {
    for (const auto& position : commit->positions) recorded[position.topic] = position.next_offset;
  }
  bool any = false;
  bool behind = false;
  bool ahead = false;
  for (std::size_t i = 0; i < topics.size(); ++i) {
    if (!group[i]) continue;
    any = true;
    const auto found = recorded.find(topics[i]);
    if (found == recorded.end() || found->second < *group[i]) behind = true;
    if (found != recorded.end() && found->second > *group[i]) ahead = true;
  }
  if (!any) return Agreement::kGroupEmpty;
  if (ahead) return Agreement::kGroupBehind;
  return behind ? Agreement::kChangelogBehind : Agreement::kEqual;
}

}  // namespace

Restorer::Restorer(Log& log, state::Database& database, const processors::Processor& processor,
                   const Clock& clock, RestorerOptions options)
    : log_(log),
      database_(database),
      processor_(processor),
      clock_(clock),
      options_(std::move(options)),
      changelog_(changelog_topic(processor.name())) {}

Restorer::~Restorer() = default;

void Restorer::request(std::int32_t partition, Claimed claimed) {
  {
    const std::lock_guard lock(exchange_mutex_);
    requests_.insert_or_assign(partition, claimed);
  }
  requested_.notify_one();
}

void Restorer::cancel(std::int32_t partition) {
  const std::lock_guard lock(exchange_mutex_);
  cancelled_.insert(partition);
  requests_.erase(partition);
  std::erase_if(finished_, [&](const Finished& done) { return done.partition == partition; });
}

std::vector<Restorer::Finished> Restorer::take_finished() {
  const std::lock_guard lock(exchange_mutex_);
  return std::exchange(finished_, {});
}

bool Restorer::wait_for_work(int timeout_ms) {
  {
    const std::lock_guard step_lock(step_mutex_);
    if (!jobs_.empty()) return true;
  }
  std::unique_lock lock(exchange_mutex_);
  return requested_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [&] { return !requests_.empty(); });
}

void Restorer::accept_requests() {
  const std::lock_guard lock(exchange_mutex_);
  for (const auto partition : std::exchange(cancelled_, {})) {
    if (jobs_.erase(partition) > 0 && fetcher_) fetcher_->unassign({changelog_, partition});
  }
  if (!requests_.empty()) fenced_.clear();
  for (const auto& [partition, claimed] : std::exchange(requests_, {})) {
    Job job;
    job.claimed = claimed;
    job.began_at = job.warned_at = clock_.moment();
    jobs_.insert_or_assign(partition, std::move(job));
  }
}

events::Status Restorer::step(int timeout_ms) {
  const std::lock_guard lock(step_mutex_);
  accept_requests();
  if (jobs_.empty()) {
    fetcher_.reset();
    return {};
  }
  if (!fetcher_) {
    auto opened = log_.open_fetcher(Isolation::kReadCommitted);
    if (!opened) return tl::unexpected(opened.error());
    fetcher_ = *std::move(opened);
  }
  fence_tried_ = false;
  if (const auto opened = open_stores(); !opened) return opened;
  if (const auto aimed = set_targets(); !aimed) return aimed;
  if (const auto agreed = agree_all(); !agreed) return agreed;
  say_progress();
  std::erase_if(jobs_, [](const auto& job) { return job.second.phase == Phase::kDone; });
  if (jobs_.empty()) {
    say_restored();
    return {};
  }
  const bool catching_up = std::ranges::any_of(
      jobs_, [](const auto& job) { return job.second.phase == Phase::kCatchUp; });
  // With nothing to read, the wait for records is the wait before the next try.
  return read_changelog(catching_up ? timeout_ms : std::min(timeout_ms, kRetryDelayMs));
}

std::vector<std::int32_t> Restorer::due(Phase phase) const {
  std::vector<std::int32_t> partitions;
  const Moment now = clock_.moment();
  for (const auto& [partition, job] : jobs_) {
    if (job.phase == phase && job.next_try_at <= now) partitions.push_back(partition);
  }
  return partitions;
}

void Restorer::try_again(std::int32_t partition, Job& job, const std::string& why) {
  const Moment now = clock_.moment();
  job.next_try_at = {now.ms + kRetryDelayMs};
  if (now.ms - job.warned_at.ms <= options_.overdue_ms) return;
  job.warned_at = now;
  spdlog::warn("{} restores {} partition {} since {} s and waits: {}; see `voketag doctor`",
               options_.transactional_id, processor_.name(), partition,
               (now.ms - job.began_at.ms) / 1000, why);
}

// The connection is in trouble: what was restored so far stands in the stores.
void Restorer::start_over(const events::Error& error) {
  spdlog::warn("{} starts its restore over in {} ms: {}", options_.transactional_id,
               kStartOverDelayMs, error.message);
  fetcher_.reset();
  for (auto& [partition, job] : jobs_) {
    job.phase = Phase::kOpen;
    job.next_try_at = {clock_.moment().ms + kStartOverDelayMs};
  }
}

void Restorer::say_progress() {
  const Moment now = clock_.moment();
  if (now.ms - said_progress_at_.ms < kProgressIntervalMs) return;
  said_progress_at_ = now;
  std::int64_t read = 0;
  std::int64_t all = 0;
  for (const auto& [partition, job] : jobs_) {
    if (!job.store) continue;
    const std::int64_t reached = job.store->reached_offset();
    read += reached - job.store->began_offset();
    all += std::max(job.target_offset, reached) - job.store->began_offset();
  }
  if (read == 0) return;
  spdlog::info("{} restores {} partitions: {} % of {} changelog offsets", options_.transactional_id,
               jobs_.size(), 100 * read / all, all);
}

void Restorer::say_restored() {
  spdlog::info("{} restored {} partitions, {} of them warm, {} changelog records, in {} ms",
               options_.transactional_id, round_.partitions, round_.warm, round_.records,
               round_.took_ms);
  round_ = {};
}

// ---- opening: which part of the changelog is missing --------------------------------------------

events::Status Restorer::open_stores() {
  const auto partitions = granted();
  if (partitions.empty()) return {};
  const auto marks = log_.watermarks(changelogs(partitions), Isolation::kReadUncommitted);
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    Job& job = jobs_.at(partitions[i]);
    if (!marks) {
      try_again(partitions[i], job, marks.error().message);
    } else if (const auto opened = open_store(partitions[i], job, (*marks)[i]); !opened) {
      return opened;
    }
  }
  return {};
}

std::vector<std::int32_t> Restorer::granted() {
  std::vector<std::int32_t> partitions;
  for (const auto partition : due(Phase::kOpen)) {
    Job& job = jobs_.at(partition);
    if (!job.lease) job.lease = database_.leases().request(processor_.name(), partition);
    job.store.reset();  // of an earlier try; its lease goes with it
    if (job.lease->granted()) {
      partitions.push_back(partition);
    } else {
      try_again(partition, job, "another part of this process has its store");
    }
  }
  return partitions;
}

std::vector<TopicPartition> Restorer::changelogs(std::span<const std::int32_t> partitions) const {
  std::vector<TopicPartition> result;
  for (const auto partition : partitions) result.push_back({changelog_, partition});
  return result;
}

events::Status Restorer::open_store(std::int32_t partition, Job& job, Watermarks all) {
  auto store =
      RollForward::begin(database_.open_partition(std::move(job.lease)),
                         std::string(processor_.name()) + " partition " + std::to_string(partition),
                         all, clock_.now());
  if (!store) return tl::unexpected(store.error());
  job.store = *std::move(store);
  job.phase = Phase::kAim;
  return fetcher_->assign({changelog_, partition}, job.store->reached_offset());
}

Restorer::Job* Restorer::find_open(std::int32_t partition) {
  const auto found = jobs_.find(partition);
  return found == jobs_.end() || !found->second.store ? nullptr : &found->second;
}

events::Status Restorer::set_targets() {
  const auto partitions = due(Phase::kAim);
  if (partitions.empty()) return {};
  const auto marks = log_.watermarks(changelogs(partitions), Isolation::kReadCommitted);
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    Job& job = jobs_.at(partitions[i]);
    if (!marks) {
      try_again(partitions[i], job, marks.error().message);
      continue;
    }
    job.target_offset = (*marks)[i].high;
    job.phase = Phase::kCatchUp;
    if (job.store->reached_offset() < job.target_offset) continue;
    if (const auto ended = end_of_catch_up(job); !ended) return ended;
  }
  return {};
}

// ---- catching up: every record of the changelog into the store ----------------------------------

events::Status Restorer::read_changelog(int timeout_ms) {
  if (const auto polled = fetcher_->poll(batch_, timeout_ms, kRecordsPerPollMax); !polled) {
    batch_.clear();
    start_over(polled.error());
    return {};
  }
  for (const auto& record : batch_.records) {
    Job* const job = find_open(record.partition);
    if (job == nullptr) continue;
    if (const auto applied = apply(*job, record); !applied) return applied;
  }
  for (const auto& end : batch_.ends) {
    if (Job* const job = find_open(end.partition)) job->store->reach(end.offset);
  }
  for (const auto& lost : batch_.out_of_range) {
    // Opening it again sees the new watermarks.
    if (Job* const job = find_open(lost.partition)) job->phase = Phase::kOpen;
  }
  batch_.clear();
  for (auto& [partition, job] : jobs_) {
    if (job.phase != Phase::kCatchUp || job.store->reached_offset() < job.target_offset) continue;
    if (const auto ended = end_of_catch_up(job); !ended) return ended;
  }
  return {};
}

events::Status Restorer::apply(Job& job, const events::RecordView& record) {
  if (const auto applied = job.store->apply(record); !applied) return applied;
  return job.store->unwritten_bytes() < kAppliedBytesMax ? events::Status{} : write(job);
}

events::Status Restorer::write(Job& job) {
  const auto written = job.store->write(clock_.now());
  if (!written) return tl::unexpected(written.error());
  if (!*written) job.phase = Phase::kOpen;
  return {};
}

events::Status Restorer::end_of_catch_up(Job& job) {
  job.phase = Phase::kAgree;
  return write(job);
}

// ---- agreeing: is this all that was committed? --------------------------------------------------

bool Restorer::is_own(const Job& job) const {
  const auto& claim = job.store->position().claim;
  return claim && claim->transactional_id == options_.transactional_id;
}

bool Restorer::fence_claim(std::int32_t partition, Job& job) {
  const auto& claim = job.store->position().claim;
  if (!claim || is_own(job)) return true;
  const std::string& id = claim->transactional_id;
  if (fenced_.contains(id)) return true;
  if (std::exchange(fence_tried_, true)) return false;
  const Moment began_at = clock_.moment();
  // Initialising the id ends its owner and settles what it left open; the producer has no other
  // use.
  const auto throwaway = log_.open_producer(id);
  if (!throwaway) {
    try_again(partition, job, throwaway.error().message);
    return false;
  }
  fenced_.insert(id);
  spdlog::info("{} fenced {} in {} ms", options_.transactional_id, id,
               clock_.moment().ms - began_at.ms);
  return false;  // what was settled by this is still to be read
}

// Whether everything that anybody has committed is in the store, and nobody can commit more.
Restorer::Standing Restorer::standing(std::int32_t partition, Job& job, const Watermarks& stable,
                                      const Watermarks& all) {
  if (job.claimed == Claimed::kByThisIdOnly && !is_own(job)) return Standing::kSomebodyElses;
  job.phase = Phase::kAim;
  if (stable.high < all.high) {
    const Moment now = clock_.moment();
    if (!job.unsettled_since) job.unsettled_since = now;
    try_again(partition, job, "a transaction on its changelog is not settled");
    if (now.ms - job.unsettled_since->ms > kSettleGraceMs) fence_claim(partition, job);
    return Standing::kNotYet;
  }
  job.unsettled_since.reset();
  if (job.store->reached_offset() < stable.high || !fence_claim(partition, job))
    return Standing::kNotYet;
  job.phase = Phase::kAgree;
  return Standing::kWhole;
}

events::Status Restorer::agree_all() {
  const auto candidates = due(Phase::kAgree);
  if (candidates.empty()) return {};
  // In this order: what is stable is then no older than what is not.
  const auto all = log_.watermarks(changelogs(candidates), Isolation::kReadUncommitted);
  const auto stable = log_.watermarks(changelogs(candidates), Isolation::kReadCommitted);
  std::vector<std::int32_t> partitions;
  std::vector<TopicPartition> inputs;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const std::int32_t partition = candidates[i];
    Job& job = jobs_.at(partition);
    if (!all || !stable) {
      try_again(partition, job, (all ? stable : all).error().message);
      continue;
    }
    switch (standing(partition, job, (*stable)[i], (*all)[i])) {
      case Standing::kSomebodyElses:
        leave_to_owner(partition, job);
        break;
      case Standing::kNotYet:
        break;
      case Standing::kWhole:
        partitions.push_back(partition);
        for (const auto topic : processor_.inputs()) {
          inputs.push_back({std::string(topic), partition});
        }
    }
  }
  if (partitions.empty()) return {};
  // The answer is as old as the question, however long this process then stands still.
  asked_at_ = clock_.now();
  const auto group = log_.committed(options_.group, inputs);
  if (!group || !group->unstable || partitions.size() == 1) {
    return agree_on(partitions, group);
  }
  // One of them is not settled: the others need not wait for it.
  const std::size_t topic_count = processor_.inputs().size();
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto own_inputs = std::span(inputs).subspan(i * topic_count, topic_count);
    const auto status =
        agree_on(std::span(partitions).subspan(i, 1), log_.committed(options_.group, own_inputs));
    if (!status) return status;
  }
  return {};
}

events::Status Restorer::agree_on(std::span<const std::int32_t> partitions,
                                  const events::Result<GroupOffsets>& group) {
  // Asked after the group has answered: of whoever owned the partition before, no transaction was
  // left then. Between the first look at the changelog and that answer one may have been written
  // and committed, with a claim in it that has not been read.
  const auto again = log_.watermarks(changelogs(partitions), Isolation::kReadUncommitted);
  const std::string delay = !group            ? group.error().message
                            : group->unstable ? "a transaction on its input offsets is not settled"
                            : !again          ? again.error().message
                                              : "";
  const std::size_t topic_count = processor_.inputs().size();
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    Job& job = jobs_.at(partitions[i]);
    if (!delay.empty()) {
      try_again(partitions[i], job, delay);
      continue;
    }
    if ((*again)[i].high > job.store->reached_offset()) {
      job.phase = Phase::kAim;
      continue;
    }
    const auto offsets = std::span(group->offsets).subspan(i * topic_count, topic_count);
    if (const auto status = agree(partitions[i], job, offsets); !status) return status;
  }
  return {};
}

events::Status Restorer::agree(std::int32_t partition, Job& job,
                               std::span<const std::optional<std::int64_t>> group_offsets) {
  switch (compare(processor_.inputs(), group_offsets, job.store->position().commit)) {
    case Agreement::kChangelogBehind:
      // The markers of one transaction reach its partitions one after the other: read on.
      job.phase = Phase::kAim;
      try_again(partition, job, "the changelog ends before the group's committed offsets");
      return {};
    case Agreement::kGroupBehind:
      return tl::unexpected(events::Error{
          events::Errc::kConflict,
          "the offsets of group " + options_.group + " for partition " + std::to_string(partition) +
              " lie before what the changelog says was done: somebody reset them by hand. Set them "
              "back to those of the last commit record to go on"});
    case Agreement::kEqual:
    case Agreement::kGroupEmpty:
      break;
  }
  auto inputs = input_offsets(partition, job);
  if (!inputs) {
    try_again(partition, job, inputs.error().message);
    return {};
  }
  return finish(partition, job, *std::move(inputs));
}

// Where the group has forgotten its offsets (it was empty for longer than the broker keeps them),
// the commit record still knows; a topic that neither knows is read from its beginning.
events::Result<std::map<std::string, std::int64_t>> Restorer::input_offsets(std::int32_t partition,
                                                                            const Job& job) {
  std::map<std::string, std::int64_t> offsets;
  if (const auto& commit = job.store->position().commit) {
    for (const auto& position : commit->positions) {
      offsets[position.topic] = position.next_offset;
    }
  }
  std::map<std::string, std::int64_t> inputs;
  for (const auto topic : processor_.inputs()) {
    const std::string name(topic);
    if (const auto known = offsets.find(name); known != offsets.end()) {
      inputs[name] = known->second;
      continue;
    }
    const auto marks = log_.watermarks({name, partition}, Isolation::kReadCommitted);
    if (!marks) return tl::unexpected(marks.error());
    inputs[name] = marks->low;
  }
  return inputs;
}

events::Status Restorer::finish(std::int32_t partition, Job& job,
                                std::map<std::string, std::int64_t> inputs) {
  job.phase = Phase::kDone;
  job.store->agree(asked_at_);
  if (const auto written = write(job); !written || job.phase == Phase::kOpen) return written;
  fetcher_->unassign({changelog_, partition});
  ++round_.partitions;
  round_.warm += job.store->began_warm() ? 1 : 0;
  round_.records += job.store->records();
  round_.took_ms = std::max(round_.took_ms, clock_.moment().ms - job.began_at.ms);
  hand_over({partition,
             RestoredPartition{job.store->take_store(), job.store->position(), std::move(inputs)}});
  return {};
}

void Restorer::leave_to_owner(std::int32_t partition, Job& job) {
  job.phase = Phase::kDone;
  job.store.reset();
  fetcher_->unassign({changelog_, partition});
  hand_over({partition, std::nullopt});
}

void Restorer::hand_over(Finished finished) {
  const std::lock_guard lock(exchange_mutex_);
  if (cancelled_.contains(finished.partition)) return;  // while it was being finished
  finished_.push_back(std::move(finished));
}

}  // namespace voketag::runtime
