#pragma once

#include <cstdint>
#include <functional>

#include "events/error.h"
#include "runtime/log.h"

namespace voketag::runtime {

// How long a read of what is known to be in the log may stand still before it is given up.
inline constexpr int kReadTimeoutMs = 15'000;

// Calls `visit` with every record of [first, end) of one partition, in order, until it returns
// false. Records that were aborted are not seen.
events::Status read_range(Fetcher& fetcher, const TopicPartition& partition, std::int64_t first,
                          std::int64_t end,
                          const std::function<bool(const events::RecordView&)>& visit);

}  // namespace voketag::runtime
