#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "events/field.h"
#include "events/timestamp.h"

// What the engine itself writes into a changelog, and beside the state it leads to. State keys
// always contain '/', these two keys do not.
namespace voketag::runtime {

inline constexpr std::string_view kClaimKey = "claim";
inline constexpr std::string_view kCommitKey = "commit";

// Names the transactional id that may hold a transaction open on this partition. Written by an
// owner's first transaction; erased by its last one, when it hands the partition over in order. A
// successor that finds a claim knows whom to fence.
struct Claim {
  std::string transactional_id;
  static constexpr auto fields() {
    return std::tuple{events::Field{"transactional_id", &Claim::transactional_id,
                                    "The owner's transactional id"}};
  }
};

// The next offset to be read of one input topic.
struct InputPosition {
  std::string topic;
  std::int64_t next_offset = 0;
  auto operator<=>(const InputPosition&) const = default;
  static constexpr auto fields() {
    return std::tuple{events::Field{"topic", &InputPosition::topic, "Without the prefix"},
                      events::Field{"next_offset", &InputPosition::next_offset,
                                    "The next offset to be read", events::at_least(0)}};
  }
};

// A piece of a transaction's work, in order: a run of records of one topic, or one timer.
struct WorkRun {
  std::optional<std::string> topic;
  std::optional<std::int64_t> from_offset;  // first record of the run
  std::optional<std::int64_t> to_offset;    // last record of the run
  // No handler saw the run's only record: it was set aside for what the world did to it (it killed
  // the process, the log did not take what came of it).
  std::optional<std::string> refused_reason;
  std::optional<std::string> refused_detail;
  std::optional<std::string> timer;
  std::optional<std::int64_t> fired_at_ms;  // the time the timer's handler saw
  static constexpr auto fields() {
    using E = WorkRun;
    return std::tuple{
        events::Field{"topic", &E::topic, "Input topic of the run"},
        events::Field{"from_offset", &E::from_offset, "First record of the run"},
        events::Field{"to_offset", &E::to_offset, "Last record of the run"},
        events::Field{"refused_reason", &E::refused_reason, "Why its record was not handled"},
        events::Field{"refused_detail", &E::refused_detail, "The same for people"},
        events::Field{"timer", &E::timer, "Name of the timer that fired"},
        events::Field{"fired_at_ms", &E::fired_at_ms, "The time its handler saw"}};
  }
};

// Where a partition stands after the transaction that moved it last: with it a successor knows
// where to go on. What the transaction did is in the history (history.h).
struct CommitRecord {
  std::vector<InputPosition> positions;  // of every input topic, by name
  // Empty. Programs that kept no history wrote here what the transaction did, and in a rolling
  // upgrade they take no commit record without it.
  std::vector<WorkRun> work;
  std::int64_t now_ms = 0;  // the largest broker time seen
  std::string configuration_version;
  // Numbers the partition's transactions (history.h). None: of a program that kept no history.
  std::optional<std::int64_t> sequence;
  static constexpr auto fields() {
    using E = CommitRecord;
    return std::tuple{
        events::Field{"positions", &E::positions, "Where every input topic stands"},
        events::Field{"work", &E::work, "Empty; see the history"},
        events::Field{"now_ms", &E::now_ms, "The largest broker time seen"},
        events::Field{"configuration_version", &E::configuration_version,
                      "The configuration it was done under"},
        events::Field{"sequence", &E::sequence, "Which of the partition's transactions it was",
                      events::at_least(1)}};
  }
};

// Stored with a partition's state: how far it goes.
struct StorePosition {
  std::int64_t changelog_offset = 0;  // the next changelog record to apply
  std::optional<Claim> claim;
  std::optional<CommitRecord> commit;  // the last one applied; without its work
  // Wall time at which this was last known to be all that was committed; 0: never.
  std::int64_t agreed_at_ms = 0;
  // Wall time at which the changelog began to be read from its beginning; only until it agrees.
  std::optional<std::int64_t> rebuilt_from_ms;
  static constexpr auto fields() {
    using E = StorePosition;
    return std::tuple{
        events::Field{"changelog_offset", &E::changelog_offset, "Next changelog record to apply"},
        events::Field{"claim", &E::claim, "The last owner's claim"},
        events::Field{"commit", &E::commit, "The last commit record applied"},
        events::Field{"agreed_at_ms", &E::agreed_at_ms,
                      "When this was last known to be all that was committed"},
        events::Field{"rebuilt_from_ms", &E::rebuilt_from_ms,
                      "When a rebuild that has not ended began"}};
  }
};

}  // namespace voketag::runtime
