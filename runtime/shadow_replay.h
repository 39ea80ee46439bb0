#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "events/error.h"
#include "processors/processor.h"
#include "runtime/log.h"
#include "runtime/output_comparison.h"
#include "state/database.h"

namespace voketag::runtime {

struct ShadowOptions {
  std::optional<std::int32_t> partition;  // this one alone
  // Begins where the partitions of this state stand; null, or a partition that it does not have:
  // at the beginning.
  state::Database* state = nullptr;
  std::filesystem::path scratch;  // where there is room for the state and for hashes
  std::string configuration_version;
};

struct ShadowProgress {
  std::string_view stage;  // "history", "emitted", "shadow"
  std::int64_t done = 0;
  std::int64_t total = 0;  // of "shadow": transactions, once for each partition; else offsets
};
// Told how far it is; false: end.
using ShadowProgressCallback = std::function<bool(const ShadowProgress&)>;

// A timer that fired then, and that the shadow has not set.
struct UnsetTimer {
  std::string name;
  std::int32_t partition = 0;
  std::int64_t sequence = 0;  // of the transaction
};

struct ShadowReport {
  struct Partition {
    std::int32_t partition = 0;
    std::int64_t from_sequence = 0;  // the first transaction that was done again
    std::int64_t to_sequence = 0;    // the last
    bool from_state = false;
  };
  std::vector<Partition> partitions;
  std::int64_t transactions = 0;  // once for each partition that they touched
  std::int64_t records = 0;
  std::int64_t timers = 0;

  std::int64_t equal = 0;
  std::int64_t different = 0;
  std::int64_t missing = 0;
  // None: not all that the processor ever did was done again, so it cannot be told.
  std::optional<std::int64_t> extra;
  std::vector<OutputDifference> differences;  // the first of them
  std::int64_t unset_timers = 0;
  std::vector<UnsetTimer> unset_timers_shown;

  // The configurations that the transactions were done under, and how many were.
  std::map<std::string, std::int64_t> configurations;

  // Nothing was done again, so nothing was compared: neither equal nor different.
  bool is_empty() const { return transactions == 0; }
  bool is_equal() const {
    return !is_empty() && different == 0 && missing == 0 && extra.value_or(0) == 0 &&
           unset_timers == 0;
  }
};

// Runs this program's processor over old traffic: its transactions in the order of the history,
// each with the records and timers that it had then, over a state that is thrown away; and holds
// what it emits against what was emitted. Nothing is written to the log; no group is joined.
//
// kInvalid: the history does not reach back to where a partition would have to begin, and the
// message says what can be done. kNotFound: an input that the history names is no longer in the
// log. kConflict: progress said that it shall end. kCorrupt: the history contradicts itself.
events::Result<ShadowReport> replay_in_shadow(Log& log, processors::Processor& processor,
                                              const ShadowOptions& options,
                                              const ShadowProgressCallback& progress);

}  // namespace voketag::runtime
