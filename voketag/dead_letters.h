#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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

DeadLetter read_dead_letter(const events::RecordView& record);

struct DeadLetterFilter {
  std::optional<std::string> topic;
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

}  // namespace voketag::cli
