#include "voketag/dead_letters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "events/codec.h"
#include "events/envelope.h"
#include "events/events.h"
#include "events/partitioner.h"
#include "events/topics.h"
#include "events/uuid.h"
#include "voketag/escaped_text.h"
#include "voketag/log_search.h"

namespace voketag::cli {
namespace {

constexpr auto kIsolation = runtime::Isolation::kReadCommitted;
constexpr std::string_view kOriginal = "original_";
constexpr std::string_view kRetry = "retry_";
// In the place of a tenant: what ops do belongs to none.
constexpr std::string_view kOperations = "operations";
constexpr std::string_view kCommandLine = "/voketag/command-line";  // the ce_source
constexpr std::string_view kProjector = "projector-";  // and the view's name: who refused a row

// docs/formats.md says what each means; tests/contract/documents_test.py holds this against it, and
// against what the sources say.
constexpr std::array<std::string_view, 19> kReasons = {"malformed",
                                                       "tombstone",
                                                       "oversized",
                                                       "unknown_type",
                                                       "invalid",
                                                       "internal",
                                                       "unknown_key",
                                                       "unknown_signing_key",
                                                       "unrequested_chunk",
                                                       "conflicting_batch",
                                                       "conflicting_subtree",
                                                       "conflicting_root",
                                                       "conflicting_anchor",
                                                       "foreign_root",
                                                       "state_too_large",
                                                       "output_refused",
                                                       "handler_failed",
                                                       "killed_the_process",
                                                       "refused_by_view"};

template <class Integer>
bool read_integer(std::string_view text, Integer& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number >= 0;
}

std::string header_text(const events::RecordView& record, std::string_view name) {
  return std::string(record.header(name).value_or(""));
}

}  // namespace

std::span<const std::string_view> dead_letter_reasons() {
  return kReasons;
}

DeadLetter read_dead_letter(const events::RecordView& record) {
  DeadLetter letter;
  letter.partition = record.partition;
  letter.offset = record.offset;
  letter.at = record.timestamp;
  letter.reason = header_text(record, "dead_letter_reason");
  letter.detail = header_text(record, "dead_letter_detail");
  letter.processor = header_text(record, "dead_letter_processor");
  letter.topic = header_text(record, "dead_letter_topic");
  read_integer(header_text(record, "dead_letter_partition"), letter.source_partition);
  read_integer(header_text(record, "dead_letter_offset"), letter.source_offset);
  letter.cut = record.header("dead_letter_cut_from").has_value() ||
               record.header("dead_letter_headers_cut").has_value();
  if (record.key) letter.key = std::string(*record.key);
  if (record.value && !record.header("dead_letter_tombstone")) {
    letter.value = std::string(*record.value);
    letter.value_bytes = record.value->size();
  }
  for (const auto& [name, value] : record.headers) {
    if (name.starts_with(kOriginal)) {
      letter.headers.emplace_back(name.substr(kOriginal.size()), value);
    }
  }
  return letter;
}

bool DeadLetterFilter::matches(const DeadLetter& letter) const {
  if (range && (letter.partition != range->partition || letter.offset < range->first_offset ||
                letter.offset > range->last_offset)) {
    return false;
  }
  return (!source_partition || *source_partition == letter.source_partition) &&
         (!source_first_offset || letter.source_offset >= *source_first_offset) &&
         (!source_last_offset || letter.source_offset <= *source_last_offset) &&
         (!topic || *topic == letter.topic) && (!processor || *processor == letter.processor) &&
         (!reason || *reason == letter.reason) && (!since || letter.at >= *since) &&
         (!until || letter.at < *until);
}

events::Result<DeadLetterId> parse_dead_letter_id(std::string_view text) {
  DeadLetterId id;
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !read_integer(text.substr(0, slash), id.partition) ||
      !read_integer(text.substr(slash + 1), id.offset)) {
    return events::fail(events::Errc::kInvalid,
                        "'" + std::string(text) +
                            "' names no dead letter: partition/offset is "
                            "needed, as `voketag dlq list` shows it, for example 3/120");
  }
  return id;
}

