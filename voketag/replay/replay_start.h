#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/timestamp.h"
#include "runtime/log.h"

namespace voketag::cli {

// Where a replay begins: `beginning`, `available` (the first record that each partition still has),
// `offset:N` (of every partition), `time:RFC3339`.
struct ReplayStart {
  bool available = false;
  std::optional<std::int64_t> offset;
  std::optional<events::Timestamp> time;
};

// kInvalid: none of these.
events::Result<ReplayStart> parse_replay_start(std::string_view text);

// Where one partition stands: in the log, and in the live view.
struct ReplayPartition {
  runtime::TopicPartition partition;
  runtime::Watermarks log;
  std::int64_t live_offset = 0;
};

// The offsets at which these partitions begin; none lies behind that of the live view. `time` needs
// the fetcher. kNotFound: records that are wanted are no longer in the log; the message names the
// partition, and what is there. kConflict: the live view stands beyond the log's end.
events::Result<std::vector<runtime::TopicPartitionOffset>> first_offsets(
    const ReplayStart& start, std::span<const ReplayPartition> partitions,
    runtime::Fetcher& fetcher);

}  // namespace voketag::cli
