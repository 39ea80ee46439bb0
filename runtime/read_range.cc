#include "runtime/read_range.h"

#include <chrono>

namespace voketag::runtime {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

events::Status read_range(Fetcher& fetcher, const TopicPartition& partition, std::int64_t first,
                          std::int64_t end,
                          const std::function<bool(const events::RecordView&)>& visit) {
  if (first >= end) return {};
  if (auto assigned = fetcher.assign(partition, first); !assigned) return assigned;
  FetchBatch batch;
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

}  // namespace voketag::runtime
