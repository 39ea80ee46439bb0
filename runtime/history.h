#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "events/field.h"
#include "runtime/position.h"

// What a processor's transactions did, one record each, in the order in which they took effect:
// with it a shadow (shadow_replay.h) does the same again. The records lie in "<processor>-commits",
// a topic of one partition, so that its order is that of every task's transactions: an owner's
// record is written before its transaction is committed, and a successor begins after that. Why
// there, and what it costs: docs/decisions/0015-history-of-commits.md.
namespace voketag::runtime {

// Of a partition where nothing has been done.
inline constexpr std::int64_t kFirstSequence = 1;

// What a transaction did on one partition.
struct TaskWork {
  std::int64_t partition = 0;
  // By one more with each of the partition's transactions; a claim, which does no work, repeats the
  // last one's. The first claim of all has kFirstSequence.
  std::int64_t sequence = 0;
  // Of a claim: where every input stood.
  std::optional<std::vector<InputPosition>> positions;
  std::vector<WorkRun> work;
  static constexpr auto fields() {
    using E = TaskWork;
    return std::tuple{
        events::Field{"partition", &E::partition, "The partition", events::at_least(0)},
        events::Field{"sequence", &E::sequence, "Which of its transactions", events::at_least(1)},
        events::Field{"positions", &E::positions, "Of a claim: where every input stood"},
        events::Field{"work", &E::work, "What was done, in order"}};
  }
};

// A record of the history.
struct TransactionRecord {
  std::string configuration_version;
  std::vector<std::string> emitted_to;  // topics of its outputs
  std::vector<TaskWork> tasks;
  static constexpr auto fields() {
    using E = TransactionRecord;
    return std::tuple{events::Field{"configuration_version", &E::configuration_version,
                                    "The configuration it was done under"},
                      events::Field{"emitted_to", &E::emitted_to, "The topics of its outputs"},
                      events::Field{"tasks", &E::tasks, "What it did on each partition"}};
  }
};

// The topic of a processor's history, and its only partition.
std::string history_topic(std::string_view processor);
inline constexpr std::int32_t kHistoryPartition = 0;

}  // namespace voketag::runtime
