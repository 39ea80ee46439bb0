#include "voketag/log_search.h"

#include <optional>

namespace voketag::cli {

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