events::Result<DeadLetterRange> parse_dead_letter_range(std::string_view text) {
  const std::size_t hyphen = text.find('-');
  const auto first = parse_dead_letter_id(text.substr(0, hyphen));
  if (!first) return tl::unexpected(first.error());
  DeadLetterRange range{first->partition, first->offset, first->offset};
  if (hyphen == std::string_view::npos) return range;
  const std::string_view last = text.substr(hyphen + 1);
  if (last.empty()) {
    range.last_offset = std::numeric_limits<std::int64_t>::max();
  } else if (!read_integer(last, range.last_offset) || range.last_offset < range.first_offset) {
    return events::fail(events::Errc::kInvalid,
                        "'" + std::string(text) +
                            "' is no range of dead letters; for example 3/120-180, or 3/120- for "
                            "all from there on");
  }
  return range;
}

std::vector<DeadLetterRange> merged(std::vector<DeadLetterRange> ranges) {
  std::ranges::sort(ranges, {}, [](const DeadLetterRange& range) {
    return std::pair(range.partition, range.first_offset);
  });
  std::vector<DeadLetterRange> apart;
  for (const DeadLetterRange& range : ranges) {
    const bool overlaps = !apart.empty() && apart.back().partition == range.partition &&
                          range.first_offset <= apart.back().last_offset;
    if (overlaps) {
      apart.back().last_offset = std::max(apart.back().last_offset, range.last_offset);
    } else {
      apart.push_back(range);
    }
  }
  return apart;
}

events::Status scan_dead_letters(runtime::Log& log, const DeadLetterFilter& filter,
                                 const std::function<bool(DeadLetter)>& visit) {
  auto fetcher = log.open_fetcher(kIsolation);
  if (!fetcher) return tl::unexpected(fetcher.error());
  bool more = true;
  for (std::int32_t number = 0; more && number < events::kPartitionCount; ++number) {
    // A dead letter lies in the partition that its record came from.
    if (filter.source_partition && *filter.source_partition != number) continue;
    if (filter.range && filter.range->partition != number) continue;
    const runtime::TopicPartition partition{std::string(events::kDeadLetters), number};
    const auto marks = log.watermarks(partition, kIsolation);
    if (!marks) return tl::unexpected(marks.error());
    std::int64_t first = marks->low;
    std::int64_t end = marks->high;
    if (filter.range) {
      first = std::max(first, filter.range->first_offset);
      if (filter.range->last_offset < end) end = filter.range->last_offset + 1;
    }
    if (filter.since && first < end) {
      const auto found = offset_before(**fetcher, partition, first, end, *filter.since);
      if (!found) return tl::unexpected(found.error());
      first = *found;
    }
    const auto look = [&](const events::RecordView& record) {
      if (filter.until && record.timestamp >= *filter.until) return false;
      DeadLetter letter = read_dead_letter(record);
      if (filter.matches(letter)) more = visit(std::move(letter));
      return more;
    };
    if (auto read = read_range(**fetcher, partition, first, end, look); !read) return read;
  }
  return {};
}

events::Result<DeadLetter> fetch_dead_letter(runtime::Log& log, const DeadLetterId& id) {
  const auto not_found = [&] {
    return events::fail(events::Errc::kNotFound,
                        "there is no dead letter " + std::to_string(id.partition) + "/" +
                            std::to_string(id.offset) + "; see: voketag dlq list");
  };
  if (id.partition >= events::kPartitionCount) return not_found();
  const runtime::TopicPartition partition{std::string(events::kDeadLetters), id.partition};
  const auto marks = log.watermarks(partition, kIsolation);
  if (!marks) return tl::unexpected(marks.error());
  if (id.offset < marks->low || id.offset >= marks->high) return not_found();
  auto fetcher = log.open_fetcher(kIsolation);
  if (!fetcher) return tl::unexpected(fetcher.error());
  std::optional<DeadLetter> letter;
  const auto look = [&](const events::RecordView& record) {
    if (record.offset == id.offset) letter = read_dead_letter(record);
    return false;
  };
  if (auto read = read_range(**fetcher, partition, id.offset, marks->high, look); !read) {
    return tl::unexpected(read.error());
  }
  if (!letter) return not_found();
  return *std::move(letter);
}

