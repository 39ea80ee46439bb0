#pragma once

#include <cstdint>

#include "events/error.h"
#include "events/timestamp.h"
#include "runtime/log.h"
#include "runtime/read_range.h"

namespace voketag::cli {

using runtime::kReadTimeoutMs;
using runtime::read_range;

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
