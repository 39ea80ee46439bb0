#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace voketag::cli {

// Writes one JSON value, in the order of the calls, without white space. For what --json prints and
// for log lines; events have their own codec. Text that is not UTF-8 is written with U+FFFD in the
// place of each wrong byte, so that the result is always JSON.
class JsonText {
 public:
  JsonText& begin_object();
  JsonText& end_object();
  JsonText& begin_array();
  JsonText& end_array();

  JsonText& name(std::string_view name);
  JsonText& value(std::string_view text);
  JsonText& value(const char* text) { return value(std::string_view(text)); }
  JsonText& value(std::int64_t number);
  JsonText& value(int number) { return value(static_cast<std::int64_t>(number)); }
  JsonText& value(bool flag);
  JsonText& null();
  // A JSON value that is written already.
  JsonText& raw(std::string_view json);

  // A member: a name and a value.
  template <class Value>
  JsonText& member(std::string_view member_name, const Value& member_value) {
    name(member_name);
    return value(member_value);
  }
  template <class Value>
  JsonText& member(std::string_view member_name, const std::optional<Value>& member_value) {
    name(member_name);
    return member_value ? value(*member_value) : null();
  }

  const std::string& text() const { return text_; }

 private:
  void separate();

  std::string text_;
  bool needs_comma_ = false;
};

// Appends a JSON string with its quotation marks.
void append_json_string(std::string& json, std::string_view text);

}  // namespace voketag::cli
