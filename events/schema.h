#pragma once

#include <string>
#include <string_view>
#include <vector>

// What outsiders are told about the events, made from the same descriptions as the codec. The
// results are committed in schemas/ (written by schema_writer); a test compares them.
namespace voketag::events {

struct EventSchema {
  std::string_view topic;
  std::string text;  // JSON Schema, draft 2020-12
};

// One schema per event, in the order of AllEvents.
std::vector<EventSchema> event_schemas();

// The AsyncAPI 3.0 document (YAML) with Kafka bindings 0.5.0: every topic that has events, its
// configuration, key, headers and, by reference to its file beside the document, its value.
std::string asyncapi_document();

// The events as Markdown tables, for people.
std::string event_reference();

}  // namespace voketag::events
