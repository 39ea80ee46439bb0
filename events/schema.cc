#include "events/schema.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>

#include "events/codec.h"
#include "events/codec_impl.h"
#include "events/envelope.h"
#include "events/events.h"
#include "events/json_writer.h"
#include "events/topics.h"

namespace voketag::events {
namespace {

using detail::Described;
using detail::IsOptional;
using detail::IsVector;

constexpr std::string_view kUuidPattern =
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
// PostgreSQL's text cannot hold U+0000; the codec refuses it.
constexpr std::string_view kTextPattern = "^[^\\u0000]*$";

const Topic& topic_named(std::string_view name) {
  const auto topics = topic_catalogue();
  const auto topic = std::find_if(topics.begin(), topics.end(),
                                  [&](const Topic& candidate) { return candidate.name == name; });
  assert(topic != topics.end() && "every event's topic is in the catalogue");
  return *topic;
}

void member(JsonWriter& writer, std::string_view name, std::string_view value) {
  writer.key(name);
  writer.string(value);
}

// The same JSON for people: a member a line, arrays on one line. `json` has no white space between
// its tokens and no arrays of objects.
std::string pretty(std::string_view json) {
  std::string out;
  std::size_t depth = 0;
  bool in_string = false;
  bool in_array = false;
  const auto new_line = [&] { out += "\n" + std::string(2 * depth, ' '); };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') in_string = !in_string;
    if (in_string || c == '"') {
      out += c;
      if (c == '\\') out += json[++i];
      continue;
    }
    if (c == '[' || c == ']') in_array = c == '[';
    if (c == '{') ++depth;
    if (c == '}') {
      --depth;
      new_line();
    }
    out += c;
    if (c == '{') new_line();
    if (c == ':') out += ' ';
    if (c == ',' && in_array) out += ' ';
    if (c == ',' && !in_array) new_line();
  }
  return out + "\n";
}

bool has_minimum(const Rule& rule) {
  return rule.minimum != Rule{}.minimum;
}
bool has_maximum(const Rule& rule) {
  return rule.maximum != Rule{}.maximum;
}

// A rule's bounds under the names that the type's schema has for them.
void bounds(JsonWriter& writer, const Rule& rule, std::string_view minimum,
            std::string_view maximum) {
  if (has_minimum(rule)) {
    writer.key(minimum);
    writer.integer(rule.minimum);
  }
  if (has_maximum(rule)) {
    writer.key(maximum);
    writer.integer(rule.maximum);
  }
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> list;
  while (!choices.empty()) {
    const std::size_t bar = std::min(choices.find('|'), choices.size());
    list.push_back(choices.substr(0, bar));
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
  return list;
}

void type(JsonWriter& writer, std::string_view name, bool optional) {
  if (!optional) return member(writer, "type", name);
  writer.key("type");
  writer.begin_array();
  writer.string(name);
  writer.string("null");
  writer.end_array();
}

template <Described T>
void write_members(JsonWriter& writer);

template <class T>
void write_string_type(JsonWriter& writer, const Rule& rule, bool optional) {
  if constexpr (std::is_same_v<T, Uuid>) {
    member(writer, "format", "uuid");
    member(writer, "pattern", kUuidPattern);
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    member(writer, "format", "date-time");
  } else if constexpr (std::is_same_v<T, Hash>) {
    member(writer, "pattern", "^[0-9a-f]{64}$");
  } else if constexpr (std::is_same_v<T, ChainBytes>) {
    member(writer, "pattern", "^0x([0-9a-f]{2})*$");
  } else if constexpr (std::is_same_v<T, Decimal>) {
    member(writer, "pattern", "^-?[0-9]+(\\.[0-9]+)?$");
  } else if (!rule.choices.empty()) {
    writer.key("enum");
    writer.begin_array();
    for (const std::string_view choice : split_choices(rule.choices)) writer.string(choice);
    if (optional) writer.null();
    writer.end_array();
  } else {
    bounds(writer, rule, "minLength", "maxLength");
    member(writer, "pattern", kTextPattern);
  }
}

// The schema of a value, without the braces around it.
template <class T>
void write_type(JsonWriter& writer, const Rule& rule, bool optional) {
  if constexpr (IsOptional<T>::value) {
    write_type<typename T::value_type>(writer, rule, true);
  } else if constexpr (IsVector<T>::value) {
    type(writer, "array", optional);
    writer.key("items");
    writer.begin_object();
    write_type<typename T::value_type>(writer, Rule{}, false);
    writer.end_object();
    bounds(writer, rule, "minItems", "maxItems");
  } else if constexpr (Described<T>) {
    type(writer, "object", optional);
    write_members<T>(writer);
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    type(writer, "integer", optional);
    Rule range = rule;
    bounds(writer, rule, "minimum", "maximum");
    if (!has_minimum(range)) {
      writer.key("minimum");
      writer.integer(range.minimum);
    }
    if (!has_maximum(range)) {
      writer.key("maximum");
      writer.integer(range.maximum);
    }
  } else if constexpr (std::is_same_v<T, bool>) {
    type(writer, "boolean", optional);
  } else if constexpr (std::is_same_v<T, double>) {
    type(writer, "number", optional);
  } else if constexpr (std::is_same_v<T, JsonObject>) {
    type(writer, "object", optional);
  } else {
    type(writer, "string", optional);
    write_string_type<T>(writer, rule, optional);
  }
}

// What a schema's keywords cannot say: its lengths count characters, ours bytes.
template <class T>
std::string describe_member(std::string_view meaning, const Rule& rule) {
  std::string description(meaning);
  if constexpr (IsOptional<T>::value) {
    return describe_member<typename T::value_type>(meaning, rule);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (rule.choices.empty() && has_maximum(rule)) {
      description += " (lengths count bytes of UTF-8)";
    }
  } else if constexpr (std::is_same_v<T, JsonObject>) {
    description += " (at most " + std::to_string(rule.maximum) + " bytes in RFC 8785's form)";
  }
  return description;
}

template <Described T>
void write_members(JsonWriter& writer) {
  writer.key("properties");
  writer.begin_object();
  const auto property = [&]<class Owner, class Type>(const Field<Owner, Type>& field) {
    writer.key(field.name);
    writer.begin_object();
    member(writer, "description", describe_member<Type>(field.meaning, field.rule));
    write_type<Type>(writer, field.rule, false);
    writer.end_object();
  };
  std::apply([&](const auto&... field) { (property(field), ...); },
             detail::Description<T>::kFields);
  writer.end_object();
  writer.key("required");
  writer.begin_array();
  for (std::size_t i = 0; i < detail::Description<T>::kCount; ++i) {
    if (!detail::Description<T>::kOptional[i]) writer.string(detail::Description<T>::kNames[i]);
  }
  writer.end_array();
}

template <class Visit, class... Event>
void for_each_event(std::type_identity<std::tuple<Event...>>, Visit&& visit) {
  (visit(std::type_identity<Event>{}), ...);
}
template <class Visit>
void for_each_event(Visit&& visit) {
  for_each_event(std::type_identity<AllEvents>{}, std::forward<Visit>(visit));
}

// ---- AsyncAPI -------------------------------------------------------------------------------

// A YAML scalar in single quotes, which need no escapes but themselves.
std::string yaml_scalar(std::string_view plain) {
  std::string out = "'";
  for (const char c : plain) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + "'";
}

// AsyncAPI's names for things are camel case by custom; topics have dashes.
std::string camel_case(std::string_view topic) {
  std::string name;
  bool upper = false;
  for (const char c : topic) {
    if (c == '-') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(c - 'a' + 'A') : c;
    upper = false;
  }
  return name;
}

class YamlWriter {
 public:
  // A line at a depth of two spaces each.
  void line(int depth, std::string_view content) {
    text_.append(static_cast<std::size_t>(depth) * 2, ' ');
    text_ += content;
    text_ += '\n';
  }
  std::string finish() && { return std::move(text_); }

 private:
  std::string text_;
};

constexpr std::string_view kBindingVersion = "bindingVersion: '0.5.0'";

// What the key of a topic looks like, where one pattern says it.
std::optional<std::string> key_pattern(const Topic& topic) {
  const std::string uuid(kUuidPattern.substr(1, kUuidPattern.size() - 2));
  if (topic.key == "batch_id" || topic.key == "job_id") return std::string(kUuidPattern);
  if (topic.key.ends_with(":chunk_index")) return "^" + uuid + ":[0-9]+$";
  if (topic.key == "chain_id:address") return "^[0-9]+:(0x[0-9a-f]{40}|mock)$";
  return std::nullopt;
}

bool is_from_outside(std::string_view topic) {
  return topic == "batch-requested" || topic == "anchor-requested";
}

void write_channel(YamlWriter& yaml, const Topic& topic) {
  const std::string name = camel_case(topic.name);
  yaml.line(1, name + ":");
  yaml.line(2, "address: " + yaml_scalar("voketag." + std::string(topic.name)));
  yaml.line(2, "description: " + yaml_scalar(topic.meaning));
  yaml.line(2, "messages:");
  yaml.line(3, name + ":");
  yaml.line(4, "$ref: '#/components/messages/" + name + "'");
  yaml.line(2, "bindings:");
  yaml.line(3, "kafka:");
  yaml.line(4, "topic: " + yaml_scalar("voketag." + std::string(topic.name)));
  yaml.line(4, "partitions: " + std::to_string(topic.partitions));
  yaml.line(4, "topicConfiguration:");
  yaml.line(5, topic.cleanup == Cleanup::kCompact ? "cleanup.policy: ['compact']"
                                                  : "cleanup.policy: ['delete']");
  if (topic.cleanup == Cleanup::kKeep) yaml.line(5, "retention.ms: -1");
  yaml.line(5, "max.message.bytes: " + std::to_string(topic.message_bytes_max));
  yaml.line(4, kBindingVersion);
}

void write_operation(YamlWriter& yaml, const Topic& topic) {
  const std::string name = camel_case(topic.name);
  const bool receives = is_from_outside(topic.name);
  yaml.line(1, std::string(receives ? "receive" : "send") + "_" + name + ":");
  yaml.line(2, receives ? "action: receive" : "action: send");
  yaml.line(2, "summary: " + yaml_scalar(topic.meaning));
  yaml.line(2, "channel:");
  yaml.line(3, "$ref: '#/channels/" + name + "'");
  yaml.line(2, "messages:");
  yaml.line(3, "- $ref: '#/channels/" + name + "/messages/" + name + "'");
}

void write_key_binding(YamlWriter& yaml, const Topic& topic) {
  yaml.line(3, "bindings:");
  yaml.line(4, "kafka:");
  yaml.line(5, "key:");
  yaml.line(6, "type: string");
  yaml.line(6, "description: " + yaml_scalar(topic.key));
  if (const auto pattern = key_pattern(topic)) yaml.line(6, "pattern: " + yaml_scalar(*pattern));
  yaml.line(5, kBindingVersion);
}

void write_message(YamlWriter& yaml, const Topic& topic) {
  const std::string name = camel_case(topic.name);
  const bool foreign = is_from_outside(topic.name);
  yaml.line(2, name + ":");
  yaml.line(3, "name: " + yaml_scalar(event_type(topic.name)));
  yaml.line(3, "title: " + yaml_scalar(topic.name));
  yaml.line(3, "contentType: application/json");
  yaml.line(3, "headers:");
  yaml.line(4, foreign ? "$ref: '#/components/schemas/optionalCloudEventHeaders'"
                       : "$ref: '#/components/schemas/cloudEventHeaders'");
  yaml.line(3, "payload:");
  yaml.line(4, "$ref: './" + std::string(topic.name) + ".schema.json'");
  write_key_binding(yaml, topic);
}

void write_dead_letter_message(YamlWriter& yaml, const Topic& topic) {
  yaml.line(2, camel_case(topic.name) + ":");
  yaml.line(3, "name: " + yaml_scalar(event_type(topic.name)));
  yaml.line(3, "title: " + yaml_scalar(topic.name));
  yaml.line(3, "summary: 'The value is the raw bytes of the record that could not be handled'");
  yaml.line(3, "contentType: application/octet-stream");
  yaml.line(3, "headers:");
  yaml.line(4, "$ref: '#/components/schemas/deadLetterHeaders'");
  write_key_binding(yaml, topic);
}

void write_header_properties(YamlWriter& yaml) {
  constexpr std::pair<std::string_view, std::string_view> kHeaders[] = {
      {"ce_specversion", "{type: string, const: '1.0'}"},
      {"ce_id",
       "{type: string, minLength: 1, description: 'Unique per source; of derived events "
       "UUIDv5 of the cause, the type and an ordinal'}"},
      {"ce_source", "{type: string, minLength: 1, description: '/voketag/<processor>'}"},
      {"ce_type", "{type: string, description: 'voketag.<topic>.v1'}"},
      {"ce_time", "{type: string, format: date-time}"},
      {"content-type", "{type: string}"},
      {"traceparent",
       "{type: string, pattern: "
       "'^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}', description: "
       "'W3C Trace Context'}"}};
  yaml.line(3, "type: object");
  yaml.line(3, "properties:");
  for (const auto& [name, schema] : kHeaders) {
    yaml.line(4, std::string(name) + ": " + std::string(schema));
  }
}

void write_header_schemas(YamlWriter& yaml) {
  constexpr std::string_view kRequired =
      "required: [ce_specversion, ce_id, ce_source, ce_type, ce_time, content-type, traceparent]";
  yaml.line(1, "schemas:");
  yaml.line(2, "cloudEventHeaders:");
  yaml.line(3, "description: 'CloudEvents 1.0, Kafka protocol binding, binary content mode'");
  write_header_properties(yaml);
  yaml.line(3, kRequired);
  yaml.line(2, "optionalCloudEventHeaders:");
  yaml.line(
      3, "description: 'The same; a producer that knows nothing of CloudEvents leaves them out'");
  write_header_properties(yaml);
  yaml.line(2, "deadLetterHeaders:");
  yaml.line(3,
            "description: 'Beside these: dead_letter_cut_from, dead_letter_tombstone, "
            "dead_letter_headers_cut, and the headers of the original behind original_'");
  write_header_properties(yaml);
  constexpr std::pair<std::string_view, std::string_view> kDeadLetterHeaders[] = {
      {"dead_letter_reason", "A word for programs"},
      {"dead_letter_detail", "What is wrong and how to mend it"},
      {"dead_letter_processor", "Who refused the record"},
      {"dead_letter_topic", "The topic that it came from"},
      {"dead_letter_partition", "Its partition"},
      {"dead_letter_offset", "Its offset"},
      {"dead_letter_timestamp", "Its broker time"}};
  std::string required(kRequired);
  required.pop_back();
  for (const auto& [name, meaning] : kDeadLetterHeaders) {
    yaml.line(4, std::string(name) + ": {type: string, description: " + yaml_scalar(meaning) + "}");
    required += ", " + std::string(name);
  }
  yaml.line(3, required + "]");
}

void write_preamble(YamlWriter& yaml) {
  yaml.line(0,
            "# Written by schema_writer from events/events.h and events/topics.cc: change those.");
  yaml.line(0, "asyncapi: 3.0.0");
  yaml.line(0, "info:");
  yaml.line(1, "title: VokeTag");
  yaml.line(1, "version: '1.0.0'");
  yaml.line(1, "description: >-");
  yaml.line(
      2, "Tokens for products, their Merkle roots, and the anchors of these on a blockchain, as");
  yaml.line(2, "events on Apache Kafka. Actions are those of VokeTag: it receives what you send.");
  yaml.line(2,
            "Topic names begin with a prefix, 'voketag.' unless it is configured otherwise. Keys");
  yaml.line(2, "are UTF-8; all topics use the murmur2 partitioner and LogAppendTime. Read with");
  yaml.line(2, "isolation.level=read_committed. Unknown members of a value are to be ignored.");
  yaml.line(0, "defaultContentType: application/json");
  yaml.line(0, "servers:");
  yaml.line(1, "kafka:");
  yaml.line(2, "host: 'localhost:9092'");
  yaml.line(2, "protocol: kafka");
  yaml.line(2, "description: 'What VOKETAG_KAFKA names'");
}

template <class Event>
std::string json_schema() {
  std::string json;
  JsonWriter writer(json);
  writer.begin_object();
  member(writer, "$schema", "https://json-schema.org/draft/2020-12/schema");
  member(writer, "$id", "urn:voketag:event:" + std::string(Event::kTopic) + ":v1");
  member(writer, "title", Event::kTopic);
  member(writer, "description", topic_named(Event::kTopic).meaning);
  write_type<Event>(writer, Rule{}, false);
  writer.end_object();
  return pretty(json);
}

}  // namespace

std::vector<EventSchema> event_schemas() {
  std::vector<EventSchema> schemas;
  for_each_event([&]<class Event>(std::type_identity<Event>) {
    schemas.push_back({Event::kTopic, json_schema<Event>()});
  });
  return schemas;
}

std::string asyncapi_document() {
  std::vector<const Topic*> topics;
  for_each_event([&]<class Event>(std::type_identity<Event>) {
    topics.push_back(&topic_named(Event::kTopic));
  });
  const Topic& dead_letters = topic_named(kDeadLetters);
  YamlWriter yaml;
  write_preamble(yaml);
  yaml.line(0, "channels:");
  for (const Topic* topic : topics) write_channel(yaml, *topic);
  write_channel(yaml, dead_letters);
  yaml.line(0, "operations:");
  for (const Topic* topic : topics) write_operation(yaml, *topic);
  write_operation(yaml, dead_letters);
  yaml.line(0, "components:");
  yaml.line(1, "messages:");
  for (const Topic* topic : topics) write_message(yaml, *topic);
  write_dead_letter_message(yaml, dead_letters);
  write_header_schemas(yaml);
  return std::move(yaml).finish();
}

// ---- the reference for people ---------------------------------------------------------------

namespace {

template <class T>
std::string type_name() {
  if constexpr (IsOptional<T>::value) {
    return type_name<typename T::value_type>();
  } else if constexpr (IsVector<T>::value) {
    return "array of " + type_name<typename T::value_type>();
  } else if constexpr (Described<T> || std::is_same_v<T, JsonObject>) {
    return "object";
  } else if constexpr (std::is_same_v<T, Uuid>) {
    return "UUID";
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    return "time";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return "integer";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "boolean";
  } else if constexpr (std::is_same_v<T, double>) {
    return "number";
  } else if constexpr (std::is_same_v<T, Hash>) {
    return "hash";
  } else if constexpr (std::is_same_v<T, ChainBytes>) {
    return "chain hex";
  } else if constexpr (std::is_same_v<T, Decimal>) {
    return "decimal string";
  } else {
    return "string";
  }
}

std::string describe_rule(const Rule& rule) {
  if (!rule.choices.empty()) {
    std::string list;
    for (const std::string_view choice : split_choices(rule.choices)) {
      list += (list.empty() ? "`" : ", `") + std::string(choice) + "`";
    }
    return list;
  }
  if (has_minimum(rule) && has_maximum(rule)) {
    return std::to_string(rule.minimum) + " to " + std::to_string(rule.maximum);
  }
  if (has_minimum(rule)) return "at least " + std::to_string(rule.minimum);
  if (has_maximum(rule)) return "at most " + std::to_string(rule.maximum);
  return "";
}

template <Described T>
void append_rows(std::string& out, const std::string& path) {
  const auto row = [&]<class Owner, class Type>(const Field<Owner, Type>& field) {
    const std::string name = path + std::string(field.name);
    out += "| `" + name + "` | " + type_name<Type>() + " | " +
           (IsOptional<Type>::value ? "no" : "yes") + " | " + describe_rule(field.rule) + " | " +
           std::string(field.meaning) + " |\n";
    if constexpr (Described<Type>) append_rows<Type>(out, name + ".");
    if constexpr (IsVector<Type>::value) {
      if constexpr (Described<typename Type::value_type>) {
        append_rows<typename Type::value_type>(out, name + "[].");
      }
    }
  };
  std::apply([&](const auto&... field) { (row(field), ...); }, detail::Description<T>::kFields);
}

}  // namespace

std::string event_reference() {
  std::string out =
      "# The events, member by member\n\n"
      "Written by `schema_writer` from `events/events.h`: change that. How each type is written, "
      "and "
      "the headers of a\nrecord: [docs/formats/events.md](../docs/formats/events.md).\n";
  for_each_event([&]<class Event>(std::type_identity<Event>) {
    const Topic& topic = topic_named(Event::kTopic);
    out += "\n## " + std::string(topic.name) + "\n\n" + std::string(topic.meaning) +
           ". Key: " + std::string(topic.key) +
           ".\n\n| member | type | required | rule | meaning |\n|---|---|---|---|---|\n";
    append_rows<Event>(out, "");
  });
  return out;
}

}  // namespace voketag::events
