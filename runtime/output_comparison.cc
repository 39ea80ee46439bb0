#include "runtime/output_comparison.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "processors/hash/sha256.h"

// In the scratch store:
//   emitted/<id> 0x00 <hash>      -> the places of all records of that id and those bytes, a line
//                                    each: <era> <partition> <offset> <topic>
//   unmatched/<id> 0x00 <number>  -> nothing: what the shadow emits and the log does not have
namespace voketag::runtime {
namespace {

using events::Status;

constexpr std::string_view kEmittedPrefix = "emitted/";
constexpr std::string_view kUnmatchedPrefix = "unmatched/";
constexpr std::size_t kOverlayBytesMax = 1U << 20;
// So much of a value is kept to be shown.
constexpr std::size_t kKeptValueBytes = 256U << 10;
constexpr std::size_t kExcerptBytes = 48;

void append_sized(std::string& text, std::optional<std::string_view> bytes) {
  text += bytes ? std::to_string(bytes->size()) + ":" : "-:";
  if (bytes) text += *bytes;
}

template <class Headers>
std::string_view find_header(const Headers& headers, std::string_view name) {
  for (const auto& [header_name, value] : headers) {
    if (header_name == name) return value;
  }
  return {};
}

template <class Record>
std::string hash_of(const Record& record) {
  std::string text;
  append_sized(text, record.topic);
  text += std::to_string(record.partition);
  append_sized(text, record.key);
  for (const auto& [name, value] : record.headers) {
    append_sized(text, name);
    append_sized(text, value);
  }
  std::optional<processors::Hash> value_hash;
  if (record.value) value_hash = processors::sha256(std::string_view(*record.value));
  const auto as_text = [](const processors::Hash& hash) {
    return std::string_view(reinterpret_cast<const char*>(hash.data()), hash.size());
  };
  append_sized(text, value_hash ? std::optional(as_text(*value_hash)) : std::nullopt);
  return std::string(as_text(processors::sha256(text)));
}

std::string id_prefix(std::string_view kind, std::string_view id) {
  return std::string(kind) + std::string(id) + '\0';
}

std::string line_of(const TopicPartitionOffset& place, OutputComparison::Era era) {
  return std::string(era == OutputComparison::Era::kCovered ? "c " : "l ") +
         std::to_string(place.partition) + " " + std::to_string(place.offset) + " " + place.topic +
         "\n";
}

std::pair<TopicPartitionOffset, OutputComparison::Era> parse_line(std::string_view line) {
  TopicPartitionOffset place;
  long long offset = 0;
  int topic_at = 0;
  const std::string text(line);
  std::sscanf(text.c_str() + 2, "%d %lld %n", &place.partition, &offset, &topic_at);
  place.offset = offset;
  place.topic = text.substr(2 + static_cast<std::size_t>(topic_at));
  return {place,
          line.front() == 'c' ? OutputComparison::Era::kCovered : OutputComparison::Era::kLater};
}

std::string excerpt(std::string_view bytes, std::size_t at) {
  if (at >= bytes.size()) return "(its end)";
  return "'" + std::string(bytes.substr(at, kExcerptBytes)) + "'" +
         (at + kExcerptBytes < bytes.size() ? "..." : "");
}

std::string said(std::optional<std::string_view> bytes) {
  return bytes ? excerpt(*bytes, 0) : "none";
}

void add(std::string& text, const std::string& difference) {
  text += (text.empty() ? "" : "; ") + difference;
}

std::string header_differences(const events::HeaderViews& then, const events::Headers& now) {
  std::string text;
  for (std::size_t i = 0; i < std::max(then.size(), now.size()); ++i) {
    const auto was =
        i < then.size() ? std::string(then[i].first) + ": " + std::string(then[i].second) : "none";
    const auto is = i < now.size() ? now[i].first + ": " + now[i].second : "none";
    if (was == is) continue;
    add(text, "header then '" + was + "', now '" + is + "'");
    break;  // the first says enough
  }
  return text;
}

std::string value_difference(std::string_view then, std::string_view now, std::size_t now_bytes) {
  const std::size_t common = std::min(then.size(), now.size());
  const auto at = static_cast<std::size_t>(
      std::mismatch(then.begin(), then.begin() + static_cast<std::ptrdiff_t>(common), now.begin())
          .first -
      then.begin());
  if (at == common && then.size() == now_bytes && now.size() == now_bytes) return {};
  const std::string sizes = then.size() == now_bytes
                                ? ""
                                : " (" + std::to_string(then.size()) + " bytes then, " +
                                      std::to_string(now_bytes) + " now)";
  if (at == common && now.size() < now_bytes) {
    return "value from some byte behind " + std::to_string(at) + " on" + sizes;
  }
  return "value from byte " + std::to_string(at) + " on: then " + excerpt(then, at) + ", now " +
         excerpt(now, at) + sizes;
}

std::string describe(const events::RecordView& then, const events::OutputRecord& now,
                     std::size_t now_value_bytes) {
  std::string text;
  if (then.topic != now.topic || then.partition != now.partition) {
    add(text, "now in " + now.topic + " partition " + std::to_string(now.partition));
  }
  if (then.key != now.key) add(text, "key then " + said(then.key) + ", now " + said(now.key));
  if (auto headers = header_differences(then.headers, now.headers); !headers.empty()) {
    add(text, headers);
  }
  if (then.value.has_value() != now.value.has_value()) {
    add(text, "value then " + said(then.value) + ", now " + said(now.value));
  } else if (then.value) {
    auto values = value_difference(*then.value, *now.value, now_value_bytes);
    if (!values.empty()) add(text, values);
  }
  return text;
}

}  // namespace

std::string_view to_string(OutputDifferenceKind kind) {
  switch (kind) {
    case OutputDifferenceKind::kDifferent:
      return "different";
    case OutputDifferenceKind::kMissing:
      return "missing";
    case OutputDifferenceKind::kExtra:
      return "extra";
  }
  return "different";
}

OutputComparison::OutputComparison(state::PartitionStore& scratch, std::string source)
    : scratch_(scratch), source_(std::move(source)) {}

Status OutputComparison::write_if_large(std::size_t bytes) {
  written_bytes_ += bytes;
  if (written_bytes_ < kOverlayBytesMax) return {};
  written_bytes_ = 0;
  return scratch_.write_overlay("comparison");
}

Status OutputComparison::note_emitted(const events::RecordView& record, Era era) {
  // `voketag dlq retry` sends a record again as it was: the processor emitted the first one.
  if (record.header("ce_source") != source_ || record.header("retry_of")) return {};
  const std::string key =
      id_prefix(kEmittedPrefix, find_header(record.headers, "ce_id")) + hash_of(record);
  const std::string line =
      line_of({std::string(record.topic), record.partition, record.offset}, era);
  scratch_.put(key, scratch_.get(key).value_or("") + line);
  return write_if_large(key.size() + line.size());
}

Status OutputComparison::check(const events::OutputRecord& output) {
  const std::string_view id = find_header(output.headers, "ce_id");
  const std::string key = id_prefix(kEmittedPrefix, id) + hash_of(output);
  if (auto places = scratch_.get(key)) {
    ++equal_;
    places->erase(0, places->find('\n') + 1);
    places->empty() ? scratch_.erase(key) : scratch_.put(key, *places);
    return write_if_large(key.size());
  }
  char number[17];
  std::snprintf(number, sizeof number, "%016llx", static_cast<long long>(unmatched_count_++));
  const std::string unmatched_key = id_prefix(kUnmatchedPrefix, id) + number;
  scratch_.put(unmatched_key, "");
  if (unmatched_.size() < kOutputDifferencesShown) {
    Unmatched& kept = unmatched_.emplace_back(Unmatched{output, 0});
    if (kept.output.value) {
      kept.value_bytes = kept.output.value->size();
      kept.output.value->resize(std::min(kept.value_bytes, kKeptValueBytes));
      kept.output.value->shrink_to_fit();
    }
  }
  return write_if_large(unmatched_key.size());
}

// Any record of that id that the shadow has not matched.
std::optional<OutputComparison::EmittedPlace> OutputComparison::take_emitted(std::string_view id) {
  const auto key = scratch_.first_key(id_prefix(kEmittedPrefix, id));
  if (!key) return std::nullopt;
  std::string places = scratch_.get(*key).value();
  const std::size_t end = places.find('\n');
  const auto [place, era] = parse_line(std::string_view(places).substr(0, end));
  places.erase(0, end + 1);
  places.empty() ? scratch_.erase(*key) : scratch_.put(*key, places);
  return EmittedPlace{place, era};
}

Status OutputComparison::pair(const std::string& id, const Unmatched* shown,
                              const ReadEmitted& read) {
  const auto emitted = take_emitted(id);
  ++(emitted ? different_ : missing_);
  if (shown == nullptr) return {};
  OutputDifference difference;
  difference.id = id;
  difference.topic = shown->output.topic;
  difference.partition = shown->output.partition;
  if (!emitted) {
    difference.kind = OutputDifferenceKind::kMissing;
    difference.detail =
        "now key " + said(shown->output.key) + ", value " + said(shown->output.value);
  } else {
    difference.topic = emitted->place.topic;
    difference.partition = emitted->place.partition;
    difference.offset = emitted->place.offset;
    const auto found = read(emitted->place, [&](const events::RecordView& then) {
      difference.detail = describe(then, shown->output, shown->value_bytes);
    });
    if (!found) return tl::unexpected(found.error());
    if (!*found) difference.detail = "the record is no longer in the log";
  }
  differences_.push_back(std::move(difference));
  return {};
}

void OutputComparison::count_extra() {
  scratch_.scan(kEmittedPrefix, [&](std::string_view key, std::string_view places) {
    const std::string_view id_and_hash = key.substr(kEmittedPrefix.size());
    for (std::size_t begin = 0; begin < places.size();) {
      const std::size_t end = places.find('\n', begin);
      const auto [place, era] = parse_line(places.substr(begin, end - begin));
      begin = end + 1;
      if (era == Era::kLater) continue;
      ++extra_;
      if (differences_.size() >= kOutputDifferencesShown) continue;
      differences_.push_back({OutputDifferenceKind::kExtra,
                              std::string(id_and_hash.substr(0, id_and_hash.find('\0'))),
                              place.topic, place.partition, place.offset, ""});
    }
    return true;
  });
}

Status OutputComparison::finish(bool with_extra, const ReadEmitted& read) {
  // Each is taken off before the next is looked for: the search begins behind it.
  std::string from;
  while (const auto key = scratch_.first_key(kUnmatchedPrefix, from)) {
    const std::size_t id_end = key->find('\0');
    const std::string id = key->substr(kUnmatchedPrefix.size(), id_end - kUnmatchedPrefix.size());
    const auto number = std::stoull(key->substr(id_end + 1), nullptr, 16);
    const Unmatched* const shown = number < unmatched_.size() ? &unmatched_[number] : nullptr;
    if (auto paired = pair(id, shown, read); !paired) return paired;
    if (auto written = write_if_large(key->size()); !written) return written;
    from = *key + '\0';
  }
  if (with_extra) count_extra();
  return {};
}

}  // namespace voketag::runtime
