#include "events/envelope.h"

#include <algorithm>
#include <optional>

#include "events/uuid.h"

namespace voketag::events {
namespace {

// An id goes into the id of every event derived from it; one longer than this is none.
constexpr std::size_t kAttributeBytesMax = 256;
constexpr std::string_view kExternalSource = "/external";
constexpr std::size_t kTraceIdFrom = 3;
constexpr std::size_t kTraceIdLength = 32;
constexpr std::size_t kSpanIdFrom = 36;
constexpr std::size_t kSpanIdLength = 16;
constexpr std::size_t kFlagsFrom = 53;
constexpr std::size_t kTraceparentLength = 55;

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_all_zero(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '0'; });
}

std::string hex(const Uuid& uuid, std::size_t bytes) {
  std::string text = uuid.to_string();
  text.erase(std::remove(text.begin(), text.end(), '-'), text.end());
  return text.substr(0, 2 * bytes);
}

// The version digit of a UUIDv5 is among its first 8 bytes: neither id can be all zero, which the
// recommendation forbids.
std::string derived_span(std::string_view id) {
  return hex(Uuid::v5(kNamespace, "span:" + std::string(id)), 8);
}
std::string derived_trace(std::string_view id) {
  return hex(Uuid::v5(kNamespace, "trace:" + std::string(id)), 16);
}

// Checks a traceparent by W3C Trace Context §3.2.2 and gives it in version 00. Of a version that is
// not known yet, the parts that every version has are taken, as §3.2.4 asks for.
std::optional<std::string> accepted_traceparent(std::string_view text) {
  if (text.size() < kTraceparentLength || text.size() > kAttributeBytesMax) return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace_id = text.substr(kTraceIdFrom, kTraceIdLength);
  const std::string_view span_id = text.substr(kSpanIdFrom, kSpanIdLength);
  const std::string_view flags = text.substr(kFlagsFrom, 2);
  const bool dashes = text[2] == '-' && text[kSpanIdFrom - 1] == '-' && text[kFlagsFrom - 1] == '-';
  if (!dashes || !is_lower_hex(version) || version == "ff" || !is_lower_hex(flags)) {
    return std::nullopt;
  }
  if (!is_lower_hex(trace_id) || is_all_zero(trace_id)) return std::nullopt;
  if (!is_lower_hex(span_id) || is_all_zero(span_id)) return std::nullopt;
  if (version == "00") {
    if (text.size() != kTraceparentLength) return std::nullopt;
    return std::string(text);
  }
  if (text.size() > kTraceparentLength && text[kTraceparentLength] != '-') return std::nullopt;
  const bool sampled = (flags[1] >= 'a' ? flags[1] - 'a' + 10 : flags[1] - '0') % 2 == 1;
  return "00-" + std::string(trace_id) + "-" + std::string(span_id) + (sampled ? "-01" : "-00");
}

std::string derived_traceparent(std::string_view id) {
  return "00-" + derived_trace(id) + "-" + derived_span(id) + "-01";
}

// A header's text, or none when it is absent, empty or too long to be an attribute.
std::optional<std::string> attribute(const RecordView& record, std::string_view name) {
  const auto value = record.header(name);
  if (!value || value->empty() || value->size() > kAttributeBytesMax) return std::nullopt;
  return std::string(*value);
}

std::string position_of(const RecordView& record) {
  return std::string(record.topic) + "/" + std::to_string(record.partition) + "/" +
         std::to_string(record.offset);
}

}  // namespace

std::string event_type(std::string_view topic) {
  return "voketag." + std::string(topic) + ".v1";
}

std::string read_type(const RecordView& record) {
  return attribute(record, "ce_type").value_or(event_type(record.topic));
}

Envelope read_envelope(const RecordView& record) {
  Envelope envelope;
  envelope.id = attribute(record, "ce_id").value_or(position_of(record));
  envelope.source = attribute(record, "ce_source").value_or(std::string(kExternalSource));
  envelope.type = read_type(record);
  const auto time = attribute(record, "ce_time");
  envelope.time = time ? Timestamp::parse(*time).value_or(record.timestamp) : record.timestamp;
  const auto trace = record.header("traceparent");
  const auto accepted = trace ? accepted_traceparent(*trace) : std::nullopt;
  envelope.traceparent = accepted ? *accepted : derived_traceparent(envelope.id);
  return envelope;
}

Envelope begin_envelope(std::string id, std::string_view source, std::string_view type,
                        Timestamp time) {
  Envelope envelope;
  envelope.traceparent = derived_traceparent(id);
  envelope.id = std::move(id);
  envelope.source = source;
  envelope.type = type;
  envelope.time = time;
  return envelope;
}

Envelope derive_envelope(const Envelope& cause, std::string_view source, std::string_view topic,
                         int ordinal, Timestamp time) {
  Envelope envelope;
  envelope.type = event_type(topic);
  envelope.id = Uuid::v5(kNamespace, cause.id + "/" + envelope.type + "/" + std::to_string(ordinal))
                    .to_string();
  envelope.source = source;
  envelope.time = time;
  envelope.traceparent = cause.traceparent;
  envelope.traceparent.replace(kSpanIdFrom, kSpanIdLength, derived_span(envelope.id));
  return envelope;
}

Headers to_headers(const Envelope& envelope) {
  return {{"ce_specversion", "1.0"},
          {"ce_id", envelope.id},
          {"ce_source", envelope.source},
          {"ce_type", envelope.type},
          {"ce_time", envelope.time.to_string()},
          {"content-type", "application/json"},
          {"traceparent", envelope.traceparent}};
}

}  // namespace voketag::events
