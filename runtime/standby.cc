#include "runtime/standby.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "events/partitioner.h"
#include "runtime/task.h"

namespace voketag::runtime {
namespace {

constexpr std::size_t kRecordsPerPollMax = 10'000;
constexpr std::int64_t kPauseMs = 1'000;
constexpr std::int64_t kWarnIntervalMs = 60'000;
// A changelog with something in it that no engine writes: somebody has to look at it.
constexpr std::int64_t kShunMs = 60'000;
// How often it asks what is committed, and notes that it has it.
constexpr std::int64_t kTargetsIntervalMs = 60'000;

std::string name_of(std::string_view processor, std::int32_t partition) {
  return std::string(processor) + " partition " + std::to_string(partition);
}

}  // namespace

Standby::Standby(Log& log, state::Database& database, const Clock& clock,
                 std::vector<std::string> processors)
    : log_(log), database_(database), clock_(clock), processors_(std::move(processors)) {}

Standby::~Standby() = default;

events::Status Standby::step(int timeout_ms) {
  give_way();
  take_free();
  if (jobs_.empty()) {
    fetcher_.reset();
    return {};
  }
  if (!fetcher_) {
    auto opened = log_.open_fetcher(Isolation::kReadCommitted);
    if (!opened) return tl::unexpected(opened.error());
    fetcher_ = *std::move(opened);
  }
  if (clock_.moment() >= paused_until_) {
    if (const auto opened = open_stores(); !opened) return opened;
    set_targets();
  }
  return read_changelogs(timeout_ms);
}

std::vector<std::pair<std::string, std::int32_t>> Standby::followed() const {
  std::vector<std::pair<std::string, std::int32_t>> result;
  for (const auto& [changelog, job] : jobs_) {
    if (job.store) result.emplace_back(job.processor, changelog.partition);
  }
  return result;
}

// ---- stores come and go -------------------------------------------------------------------------

void Standby::give_way() {
  std::vector<TopicPartition> wanted;
  for (const auto& [changelog, job] : jobs_) {
    if (job.store ? job.store->wanted() : job.lease->wanted()) wanted.push_back(changelog);
  }
  for (const auto& changelog : wanted) give_up(changelog);
}

void Standby::give_up(const TopicPartition& changelog) {
  if (fetcher_) fetcher_->unassign(changelog);
  jobs_.erase(changelog);
}

void Standby::shun(const TopicPartition& changelog, const events::Error& error) {
  spdlog::warn("the standby of {} rests for {} s: its changelog cannot be read: {}",
               name_of(jobs_.at(changelog).processor, changelog.partition), kShunMs / 1000,
               error.message);
  shunned_until_[changelog] = {clock_.moment().ms + kShunMs};
  give_up(changelog);
}

void Standby::take_free() {
  const Moment now = clock_.moment();
  std::erase_if(shunned_until_, [&](const auto& entry) { return entry.second <= now; });
  for (const auto& processor : processors_) {
    for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
      const TopicPartition changelog{changelog_topic(processor), partition};
      if (jobs_.contains(changelog) || shunned_until_.contains(changelog)) continue;
      auto lease = database_.leases().request_if_free(processor, partition);
      if (!lease) continue;
      Job& job = jobs_[changelog];
      job.processor = processor;
      job.lease = std::move(lease);
    }
  }
}

void Standby::pause(const events::Error& error) {
  const Moment now = clock_.moment();
  paused_until_ = {now.ms + kPauseMs};
  if (now.ms - warned_at_.ms <= kWarnIntervalMs) return;
  warned_at_ = now;
  spdlog::warn("the standby waits: {}", error.message);
}

events::Status Standby::open_stores() {
  std::vector<TopicPartition> changelogs;
  for (const auto& [changelog, job] : jobs_) {
    if (!job.store) changelogs.push_back(changelog);
  }
  if (changelogs.empty()) return {};
  const auto marks = log_.watermarks(changelogs, Isolation::kReadUncommitted);
  if (!marks) {
    pause(marks.error());
    return {};
  }
  for (std::size_t i = 0; i < changelogs.size(); ++i) {
    const auto opened = open_store(changelogs[i], jobs_.at(changelogs[i]), (*marks)[i]);
    if (!opened) return opened;
  }
  next_targets_at_ = {};
  said_caught_up_ = false;
  return {};
}

