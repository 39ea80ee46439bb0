#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/record.h"
#include "runtime/log.h"
#include "state/partition_store.h"

namespace voketag::runtime {

enum class OutputDifferenceKind {
  kDifferent,  // both emitted it, with other bytes
  kMissing,    // the shadow emits it, the log does not have it
  kExtra,      // the log has it, the shadow does not emit it
};
std::string_view to_string(OutputDifferenceKind kind);

struct OutputDifference {
  OutputDifferenceKind kind = OutputDifferenceKind::kDifferent;
  std::string id;     // ce_id
  std::string topic;  // where the log has it, or the shadow would have put it
  std::int32_t partition = 0;
  std::optional<std::int64_t> offset;  // in the log
  std::string detail;                  // what differs, for people; may hold bytes of records
};

inline constexpr std::size_t kOutputDifferencesShown = 20;

// Holds the outputs of a shadow against those in the log: topic, partition, key, headers and value,
// byte by byte. What was emitted is noted first, then what the shadow emits is checked, each in any
// order; ids are derived, so that equals have equal ids, and several records of one id (a request
// that came twice) are held against each other as a set.
//
// Of each record a hash and its place lie in the store that is given, some 150 bytes; memory is
// bounded. Not thread-safe. May throw state::Failure.
class OutputComparison {
 public:
  // `scratch`: empty, and of nobody else. `source`: the ce_source of the processor's events.
  OutputComparison(state::PartitionStore& scratch, std::string source);

  enum class Era {
    kCovered,  // the shadow must emit it too
    kLater,    // it may be of a transaction behind those that the shadow does again
  };
  // Notes a record of the log, if it is the processor's.
  events::Status note_emitted(const events::RecordView& record, Era era);

  events::Status check(const events::OutputRecord& output);

  // Reads one record of the log again; false: it is not there.
  using ReadEmitted = std::function<events::Result<bool>(
      const TopicPartitionOffset& place,
      const std::function<void(const events::RecordView&)>& visit)>;
  // All is noted and checked: pairs what is left. `with_extra`: whether the shadow has done all
  // that the processor ever did, so that what only the log has is a difference.
  events::Status finish(bool with_extra, const ReadEmitted& read);

  std::int64_t equal() const { return equal_; }
  std::int64_t different() const { return different_; }
  std::int64_t missing() const { return missing_; }
  std::int64_t extra() const { return extra_; }
  const std::vector<OutputDifference>& differences() const { return differences_; }

 private:
  // What the shadow emits and the log does not have like that; a long value is cut.
  struct Unmatched {
    events::OutputRecord output;
    std::size_t value_bytes = 0;
  };
  struct EmittedPlace {
    TopicPartitionOffset place;
    Era era = Era::kCovered;
  };

  events::Status write_if_large(std::size_t bytes);
  std::optional<EmittedPlace> take_emitted(std::string_view id);
  events::Status pair(const std::string& id, const Unmatched* shown, const ReadEmitted& read);
  void count_extra();

  state::PartitionStore& scratch_;
  const std::string source_;
  std::size_t written_bytes_ = 0;  // to the overlay
  std::int64_t equal_ = 0;
  std::int64_t different_ = 0;
  std::int64_t missing_ = 0;
  std::int64_t extra_ = 0;
  std::int64_t unmatched_count_ = 0;
  std::vector<Unmatched> unmatched_;  // the first of them
  std::vector<OutputDifference> differences_;
};

}  // namespace voketag::runtime
