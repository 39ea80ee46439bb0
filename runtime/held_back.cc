#include "runtime/held_back.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace voketag::runtime {
namespace {

constexpr std::int64_t kWarnAgainMs = 60'000;
// Bound of reading one record of each such partition.
constexpr int kPolls = 50;
constexpr int kPollMs = 100;
constexpr std::size_t kRecordsPerPollMax = 100;

// Reads `since` of each, and leaves out those behind which there was merely a marker.
events::Result<std::vector<HeldBack>> read_since(Log& log, std::vector<HeldBack> found) {
  if (found.empty()) return found;
  auto fetcher = log.open_fetcher(Isolation::kReadUncommitted);
  if (!fetcher) return tl::unexpected(fetcher.error());
  std::map<TopicPartition, HeldBack*> unread;
  for (auto& held_back : found) {
    unread[held_back.partition] = &held_back;
    const auto assigned = (*fetcher)->assign(held_back.partition, held_back.offset);
    if (!assigned) return tl::unexpected(assigned.error());
  }
  FetchBatch batch;
  for (int i = 0; i < kPolls && !unread.empty(); ++i) {
    const auto polled = (*fetcher)->poll(batch, kPollMs, kRecordsPerPollMax);
    if (!polled) return tl::unexpected(polled.error());
    for (const auto& record : batch.records) {
      const auto read = unread.find({std::string(record.topic), record.partition});
      if (read == unread.end()) continue;
      if (record.offset == read->second->offset) read->second->since = record.timestamp;
      unread.erase(read);
    }
  }
  std::erase_if(found, [](const HeldBack& held_back) { return held_back.since.ms == 0; });
  return found;
}

}  // namespace

events::Result<std::vector<HeldBack>> find_held_back(Log& log,
                                                     std::span<const TopicPartition> partitions) {
  const auto stable = log.watermarks(partitions, Isolation::kReadCommitted);
  if (!stable) return tl::unexpected(stable.error());
  const auto written = log.watermarks(partitions, Isolation::kReadUncommitted);
  if (!written) return tl::unexpected(written.error());
  std::vector<HeldBack> found;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const std::int64_t hidden = (*written)[i].high - (*stable)[i].high;
    if (hidden > 0) found.push_back({partitions[i], (*stable)[i].high, hidden, {}});
  }
  return found;
}

events::Result<std::vector<HeldBack>> only_old(Log& log, std::vector<HeldBack> found,
                                               events::Timestamp now) {
  auto read = read_since(log, std::move(found));
  if (!read) return read;
  std::erase_if(*read, [&](const HeldBack& one) { return now.ms - one.since.ms < kHeldBackMs; });
  return read;
}

std::string describe(const HeldBack& held_back, std::string_view prefix, std::int64_t open_ms) {
  return "topic " + std::string(prefix) + held_back.partition.topic + " partition " +
         std::to_string(held_back.partition.partition) +
         ": somebody's transaction has been open for " + std::to_string(open_ms / 1000) +
         " s, from offset " + std::to_string(held_back.offset) +
         " on; whoever reads the partition waits, " + std::to_string(held_back.offsets) +
         " offsets are not seen";
}

std::string cure(const HeldBack& held_back, std::string_view prefix) {
  const std::string place = " --topic " + std::string(prefix) + held_back.partition.topic +
                            " --partition " + std::to_string(held_back.partition.partition);
  const std::string tool = "kafka-transactions.sh --bootstrap-server \"$VOKETAG_KAFKA\" ";
  return "see whose it is, by its start offset: " + tool + "describe-producers" + place +
         ". It ends when its producer ends it, or at that producer's timeout; of one that is "
         "gone: " +
         tool + "abort" + place + " --start-offset " + std::to_string(held_back.offset);
}

HeldBackWatch::HeldBackWatch(Log& log, const Clock& clock, std::string prefix,
                             std::vector<TopicPartition> partitions)
    : log_(log), clock_(clock), prefix_(std::move(prefix)), partitions_(std::move(partitions)) {}

std::vector<HeldBack> HeldBackWatch::look() {
  auto found = find_held_back(log_, partitions_);
  if (!found) return {};
  const Moment now = clock_.moment();
  std::map<TopicPartition, Seen> seen;
  for (const auto& one : *found) {
    const auto before = seen_.find(one.partition);
    const bool has_moved = before == seen_.end() || before->second.offset != one.offset;
    seen[one.partition] = has_moved ? Seen{one.offset, now} : before->second;
  }
  seen_ = std::move(seen);
  const auto open_ms = [&](const HeldBack& one) {
    return now.ms - seen_[one.partition].first_at.ms;
  };
  std::erase_if(*found, [&](const HeldBack& one) { return open_ms(one) < kHeldBackMs; });

  auto old = read_since(log_, *std::move(found));
  if (!old) return {};
  std::map<TopicPartition, Moment> warned_at;
  std::vector<HeldBack> warned_of;
  for (const auto& one : *old) {
    const auto before = warned_at_.find(one.partition);
    const bool again = before != warned_at_.end() && now.ms - before->second.ms < kWarnAgainMs;
    warned_at[one.partition] = again ? before->second : now;
    if (again) continue;
    spdlog::warn("{}. To do: {}", describe(one, prefix_, open_ms(one)), cure(one, prefix_));
    warned_of.push_back(one);
  }
  warned_at_ = std::move(warned_at);
  return warned_of;
}

}  // namespace voketag::runtime
