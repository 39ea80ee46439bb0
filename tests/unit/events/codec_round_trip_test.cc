// For every event, and for whatever its description allows: what is written is read back. The
// generators follow from fields() as the codec does, so that an event added later is covered.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "events/codec.h"
#include "events/codec_impl.h"
#include "events/events.h"

namespace voketag::events {
namespace {

using detail::Described;
using detail::Description;
using detail::IsOptional;
using detail::IsVector;

std::string random_text(std::int64_t bytes_min, std::int64_t bytes_max) {
  static const std::vector<std::string> kCharacters = {"a",
                                                       "Z",
                                                       "0",
                                                       " ",
                                                       "\"",
                                                       "\\",
                                                       "/",
                                                       "\n",
                                                       "\x01",
                                                       "\x1f",
                                                       "\x7f",
                                                       "\xc3\xa9",
                                                       "\xe2\x82\xac",
                                                       "\xef\xbf\xbf",
                                                       "\xf0\x9f\x98\x80"};
  const auto length =
      *rc::gen::inRange<std::int64_t>(bytes_min, std::min<std::int64_t>(bytes_max, 60) + 1);
  std::string text;
  while (static_cast<std::int64_t>(text.size()) < length) {
    const std::string character = *rc::gen::elementOf(kCharacters);
    text +=
        static_cast<std::int64_t>(text.size() + character.size()) <= bytes_max ? character : "x";
  }
  return text;
}

std::string random_hex(std::size_t digits) {
  std::string text;
  for (std::size_t i = 0; i < digits; ++i)
    text += *rc::gen::elementOf(std::string("0123456789abcdef"));
  return text;
}

template <class T>
T random_value(const Rule& rule);

template <Described T>
T random_event() {
  T event;
  std::apply(
      [&](const auto&... field) {
        ((event.*field.member =
              random_value<std::decay_t<decltype(event.*field.member)>>(field.rule)),
         ...);
      },
      Description<T>::kFields);
  return event;
}

std::string random_choice(std::string_view choices) {
  std::vector<std::string> list(1);
  for (const char c : choices) {
    if (c == '|') {
      list.emplace_back();
    } else {
      list.back() += c;
    }
  }
  return *rc::gen::elementOf(list);
}

template <class T>
T random_value(const Rule& rule) {
  if constexpr (IsOptional<T>::value) {
    if (*rc::gen::arbitrary<bool>()) return std::nullopt;
    return random_value<typename T::value_type>(rule);
  } else if constexpr (IsVector<T>::value) {
    T list;
    const int count =
        *rc::gen::inRange(static_cast<int>(std::max<std::int64_t>(rule.minimum, 0)), 6);
    for (int i = 0; i < count; ++i) list.push_back(random_value<typename T::value_type>(Rule{}));
    return list;
  } else if constexpr (Described<T>) {
    return random_event<T>();
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    if (*rc::gen::inRange(0, 4) == 0)
      return *rc::gen::elementOf(std::vector{rule.minimum, rule.maximum});
    return std::clamp(*rc::gen::arbitrary<std::int64_t>(), rule.minimum, rule.maximum);
  } else if constexpr (std::is_same_v<T, bool>) {
    return *rc::gen::arbitrary<bool>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!rule.choices.empty()) return random_choice(rule.choices);
    return random_text(std::max<std::int64_t>(rule.minimum, 0), rule.maximum);
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    return Timestamp{*rc::gen::inRange<std::int64_t>(0, 253'402'300'800'000)};
  } else if constexpr (std::is_same_v<T, ChainBytes>) {
    return ChainBytes{"0x" + random_hex(2 * *rc::gen::inRange<std::size_t>(0, 40))};
  } else if constexpr (std::is_same_v<T, Decimal>) {
    const std::string whole = std::to_string(*rc::gen::arbitrary<int>());
    return Decimal{*rc::gen::arbitrary<bool>() ? whole : whole + ".050"};
  } else if constexpr (std::is_same_v<T, JsonObject>) {
    return JsonObject{"{\"a\":[" + std::to_string(*rc::gen::arbitrary<int>()) + "],\"b\":null}"};
  } else {  // Uuid, Hash
    T value;
    for (auto& byte : value.bytes) byte = *rc::gen::arbitrary<std::uint8_t>();
    return value;
  }
}

template <Described T>
bool same(const T& a, const T& b);

template <class T>
bool same_value(const T& a, const T& b) {
  if constexpr (IsOptional<T>::value) {
    return a.has_value() == b.has_value() && (!a || same_value(*a, *b));
  } else if constexpr (IsVector<T>::value) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const auto& x, const auto& y) { return same_value(x, y); });
  } else if constexpr (Described<T>) {
    return same(a, b);
  } else {
    return a == b;
  }
}

template <Described T>
bool same(const T& a, const T& b) {
  return std::apply(
      [&](const auto&... field) { return (same_value(a.*field.member, b.*field.member) && ...); },
      Description<T>::kFields);
}

template <class Event>
class RoundTrip : public testing::Test {};

template <class Tuple>
struct AsTypes;
template <class... Event>
struct AsTypes<std::tuple<Event...>> {
  using Types = testing::Types<Event...>;
};

struct TopicNames {
  template <class Event>
  static std::string GetName(int) {
    return std::string(Event::kTopic);
  }
};
TYPED_TEST_SUITE(RoundTrip, AsTypes<AllEvents>::Types, TopicNames);

TYPED_TEST(RoundTrip, WhatIsWrittenIsReadBack) {
  EXPECT_TRUE(rc::check([] {
    const TypeParam event = random_event<TypeParam>();
    const std::string json = encode(event);
    const auto decoded = decode<TypeParam>(json);
    if (!decoded) RC_FAIL(decoded.error().message + ": " + json);
    RC_ASSERT(same(*decoded, event));
    RC_ASSERT(encode(*decoded) == json);
  }));
}

// Each required member is required: without it the event is refused, by name.
TYPED_TEST(RoundTrip, WhatIsMissingIsNamed) {
  using D = Description<TypeParam>;
  const auto complaint = decode<TypeParam>("{}");
  ASSERT_FALSE(complaint);
  std::size_t first = 0;
  while (D::kOptional[first]) ++first;
  EXPECT_EQ(complaint.error().message, std::string(D::kNames[first]) + " is missing: add it");
}

// Bytes of an event changed at random give an event or an error, never a crash.
TYPED_TEST(RoundTrip, DamagedBytesAreTakenOrRefused) {
  EXPECT_TRUE(rc::check([] {
    std::string json = encode(random_event<TypeParam>());
    const int damages = *rc::gen::inRange(1, 4);
    for (int i = 0; i < damages; ++i) {
      json[*rc::gen::inRange<std::size_t>(0, json.size())] = *rc::gen::arbitrary<char>();
    }
    const auto decoded = decode<TypeParam>(json);
    if (decoded) {
      const std::string again = encode(*decoded);
      RC_ASSERT(encode(*decode<TypeParam>(again)) == again);
    } else {
      RC_ASSERT(decoded.error().message.size() < 600U);
    }
  }));
}

}  // namespace
}  // namespace voketag::events
