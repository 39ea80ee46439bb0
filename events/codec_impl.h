#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "events/codec.h"
#include "events/json.h"
#include "events/json_reader.h"
#include "events/json_writer.h"

// How decode and encode follow from a struct's fields(). Include this in one .cc file per module,
// which instantiates the codec for the module's own structs:
//
//     template Result<BatchState> voketag::events::decode<BatchState>(std::string_view);
//     template std::string voketag::events::encode<BatchState>(const BatchState&);
//
// Every other file includes codec.h only.
namespace voketag::events {
namespace detail {

template <class T>
concept Described = requires {
  T::fields();
};

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

// A struct's description as arrays that can be looked up at run time.
template <Described T>
struct Description {
  static constexpr auto kFields = T::fields();
  static constexpr std::size_t kCount = std::tuple_size_v<decltype(kFields)>;
  static_assert(kCount <= 64, "the set of members seen is kept in 64 bits");

  static constexpr auto kNames = std::apply(
      [](const auto&... field) { return std::array<std::string_view, kCount>{field.name...}; },
      kFields);

  template <class Owner, class Type>
  static constexpr bool is_optional(const Field<Owner, Type>&) {
    return IsOptional<Type>::value;
  }
  static constexpr auto kOptional = std::apply(
      [](const auto&... field) { return std::array<bool, kCount>{is_optional(field)...}; },
      kFields);
};

// ---- reading --------------------------------------------------------------------------------

template <class T>
bool read_value(JsonValue& value, const Rule& rule, T& out, Problem& problem);

template <Described T>
bool read_members(simdjson::ondemand::object& object, T& out, Problem& problem);

template <class T>
bool read_elements(JsonValue& value, const Rule& rule, std::vector<T>& out, Problem& problem) {
  simdjson::ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) {
    return problem.is("must be an array, not " + describe(value));
  }
  for (auto result : array) {
    JsonValue element;
    if (const auto code = std::move(result).get(element)) return problem.is_not_json(code);
    if (!read_value(element, Rule{}, out.emplace_back(), problem)) {
      return problem.in_element(out.size() - 1);
    }
  }
  return check_count(out.size(), rule, problem);
}

template <class T>
bool read_value(JsonValue& value, const Rule& rule, T& out, Problem& problem) {
  if constexpr (IsOptional<T>::value) {
    if (value.raw_json_token().starts_with('n')) {
      if (!skip_value(value, 1, problem)) return false;
      out.reset();
      return true;
    }
    return read_value(value, rule, out.emplace(), problem);
  } else if constexpr (IsVector<T>::value) {
    return read_elements(value, rule, out, problem);
  } else if constexpr (Described<T>) {
    simdjson::ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) {
      return problem.is("must be an object, not " + describe(value));
    }
    return read_members(object, out, problem);
  } else {
    return read_scalar(value, rule, out, problem);
  }
}

template <Described T, std::size_t... I>
bool read_member(std::size_t index, JsonValue& value, T& out, Problem& problem,
                 std::index_sequence<I...>) {
  bool ok = false;
  const auto read = [&](const auto& field) {
    ok = read_value(value, field.rule, out.*field.member, problem) || problem.in_member(field.name);
    return true;
  };
  (void)((I == index && read(std::get<I>(Description<T>::kFields))) || ...);
  return ok;
}

template <Described T>
bool read_members(simdjson::ondemand::object& object, T& out, Problem& problem) {
  using D = Description<T>;
  std::uint64_t seen = 0;
  std::size_t expected = 0;
  for (auto result : object) {
    simdjson::ondemand::field field;
    if (const auto code = std::move(result).get(field)) return problem.is_not_json(code);
    std::string_view key;
    if (const auto code = field.unescaped_key().get(key)) return problem.is_not_json(code);
    const std::size_t index = find_name(D::kNames, key, expected);
    if (index == D::kCount) {
      if (!skip_value(field.value(), 1, problem)) return problem.in_member(key);
      continue;
    }
    if ((seen >> index & 1) != 0) {
      problem.is("is there twice: send it once");
      return problem.in_member(key);
    }
    seen |= std::uint64_t{1} << index;
    expected = index + 1;
    if (!read_member(index, field.value(), out, problem, std::make_index_sequence<D::kCount>{})) {
      return false;
    }
  }
  for (std::size_t i = 0; i < D::kCount; ++i) {
    if ((seen >> i & 1) == 0 && !D::kOptional[i]) {
      problem.is("is missing: add it");
      return problem.in_member(D::kNames[i]);
    }
  }
  return true;
}

// ---- writing --------------------------------------------------------------------------------

inline void write_scalar(JsonWriter& writer, std::int64_t value) {
  writer.integer(value);
}
inline void write_scalar(JsonWriter& writer, bool value) {
  writer.boolean(value);
}
inline void write_scalar(JsonWriter& writer, double value) {
  writer.raw(canonical_number(value));
}
inline void write_scalar(JsonWriter& writer, const std::string& value) {
  writer.string(value);
}
inline void write_scalar(JsonWriter& writer, const Uuid& value) {
  writer.string(value.to_string());
}
inline void write_scalar(JsonWriter& writer, const Timestamp& value) {
  writer.string(value.to_string());
}
inline void write_scalar(JsonWriter& writer, const Hash& value) {
  writer.string(value.to_string());
}
inline void write_scalar(JsonWriter& writer, const ChainBytes& value) {
  writer.string(value.text);
}
inline void write_scalar(JsonWriter& writer, const Decimal& value) {
  writer.string(value.text);
}
inline void write_scalar(JsonWriter& writer, const JsonObject& value) {
  // An object that was never set is the empty one: an empty text would break the event around it.
  writer.raw(value.text.empty() ? std::string_view("{}") : value.text);
}

template <class T>
void write_value(JsonWriter& writer, const T& value) {
  if constexpr (IsVector<T>::value) {
    writer.begin_array();
    for (const auto& element : value) write_value(writer, element);
    writer.end_array();
  } else if constexpr (Described<T>) {
    writer.begin_object();
    const auto write = [&](const auto& field) {
      const auto& member = value.*field.member;
      if constexpr (IsOptional<std::decay_t<decltype(member)>>::value) {
        if (!member) return;
        writer.key(field.name);
        write_value(writer, *member);
      } else {
        writer.key(field.name);
        write_value(writer, member);
      }
    };
    std::apply([&](const auto&... field) { (write(field), ...); }, Description<T>::kFields);
    writer.end_object();
  } else {
    write_scalar(writer, value);
  }
}

}  // namespace detail

template <class Event>
Result<Event> decode(std::string_view json) {
  thread_local detail::JsonDocument document;
  detail::Problem problem;
  simdjson::ondemand::object object;
  Event event;
  const bool ok = document.open(json, object, problem) &&
                  detail::read_members(object, event, problem) && document.close(problem);
  document.release_excess();
  if (!ok) return tl::unexpected<Error>(problem.to_error());
  return event;
}

template <class Event>
std::string encode(const Event& event) {
  constexpr std::size_t kUsualBytes = 512;
  std::string json;
  json.reserve(kUsualBytes);
  JsonWriter writer(json);
  detail::write_value(writer, event);
  return json;
}

}  // namespace voketag::events