events::Status Standby::open_store(const TopicPartition& changelog, Job& job, Watermarks all) {
  auto store = RollForward::begin(database_.open_partition(std::move(job.lease)),
                                  name_of(job.processor, changelog.partition), all, clock_.now());
  if (!store) return tl::unexpected(store.error());
  job.store = *std::move(store);
  return fetcher_->assign(changelog, job.store->reached_offset());
}

// ---- following ----------------------------------------------------------------------------------

void Standby::set_targets() {
  const Moment now = clock_.moment();
  if (now < next_targets_at_) return;
  const events::Timestamp asked_at = clock_.now();
  std::vector<TopicPartition> changelogs;
  for (const auto& [changelog, job] : jobs_) {
    if (job.store && !job.target) changelogs.push_back(changelog);
  }
  if (changelogs.empty()) return;
  const auto marks = log_.watermarks(changelogs, Isolation::kReadCommitted);
  if (!marks) return pause(marks.error());
  for (std::size_t i = 0; i < changelogs.size(); ++i) {
    jobs_.at(changelogs[i]).target = Job::Target{(*marks)[i].high, asked_at};
  }
  next_targets_at_ = {now.ms + kTargetsIntervalMs};
}

events::Status Standby::read_changelogs(int timeout_ms) {
  if (const auto polled = fetcher_->poll(batch_, timeout_ms, kRecordsPerPollMax); !polled) {
    batch_.clear();
    fetcher_.reset();
    jobs_.clear();  // what was read stands in the stores
    pause(polled.error());
    return {};
  }
  apply_records();
  for (const auto& end : batch_.ends) {
    const auto found = jobs_.find({end.topic, end.partition});
    if (found != jobs_.end() && found->second.store) found->second.store->reach(end.offset);
  }
  // Taken again, they are held against what the changelog has then.
  for (const auto& lost : batch_.out_of_range) give_up({lost.topic, lost.partition});
  batch_.clear();
  const auto written = write_stores();
  if (written) say_caught_up();
  return written;
}

void Standby::apply_records() {
  std::map<TopicPartition, events::Error> unreadable;
  auto found = jobs_.end();
  for (const auto& record : batch_.records) {
    if (found == jobs_.end() || found->first.topic != record.topic ||
        found->first.partition != record.partition) {
      found = jobs_.find({std::string(record.topic), record.partition});
    }
    if (found == jobs_.end() || !found->second.store || unreadable.contains(found->first)) continue;
    const auto applied = found->second.store->apply(record);
    if (!applied) unreadable.emplace(found->first, applied.error());
    ++records_;
  }
  for (const auto& [changelog, error] : unreadable) shun(changelog, error);
}

events::Status Standby::write_stores() {
  std::vector<TopicPartition> outlived;
  for (auto& [changelog, job] : jobs_) {
    if (!job.store) continue;
    if (job.target && job.store->reached_offset() >= job.target->offset) {
      job.store->agree(job.target->asked_at);
      job.target.reset();
      job.caught_up = true;
    }
    const auto written = job.store->write(clock_.now());
    if (!written) return tl::unexpected(written.error());
    if (!*written) outlived.push_back(changelog);
  }
  // Taken again, they are found too old, and begun anew.
  for (const auto& changelog : outlived) give_up(changelog);
  return {};
}

void Standby::say_caught_up() {
  if (said_caught_up_ || jobs_.empty()) return;
  for (const auto& [changelog, job] : jobs_) {
    if (!job.caught_up) return;
  }
  said_caught_up_ = true;
  spdlog::info(
      "the standby follows {} partitions that this process does not own; it has read {} "
      "changelog records",
      jobs_.size(), std::exchange(records_, 0));
}

}  // namespace voketag::runtime
