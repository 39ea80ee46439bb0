#include "runtime/dead_letter.h"

#include <algorithm>
#include <string>

#include "events/envelope.h"
#include "events/topics.h"
#include "events/uuid.h"

namespace voketag::runtime {
namespace {

// A detail may quote the offending value; a header is no place for more than a few lines of it.
constexpr std::size_t kDetailBytesMax = 2000;
// Key and headers of the original come on top of its value, and a topic's limit counts compressed
// bytes: either may be of any size.
constexpr std::size_t kOriginalHeaderBytesMax = 64 * 1024;
constexpr std::size_t kOriginalKeyBytesMax = 64 * 1024;
// What a header costs beside its bytes: two lengths, and what we put before its name.
constexpr std::size_t kHeaderOverheadBytes = 24;

void add_original_headers(const events::RecordView& record, events::Headers& headers) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : record.headers) {
    bytes += kHeaderOverheadBytes + name.size() + value.size();
    if (bytes > kOriginalHeaderBytesMax) {
      headers.emplace_back("dead_letter_headers_cut", "true");
      return;
    }
    headers.emplace_back("original_" + std::string(name), value);
  }
}

}  // namespace

events::OutputRecord make_dead_letter(const events::RecordView& record, std::string_view processor,
                                      std::string_view reason, std::string_view detail) {
  const events::Envelope cause = events::read_envelope(record);
  const std::string origin = std::string(record.topic) + "/" + std::to_string(record.partition) +
                             "/" + std::to_string(record.offset);
  events::Envelope envelope = events::derive_envelope(cause, "/voketag/" + std::string(processor),
                                                      events::kDeadLetters, 0, record.timestamp);
  envelope.id =
      events::Uuid::v5(events::kNamespace, "dead-letter:" + origin + ":" + std::string(processor))
          .to_string();

  events::OutputRecord letter;
  letter.topic = events::kDeadLetters;
  letter.partition = record.partition;
  if (record.key) letter.key = std::string(record.key->substr(0, kOriginalKeyBytesMax));
  letter.headers = events::to_headers(envelope);
  for (auto& [name, value] : letter.headers) {
    if (name == "content-type") value = "application/octet-stream";
  }
  auto add = [&](std::string name, std::string value) {
    letter.headers.emplace_back(std::move(name), std::move(value));
  };
  add("dead_letter_reason", std::string(reason));
  add("dead_letter_detail", std::string(detail.substr(0, kDetailBytesMax)));
  add("dead_letter_processor", std::string(processor));
  add("dead_letter_topic", std::string(record.topic));
  add("dead_letter_partition", std::to_string(record.partition));
  add("dead_letter_offset", std::to_string(record.offset));
  add("dead_letter_timestamp", record.timestamp.to_string());
  if (record.value) {
    const std::size_t limit = static_cast<std::size_t>(events::kDeadLetterBytesMax);
    letter.value = std::string(record.value->substr(0, limit));
    if (record.value->size() > limit) {
      add("dead_letter_cut_from", std::to_string(record.value->size()));
    }
  } else {
    add("dead_letter_tombstone", "true");
  }
  if (record.key && record.key->size() > kOriginalKeyBytesMax) {
    add("dead_letter_key_cut_from", std::to_string(record.key->size()));
  }
  add_original_headers(record, letter.headers);
  return letter;
}

}  // namespace voketag::runtime
