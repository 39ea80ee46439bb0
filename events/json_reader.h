#pragma once

#include <simdjson.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "events/error.h"
#include "events/field.h"
#include "events/timestamp.h"
#include "events/uuid.h"

// The part of decoding that is the same for every event. Only codec_impl.h and json.cc include
// this: it brings simdjson's header with it, which is slow to compile.
namespace voketag::events::detail {

// Nothing that anyone sends us needs more; without a bound a few kilobytes of '[' end the stack.
inline constexpr int kJsonDepthMax = 64;

using JsonValue = simdjson::ondemand::value;

// What is wrong with a document, and where. Filled while the recursion unwinds, so that the good
// case builds no path.
class Problem {
 public:
  // Each returns false, so that a reader can `return problem.is("...")`.
  bool is(std::string text);
  bool is_not_json(std::string text);
  bool is_not_json(simdjson::error_code code);

  // Says in which member or element the problem lies; called from the inside out.
  bool in_member(std::string_view name);
  bool in_element(std::size_t index);

  Error to_error() const;

 private:
  std::string path_;
  std::string text_;
  bool not_json_ = false;
};

// Gives a text to simdjson: holds one thread's parser and the padded copy that simdjson needs.
// Memory beyond what usual events need is given back after each document.
class JsonDocument {
 public:
  // The text's top level as an object. Valid until the next call.
  bool open(std::string_view text, simdjson::ondemand::object& object, Problem& problem);

  // After the last member was read: nothing but white space may follow.
  bool close(Problem& problem);

  void release_excess();

 private:
  simdjson::ondemand::parser parser_{};
  simdjson::ondemand::document document_{};
  std::string padded_;
};

// A value as a message shows it: its JSON text, cut to 40 characters; of an object or array only
// which of the two it is.
std::string describe(JsonValue& value);

// The index of `key` in `names`, or names.size(). Looks at `expected` first: members mostly come in
// the order in which we write them.
std::size_t find_name(std::span<const std::string_view> names, std::string_view key,
                      std::size_t expected);

// Passes over a value of an unknown member, checking that it is JSON.
bool skip_value(JsonValue& value, int depth, Problem& problem);

// The text of a number as it was written; false if it does not follow JSON's grammar.
bool read_number_text(JsonValue& value, std::string_view& text);

// Readers of one value each; false: the problem says why.
bool read_scalar(JsonValue& value, const Rule& rule, std::int64_t& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, bool& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, double& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, std::string& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, Uuid& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, Timestamp& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, Hash& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, ChainBytes& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, Decimal& out, Problem& problem);
bool read_scalar(JsonValue& value, const Rule& rule, JsonObject& out, Problem& problem);

// Whether an array's length satisfies its rule.
bool check_count(std::size_t count, const Rule& rule, Problem& problem);

}  // namespace voketag::events::detail
