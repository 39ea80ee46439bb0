#include "voketag/json_text.h"

#include <array>
#include <cstdio>

#include "voketag/escaped_text.h"

namespace voketag::cli {
namespace {

void append_control(std::string& json, unsigned char c) {
  switch (c) {
    case '\n':
      json += "\\n";
      return;
    case '\r':
      json += "\\r";
      return;
    case '\t':
      json += "\\t";
      return;
    default:
      break;
  }
  std::array<char, 8> escape{};
  std::snprintf(escape.data(), escape.size(), "\\u%04x", c);
  json += escape.data();
}

}  // namespace

void append_json_string(std::string& json, std::string_view text) {
  json += '"';
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    if (c == '"' || c == '\\') {
      json += '\\';
      json += static_cast<char>(c);
      text.remove_prefix(1);
    } else if (c < 0x20 || c == 0x7F) {
      append_control(json, c);
      text.remove_prefix(1);
    } else if (const std::size_t length = utf8_length(text); length > 0) {
      json += text.substr(0, length);
      text.remove_prefix(length);
    } else {
      json += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    }
  }
  json += '"';
}

void JsonText::separate() {
  if (needs_comma_) text_ += ',';
  needs_comma_ = true;
}

JsonText& JsonText::begin_object() {
  separate();
  text_ += '{';
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::end_object() {
  text_ += '}';
  needs_comma_ = true;
  return *this;
}

JsonText& JsonText::begin_array() {
  separate();
  text_ += '[';
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::end_array() {
  text_ += ']';
  needs_comma_ = true;
  return *this;
}

JsonText& JsonText::name(std::string_view name) {
  separate();
  append_json_string(text_, name);
  text_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::value(std::string_view text) {
  separate();
  append_json_string(text_, text);
  return *this;
}

JsonText& JsonText::value(std::int64_t number) {
  return raw(std::to_string(number));
}

JsonText& JsonText::value(bool flag) {
  return raw(flag ? "true" : "false");
}

JsonText& JsonText::null() {
  return raw("null");
}

JsonText& JsonText::raw(std::string_view json) {
  separate();
  text_ += json;
  return *this;
}

}  // namespace voketag::cli
