#include "voketag/log_search.h"

#include <chrono>
#include <optional>

namespace voketag::cli {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

events::Status read_range(runtime::Fetcher& fetcher, const runtime::TopicPartition& partition,
                          std::int64_t first, std::int64_t end,
                          const std::function<bool(const events::RecordView&)>& visit) {
  if (first >= end) return {};
  if (auto assigned = fetcher.assign(partition, first); !assigned) return assigned;
  runtime::FetchBatch batch;
  auto last_news = Clock::now();
  bool done = false;
  while (!done) {
    if (auto polled = fetcher.poll(batch, 100, 10'000); !polled) return polled;
    for (const events::RecordView& record : batch.records) {
      if (record.topic != partition.topic || record.partition != partition.partition) continue;
      done = done || record.offset >= end || !visit(record) || record.offset + 1 >= end;
      if (done) break;
    }
    // Aborted records and markers have offsets too: the end may be behind the last record.
    for (const auto& reached : batch.ends) done = done || reached.offset >= end;
    if (!batch.out_of_range.empty()) break;
    if (!batch.records.empty() || !batch.ends.empty()) last_news = Clock::now();
    if (Clock::now() - last_news > std::chrono::milliseconds(kReadTimeoutMs)) {
      fetcher.unassign(partition);
      return events::fail(events::Errc::kUnavailable, "Kafka does not deliver partition " +
                                                          std::to_string(partition.partition) +
                                                          " of topic " + partition.topic +
                                                          ": is its leader up?");
    }
  }
  fetcher.unassign(partition);
  return {};
}

events::Result<std::int64_t> offset_before(runtime::Fetcher& fetcher,
                                           const runtime::TopicPartition& partition,
                                           std::int64_t low, std::int64_t high,
                                           events::Timestamp time, std::int64_t slack_records) {
  const std::int64_t end = high;
  while (high - low > slack_records) {
    const std::int64_t middle = low + (high - low) / 2;
    std::optional<events::Timestamp> found;
    std::int64_t found_offset = end;
    const auto look = [&](const events::RecordView& record) {
      found = record.timestamp;
      found_offset = record.offset;
      return false;
    };
    if (auto read = read_range(fetcher, partition, middle, end, look); !read) {
      return tl::unexpected(read.error());
    }
    // Behind the last record there are only markers.
    if (!found || *found >= time) {
      high = middle;
    } else {
      low = found_offset + 1;
    }
  }
  return low;
}

}  // namespace voketag::cli