std::optional<std::string> why_not_retryable(const DeadLetter& letter) {
  const std::string subject = "dead letter " + letter.id();
  // Its record lies where it belongs, and all that read the topic have taken it but this view.
  if (letter.processor.starts_with(kProjector)) {
    const std::string view = letter.processor.substr(kProjector.size());
    return subject + " was refused by the view " + escaped(view) +
           " alone; sent again, every other reader would see its record twice. Mend the cause, "
           "then rebuild the view from the topics: voketag replay --view " +
           escaped(view);
  }
  if (letter.cut) {
    return subject +
           " was too large to be kept whole, so it cannot be sent again; its producer must";
  }
  // It came to us compressed, which is how the broker counts: written as it is, no topic takes it.
  if (letter.value && static_cast<std::int64_t>(letter.value->size()) > events::kInputBytesMax) {
    return subject + " has " + std::to_string(letter.value->size()) + " bytes, and at most " +
           std::to_string(events::kInputBytesMax) + " are read; its producer must send less";
  }
  if (letter.topic.empty()) return subject + " does not say where it came from";
  return std::nullopt;
}

events::Result<events::OutputRecord> retry_record(const DeadLetter& letter, std::string_view by,
                                                  std::string_view reason, events::Timestamp at) {
  if (const auto why = why_not_retryable(letter)) {
    return events::fail(events::Errc::kInvalid, *why);
  }
  events::OutputRecord record;
  record.topic = letter.topic;
  record.partition = letter.source_partition;
  record.key = letter.key;
  record.value = letter.value;
  for (const auto& header : letter.headers) {
    // Of an earlier retry; who retries now has the word.
    if (!header.first.starts_with(kRetry)) record.headers.push_back(header);
  }
  record.headers.emplace_back("retry_of", std::string(events::kDeadLetters) + "/" + letter.id());
  record.headers.emplace_back("retry_by", by);
  record.headers.emplace_back("retry_reason", reason);
  record.headers.emplace_back("retry_at", at.to_string());
  return record;
}

namespace {

// The run is the cause of both of its events, though no record tells of it.
events::OutputRecord retry_audit(const RetryRun& run, events::AuditRecorded event, int ordinal) {
  event.action = "dead-letters-retry";
  event.run_id = events::Uuid::v5(events::kNamespace, event.action + ":" + run.actor + ":" +
                                                          run.at.to_string() + ":" + run.selection);
  event.actor = run.actor;
  event.reason = run.reason;
  event.selection = run.selection;
  event.at = run.at;
  const events::Envelope cause =
      events::begin_envelope(event.run_id.to_string(), kCommandLine,
                             events::event_type(events::AuditRecorded::kTopic), run.at);
  events::OutputRecord record;
  record.topic = std::string(events::AuditRecorded::kTopic);
  record.partition = events::partition_for(kOperations);
  record.key = std::string(kOperations);
  record.value = events::encode(event);
  record.headers = events::to_headers(
      events::derive_envelope(cause, kCommandLine, events::AuditRecorded::kTopic, ordinal, run.at));
  return record;
}

}  // namespace

events::OutputRecord retry_begun(const RetryRun& run) {
  events::AuditRecorded event;
  event.phase = "begun";
  return retry_audit(run, std::move(event), 0);
}

events::OutputRecord retry_ended(const RetryRun& run, std::int64_t sent, std::int64_t skipped) {
  events::AuditRecorded event;
  event.phase = "ended";
  event.sent = sent;
  event.skipped = skipped;
  return retry_audit(run, std::move(event), 1);
}

}  // namespace voketag::cli
