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

// The offset of the first record of [low, high) that is not older than `time`; high: there is none.
// Looks at about twenty records; the broker's times rise with the offsets.
events::Result<std::int64_t> offset_at(runtime::Fetcher& fetcher,
                                       const runtime::TopicPartition& partition, std::int64_t low,
                                       std::int64_t high, events::Timestamp time);

}  // namespace voketag::cli
