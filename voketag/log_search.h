#pragma once

#include <cstdint>
#include <functional>

#include "events/error.h"
#include "events/timestamp.h"
#include "runtime/log.h"

namespace voketag::cli {

// How long a read of what is known to be in the log may stand still before it is given up.
inline constexpr int kReadTimeoutMs = 15'000;

// Calls `visit` with every record of [first, end) of one partition, in order, until it returns
// false. Records that were aborted are not seen.
events::Status read_range(runtime::Fetcher& fetcher, const runtime::TopicPartition& partition,
                          std::int64_t first, std::int64_t end,
                          const std::function<bool(const events::RecordView&)>& visit);

// How many records are rather read over than looked into: each look is a fetch of its own.
inline constexpr std::int64_t kSearchSlackRecords = 10'000;

// An offset of [low, high] before which there is no record as young as `time`, and behind which, up
// to the first that is, there are at most `slack_records`. The broker's times rise with the
// offsets.
events::Result<std::int64_t> offset_before(runtime::Fetcher& fetcher,
                                           const runtime::TopicPartition& partition,
                                           std::int64_t low, std::int64_t high,
                                           events::Timestamp time,
                                           std::int64_t slack_records = kSearchSlackRecords);

}  // namespace voketag::cli
