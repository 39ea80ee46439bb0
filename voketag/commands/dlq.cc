#include "voketag/commands/dlq.h"

#include <limits>

#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/clock.h"
#include "voketag/commands/batch.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/escaped_text.h"
#include "voketag/nearest_name.h"
#include "voketag/processor_names.h"
#include "voketag/projections.h"

namespace voketag::cli {
namespace {

// Text as it is, other bytes in base64 under another name.
void write_bytes(JsonText& json, const std::string& name, const std::optional<std::string>& bytes) {
  if (bytes && !is_utf8(*bytes)) {
    json.member(name + "_base64", base64(*bytes));
  } else {
    json.member(name, bytes);
  }
}

// "70-90", "70-" or "70".
events::Status parse_offsets(const std::string& text, DeadLetterFilter& filter) {
  const std::size_t hyphen = text.find('-');
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  const auto first = parse_whole_number(text.substr(0, hyphen), 0, kMax);
  const std::string rest = hyphen == std::string::npos ? text : text.substr(hyphen + 1);
  const auto last = rest.empty() ? events::Result<std::int64_t>(kMax)
                                 : parse_whole_number(rest, first.value_or(0), kMax);
  if (!first || !last) {
    return events::fail(events::Errc::kInvalid,
                        "--offsets: '" + text + "' is no range; for example 70-90, 70- or 70");
  }
  filter.source_first_offset = *first;
  filter.source_last_offset = *last;
  return {};
}

std::vector<std::string> topic_names() {
  std::vector<std::string> names;
  for (const auto& topic : events::topic_catalogue()) names.emplace_back(topic.name);
  return names;
}

// Processors, and what fills the views.
std::vector<std::string> refuser_names() {
  std::vector<std::string> names(kProcessorNames.begin(), kProcessorNames.end());
  for (const auto& projection : all_projections()) {
    names.push_back("projector-" + std::string(projection->name()));
  }
  return names;
}

}  // namespace

events::Timestamp wall_clock_now() {
  return runtime::SystemClock().now();
}

events::Result<events::Timestamp> parse_moment(const std::string& text) {
  if (const auto moment = events::Timestamp::parse(text)) return *moment;
  if (const auto day = events::Timestamp::parse(text + "T00:00:00Z")) return *day;
  if (const auto ago = parse_duration_ms(text)) {
    return events::Timestamp{wall_clock_now().ms - *ago};
  }
  return events::fail(events::Errc::kInvalid,
                      "'" + text +
                          "' is no time; for example 2026-11-22T14:00:00Z, 2026-11-22, or "
                          "how long ago: 90m, 2h");
}

// A word that was misspelt must not look like good news.
events::Status DeadLetterFilterOptions::check_names() const {
  const auto reasons = dead_letter_reasons();
  events::Status good;
  if (topic) good = check_name("--topic", *topic, topic_names());
  if (good && processor) good = check_name("--processor", *processor, refuser_names());
  if (good && reason) {
    good =
        check_name("--reason", *reason, std::vector<std::string>(reasons.begin(), reasons.end()));
  }
  return good;
}

events::Result<DeadLetterFilter> DeadLetterFilterOptions::parse() const {
  if (auto good = check_names(); !good) return tl::unexpected(good.error());
  DeadLetterFilter filter;
  filter.topic = topic;
  filter.processor = processor;
  filter.reason = reason;
  for (const auto& [text, moment, name] :
       {std::tuple{&since, &filter.since, "--since"}, {&until, &filter.until, "--until"}}) {
    if (!*text) continue;
    auto parsed = parse_moment(**text);
    if (!parsed) {
      return events::fail(parsed.error().code, std::string(name) + ": " + parsed.error().message);
    }
    *moment = *parsed;
  }
  filter.source_partition = partition;
  if (!offsets) return filter;
  if (!topic || !partition) {
    return events::fail(events::Errc::kInvalid,
                        "--offsets are those of one partition of one topic: say --topic and "
                        "--partition too");
  }
  if (auto parsed = parse_offsets(*offsets, filter); !parsed) {
    return tl::unexpected(parsed.error());
  }
  return filter;
}

std::string DeadLetterFilterOptions::text() const {
  std::string text;
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value) text += (text.empty() ? "" : " ") + std::string(name) + " " + *value;
  };
  add("--topic", topic);
  add("--partition", partition ? std::optional(std::to_string(*partition)) : std::nullopt);
  add("--offsets", offsets);
  add("--processor", processor);
  add("--reason", reason);
  add("--since", since);
  add("--until", until);
  return text;
}

void add_filter_options(CLI::App& command, DeadLetterFilterOptions& options) {
  const auto add = [&](const char* name, std::optional<std::string>& value, const char* meaning,
                       const char* type) {
    add_text(command, name, value, meaning)->type_name(type);
  };
  add("--topic", options.topic, "Only of this topic (without the prefix)", "TOPIC");
  add_number(command, "--partition", options.partition, 0, events::kPartitionCount - 1,
             "Only of this partition, 0 to 11");
  add("--offsets", options.offsets,
      "Only records that had these offsets in --topic and --partition: 70-90, 70-, 70", "RANGE");
  add("--processor", options.processor, "Only what this processor or projection refused", "NAME");
  add("--reason", options.reason, "Only for this reason, such as malformed", "WORD");
  add("--since", options.since, "Not older than this: a time, a day, or 90m, 2h ago", "TIME");
  add("--until", options.until, "Older than this", "TIME");
}

void write_json(JsonText& json, const DeadLetter& letter, bool with_bytes) {
  json.begin_object()
      .member("id", letter.id())
      .member("at", letter.at.to_string())
      .member("reason", letter.reason)
      .member("detail", letter.detail)
      .member("processor", letter.processor)
      .member("topic", letter.topic)
      .member("partition", static_cast<std::int64_t>(letter.source_partition))
      .member("offset", letter.source_offset)
      .member("value_bytes", static_cast<std::int64_t>(letter.value_bytes))
      .member("cut", letter.cut);
  const auto why_not = why_not_retryable(letter);
  json.member("retryable", !why_not).member("why_not_retryable", why_not);
  write_bytes(json, "key", letter.key);
  if (with_bytes) {
    write_bytes(json, "value", letter.value);
    json.name("headers").begin_array();
    for (const auto& [name, value] : letter.headers) {
      json.begin_object().member("name", name);
      write_bytes(json, "value", value);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
}

void add_dlq(CLI::App& parent, Session& session) {
  CLI::App* dlq = parent.add_subcommand("dlq", "Look at records that were refused, and retry them");
  dlq->require_subcommand(1);
  add_dlq_list(*dlq, session);
  add_dlq_show(*dlq, session);
  add_dlq_retry(*dlq, session);
}

}  // namespace voketag::cli
