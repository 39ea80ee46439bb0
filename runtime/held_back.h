#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/timestamp.h"
#include "runtime/clock.h"
#include "runtime/log.h"

// A transaction that stays open hides, in each partition that it has written to, whatever anybody
// writes behind its first record: processors and projectors that read there wait. Our own
// transactions take a tenth of a second; a stranger's may hang, and nothing but this tells.
namespace voketag::runtime {

// So long no transaction of ours is open, whatever happens to its owner.
inline constexpr std::int64_t kHeldBackMs = 10'000;

struct HeldBack {
  TopicPartition partition;
  std::int64_t offset = 0;   // the last stable offset: the open transaction begins with this record
  std::int64_t offsets = 0;  // how many from there on nobody sees: its records and all behind them
  events::Timestamp since;   // when that record was written; unset before it was read
  bool operator==(const HeldBack&) const = default;
};

// Where transactions are open at this moment, without `since`; most of them are about to end.
events::Result<std::vector<HeldBack>> find_held_back(Log& log,
                                                     std::span<const TopicPartition> partitions);

// Reads `since` of each, by a fetcher that is opened for it, and leaves out those whose transaction
// is younger than kHeldBackMs.
events::Result<std::vector<HeldBack>> only_old(Log& log, std::vector<HeldBack> found,
                                               events::Timestamp now);

// What happened to what; and what to do. The log does not tell whose transaction it is: a tool of
// Kafka's does. `prefix` comes before the topic's name; `open_ms` is for how long it has been open.
std::string describe(const HeldBack& held_back, std::string_view prefix, std::int64_t open_ms);
std::string cure(const HeldBack& held_back, std::string_view prefix);

// Looks from time to time, and warns of each such partition once a minute as long as it lasts. Used
// by one thread.
class HeldBackWatch {
 public:
  HeldBackWatch(Log& log, const Clock& clock, std::string prefix,
                std::vector<TopicPartition> partitions);

  // Two questions to the brokers, more only where a partition has not moved for kHeldBackMs. What
  // they do not answer is nothing new: others say so. Returns those it has warned of.
  std::vector<HeldBack> look();

 private:
  struct Seen {
    std::int64_t offset = 0;
    Moment first_at;  // by the steady clock: an age by the time of day may be hours wrong
  };

  Log& log_;
  const Clock& clock_;
  const std::string prefix_;
  const std::vector<TopicPartition> partitions_;
  std::map<TopicPartition, Seen> seen_;  // where transactions were open at the last look
  std::map<TopicPartition, Moment> warned_at_;
};

}  // namespace voketag::runtime
