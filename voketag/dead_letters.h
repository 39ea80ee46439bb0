#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/record.h"
#include "events/timestamp.h"
#include "runtime/log.h"

namespace voketag::cli {

// A record that was refused, as the topic dead-letters keeps it (runtime/dead_letter.h).
struct DeadLetter {
  // Where it lies among the dead letters; people name it "partition/offset".
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  events::Timestamp at;

  std::string reason;
  std::string detail;
  std::string processor;

  // The record itself, and where it came from.
  std::string topic;
  std::int32_t source_partition = 0;
  std::int64_t source_offset = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;  // none: a tombstone
  std::size_t value_bytes = 0;
  events::Headers headers;  // its own, as they were
  bool cut = false;         // the value was too large to be kept whole

  std::string id() const { return std::to_string(partition) + "/" + std::to_string(offset); }
};

// Every reason there is, a word each: the header dead_letter_reason.
std::span<const std::string_view> dead_letter_reasons();

DeadLetter read_dead_letter(const events::RecordView& record);

// Some of the dead letters of one partition: "3/120" one, "3/120-180" those from 120 to 180,
// "3/120-" all from 120 on.
struct DeadLetterRange {
  std::int32_t partition = 0;
  std::int64_t first_offset = 0;
  std::int64_t last_offset = 0;
  bool is_one() const { return first_offset == last_offset; }
};
events::Result<DeadLetterRange> parse_dead_letter_range(std::string_view text);
// The same dead letters, each once, by partition and offset.
std::vector<DeadLetterRange> merged(std::vector<DeadLetterRange> ranges);

struct DeadLetterFilter {
  std::optional<DeadLetterRange> range;
  // Of the record: which topic, partition and offsets it came from.
  std::optional<std::string> topic;
  std::optional<std::int32_t> source_partition;
  std::optional<std::int64_t> source_first_offset;
  std::optional<std::int64_t> source_last_offset;
  std::optional<std::string> processor;
  std::optional<std::string> reason;
  std::optional<events::Timestamp> since;
  std::optional<events::Timestamp> until;

  bool matches(const DeadLetter& letter) const;
};

struct DeadLetterId {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
};
// "3/120".
events::Result<DeadLetterId> parse_dead_letter_id(std::string_view text);

// Calls `visit` with each dead letter that matches, partition after partition, until it returns
// false.
events::Status scan_dead_letters(runtime::Log& log, const DeadLetterFilter& filter,
                                 const std::function<bool(DeadLetter)>& visit);

// kNotFound when there is none at that place.
events::Result<DeadLetter> fetch_dead_letter(runtime::Log& log, const DeadLetterId& id);

// Why a dead letter cannot be sent again, and what to do instead; none: it can.
std::optional<std::string> why_not_retryable(const DeadLetter& letter);

// The record as it was, for the place where it came from, with headers that say who sent it again
// and why: `retry_of`, `retry_by`, `retry_reason`, `retry_at`. kInvalid when it is not retryable.
events::Result<events::OutputRecord> retry_record(const DeadLetter& letter, std::string_view by,
                                                  std::string_view reason, events::Timestamp at);

// One run of `voketag dlq retry`, as the topic audit-recorded keeps it: an event when it begins,
// one when it has ended. One that has not ended was killed.
struct RetryRun {
  std::string actor;
  std::string reason;
  std::string selection;  // what was asked for, as on the command line
  events::Timestamp at;
};
events::OutputRecord retry_begun(const RetryRun& run);
events::OutputRecord retry_ended(const RetryRun& run, std::int64_t sent, std::int64_t skipped);

}  // namespace voketag::cli
