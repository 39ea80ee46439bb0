#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace voketag::events {

// Writes JSON without white space into a string, value after value; commas and colons come by
// themselves. Keeps no stack: that every begin has its end, and every value in an object its key,
// is the caller's part. Why not a library: docs/decisions/0010-json-writer.md.
class JsonWriter {
 public:
  // Appends to `out`, which must outlive the writer.
  explicit JsonWriter(std::string& out) : out_(out) {}

  void begin_object() { begin('{'); }
  void end_object() { end('}'); }
  void begin_array() { begin('['); }
  void end_array() { end(']'); }

  void key(std::string_view name);

  // Escapes what JSON demands and nothing else: quote, backslash and control characters, these by
  // their short form where there is one and else as \u00xx in lower case. `text` must be UTF-8.
  void string(std::string_view text);
  void integer(std::int64_t value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  void null() { raw("null"); }

  // A value that is JSON already.
  void raw(std::string_view json);

 private:
  void begin(char bracket);
  void end(char bracket);
  void separate();

  std::string& out_;
  bool needs_comma_ = false;
};

// A string as a JSON string, as JsonWriter::string has it.
void append_json_string(std::string& out, std::string_view text);

}  // namespace voketag::events
