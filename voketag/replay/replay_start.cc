#include "voketag/replay/replay_start.h"

#include <algorithm>
#include <charconv>

#include "voketag/log_search.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;

// So many records older than the time may come along: they only make the view more complete.
constexpr std::int64_t kSlackRecords = 100;

std::string name_of(const runtime::TopicPartition& partition) {
  return "partition " + std::to_string(partition.partition) + " of topic " + partition.topic;
}

tl::unexpected<events::Error> out_of_retention(const ReplayPartition& partition,
                                               const std::string& wanted) {
  const std::string deleted = name_of(partition.partition) + " begins at offset " +
                              std::to_string(partition.log.low) +
                              ": earlier records were deleted, and ";
  if (partition.live_offset < partition.log.low) {
    return fail(Errc::kNotFound, deleted + "the live view, which stands at offset " +
                                     std::to_string(partition.live_offset) +
                                     ", has not read them either. Bring them back");
  }
  // Not an offset: it would be that of one partition, and others may have older records.
  return fail(Errc::kNotFound, deleted + "a view rebuilt from " + wanted +
                                   " would lack their rows. Bring them back, or rebuild from what "
                                   "is left of each partition: --from available");
}

// Whether records as young as `time` may have been deleted.
Result<std::int64_t> find_time(events::Timestamp time, const ReplayPartition& partition,
                               runtime::Fetcher& fetcher) {
  const auto [low, high] = partition.log;
  if (low > 0) {
    std::optional<events::Timestamp> first;
    const auto look = [&](const events::RecordView& record) {
      first = record.timestamp;
      return false;
    };
    if (auto read = read_range(fetcher, partition.partition, low, high, look); !read) {
      return tl::unexpected(read.error());
    }
    if (!first || *first > time) return out_of_retention(partition, time.to_string());
  }
  return offset_before(fetcher, partition.partition, low, high, time, kSlackRecords);
}

}  // namespace

Result<ReplayStart> parse_replay_start(std::string_view text) {
  ReplayStart start;
  if (text == "beginning") return start;
  if (text == "available") {
    start.available = true;
    return start;
  }
  if (text.starts_with("offset:")) {
    const std::string_view digits = text.substr(7);
    std::int64_t offset = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), offset);
    if (error == std::errc() && end == digits.data() + digits.size() && offset >= 0) {
      start.offset = offset;
      return start;
    }
  }
  if (text.starts_with("time:")) {
    start.time = events::Timestamp::parse(text.substr(5));
    if (start.time) return start;
  }
  return fail(Errc::kInvalid, "'" + std::string(text) +
                                  "' is no place to begin: beginning, available, offset:N or "
                                  "time:RFC3339, for example time:2026-11-01T00:00:00Z");
}

Result<std::vector<runtime::TopicPartitionOffset>> first_offsets(
    const ReplayStart& start, std::span<const ReplayPartition> partitions,
    runtime::Fetcher& fetcher) {
  std::vector<runtime::TopicPartitionOffset> first;
  for (const ReplayPartition& partition : partitions) {
    if (partition.live_offset > partition.log.high) {
      return fail(Errc::kConflict,
                  "the live view stands at offset " + std::to_string(partition.live_offset) +
                      " of " + name_of(partition.partition) + ", which ends at " +
                      std::to_string(partition.log.high) +
                      ": the topic was made anew, or lost records. Restore it; else end every "
                      "voketag run that has the role projections, drop the schema voketag, and "
                      "start again");
    }
    std::int64_t offset = start.available ? partition.log.low : start.offset.value_or(0);
    if (start.time) {
      const auto found = find_time(*start.time, partition, fetcher);
      if (!found) return tl::unexpected(found.error());
      offset = *found;
    }
    // What the live view never had to read is not missed.
    offset = std::min(offset, partition.live_offset);
    if (offset < partition.log.low && partition.log.low > 0) {
      const std::string wanted =
          start.offset ? "offset " + std::to_string(*start.offset) : "the beginning";
      return out_of_retention(partition, wanted);
    }
    first.push_back({partition.partition.topic, partition.partition.partition, offset});
  }
  return first;
}

}  // namespace voketag::cli
