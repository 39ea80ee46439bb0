#include "voketag/batch_follower.h"

#include <algorithm>
#include <chrono>

#include "events/partitioner.h"
#include "events/topics.h"
#include "voketag/log_search.h"

namespace voketag::cli {
namespace {

constexpr auto kIsolation = runtime::Isolation::kReadCommitted;
// Brokers stamp records of one transaction as they arrive, and several brokers' clocks differ.
constexpr std::int64_t kClockToleranceMs = 60'000;

std::vector<runtime::TopicPartition> partitions_of(const events::Uuid& batch_id) {
  const std::int32_t partition = events::partition_for(batch_id.to_string());
  std::vector<runtime::TopicPartition> partitions;
  for (const std::string_view topic : BatchProgress::topics()) {
    partitions.push_back({std::string(topic), partition});
  }
  return partitions;
}

}  // namespace

events::Result<BatchFollower> BatchFollower::before_request(runtime::Log& log,
                                                            const events::Uuid& batch_id) {
  BatchFollower follower(batch_id);
  auto fetcher = log.open_fetcher(kIsolation);
  if (!fetcher) return tl::unexpected(fetcher.error());
  follower.fetcher_ = *std::move(fetcher);
  const auto partitions = partitions_of(batch_id);
  const auto marks = log.watermarks(partitions, kIsolation);
  if (!marks) return tl::unexpected(marks.error());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const std::int64_t high = (*marks)[i].high;
    follower.places_[partitions[i]] = {high, high};
    if (auto assigned = follower.fetcher_->assign(partitions[i], high); !assigned) {
      return tl::unexpected(assigned.error());
    }
  }
  return follower;
}

events::Result<BatchFollower> BatchFollower::find(runtime::Log& log, const events::Uuid& batch_id) {
  BatchFollower follower(batch_id);
  auto fetcher = log.open_fetcher(kIsolation);
  if (!fetcher) return tl::unexpected(fetcher.error());
  follower.fetcher_ = *std::move(fetcher);

  const auto partitions = partitions_of(batch_id);
  const auto marks = log.watermarks(partitions, kIsolation);
  if (!marks) return tl::unexpected(marks.error());
  // The acceptance's end once more and last: if the acceptance is not before it, then all that
  // follows from it is behind the marks that were taken before.
  const runtime::TopicPartition& acceptance = partitions.front();
  const auto last_mark = log.watermarks(acceptance, kIsolation);
  if (!last_mark) return tl::unexpected(last_mark.error());
  if (auto read = follower.find_acceptance(acceptance, last_mark->low, last_mark->high); !read) {
    return tl::unexpected(read.error());
  }
  const bool accepted = follower.progress_.accepted().has_value();
  const events::Timestamp since{
      std::max<std::int64_t>(0, follower.progress_.times().accepted.ms - kClockToleranceMs)};
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const runtime::TopicPartition& partition = partitions[i];
    const auto [low, high] = (*marks)[i];
    std::int64_t first = high;
    if (partition == acceptance) continue;  // its place is known
    if (accepted) {
      const auto found = offset_before(*follower.fetcher_, partition, low, high, since);
      if (!found) return tl::unexpected(found.error());
      first = *found;
    } else if (partition.topic == events::kDeadLetters) {
      first = low;  // it may have been refused
    }
    follower.places_[partition] = {first, high};
  }
  for (const auto& [partition, place] : follower.places_) {
    if (auto assigned = follower.fetcher_->assign(partition, place.next); !assigned) {
      return tl::unexpected(assigned.error());
    }
  }
  return follower;
}

events::Status BatchFollower::find_acceptance(const runtime::TopicPartition& partition,
                                              std::int64_t low, std::int64_t high) {
  places_[partition] = {high, high};
  return read_range(*fetcher_, partition, low, high, [&](const events::RecordView& record) {
    progress_.apply(record);
    if (!progress_.accepted()) return true;
    places_[partition].next = record.offset + 1;
    return false;
  });
}

events::Result<bool> BatchFollower::poll(int timeout_ms) {
  if (auto polled = fetcher_->poll(batch_, timeout_ms, 10'000); !polled) {
    return tl::unexpected(polled.error());
  }
  for (const events::RecordView& record : batch_.records) {
    progress_.apply(record);
    places_[{std::string(record.topic), record.partition}].next = record.offset + 1;
  }
  for (const auto& end : batch_.ends) {
    auto& place = places_[{end.topic, end.partition}];
    place.next = std::max(place.next, end.offset);
  }
  return !batch_.records.empty();
}

bool BatchFollower::caught_up() const {
  return std::ranges::all_of(places_,
                             [](const auto& each) { return each.second.next >= each.second.high; });
}

events::Status BatchFollower::catch_up() {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(2 * kReadTimeoutMs);
  while (!caught_up()) {
    const auto polled = poll(50);
    if (!polled) return tl::unexpected(polled.error());
    if (std::chrono::steady_clock::now() > deadline) {
      return events::fail(events::Errc::kUnavailable,
                          "Kafka does not deliver what is in its topics; see: voketag doctor");
    }
  }
  return {};
}

}  // namespace voketag::cli
