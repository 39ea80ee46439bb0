#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/codec.h"
#include "events/events.h"
#include "processors/processor.h"
#include "state/store.h"

namespace voketag::processors::testing {

class FakeStore : public state::Store {
 public:
  std::optional<std::string> get(std::string_view key) const override {
    ++reads;
    const auto found = values.find(key);
    if (found == values.end()) return std::nullopt;
    return found->second;
  }
  void put(std::string_view key, std::string_view value) override {
    ++writes;
    written_bytes += key.size() + value.size();
    values.insert_or_assign(std::string(key), std::string(value));
  }
  void erase(std::string_view key) override {
    ++writes;
    written_bytes += key.size();
    if (const auto found = values.find(key); found != values.end()) values.erase(found);
  }
  void scan(std::string_view prefix, const Visitor& visit) const override {
    for (auto it = values.lower_bound(prefix); it != values.end(); ++it) {
      if (!std::string_view(it->first).starts_with(prefix)) return;
      if (!visit(it->first, it->second)) return;
    }
  }

  // How many keys begin with `prefix`.
  std::size_t count(std::string_view prefix) const {
    std::size_t keys = 0;
    scan(prefix, [&](auto, auto) { return ++keys != 0; });
    return keys;
  }

  std::map<std::string, std::string, std::less<>> values;
  mutable std::size_t reads = 0;
  std::size_t writes = 0;
  std::size_t written_bytes = 0;
};

struct Emission {
  std::string topic;
  std::string key;
  std::string json;

  template <class Event>
  Event as() const {
    auto event = events::decode<Event>(json);
    if (!event) throw std::runtime_error(event.error().message + " in " + json);
    return *std::move(event);
  }
  bool operator==(const Emission&) const = default;
};

struct DeadLetter {
  std::string reason;
  std::string detail;
};

// A partition as a handler sees it, in memory: what a handler does is caught for the test to look
// at.
class FakeContext : public Context {
 public:
  events::Timestamp now() const override { return time; }
  state::Store& store() override { return state; }
  void emit_json(std::string_view topic, std::string_view key, std::string json) override {
    emitted.push_back({std::string(topic), std::string(key), std::move(json)});
  }
  void set_timer(std::string_view name, events::Timestamp due) override {
    ++timers_set;
    timers.insert_or_assign(std::string(name), due);
  }
  void cancel_timer(std::string_view name) override { timers.erase(std::string(name)); }
  void dead_letter(std::string_view reason, std::string_view detail) override {
    if (in_timer) throw std::logic_error("a timer has no record to send to the dead letters");
    dead_letters.push_back({std::string(reason), std::string(detail)});
  }

  // Hands over raw bytes as the processor would get them from `topic`.
  void deliver_raw(Processor& processor, std::string_view topic,
                   std::optional<std::string_view> key, std::optional<std::string_view> value,
                   events::HeaderViews headers = {}) {
    events::RecordView record;
    record.topic = topic;
    record.offset = offset++;
    record.timestamp = time;
    record.key = key;
    record.value = value;
    record.headers = std::move(headers);
    processor.on_record(*this, record);
  }

  template <class Event>
  void deliver(Processor& processor, std::string_view key, const Event& event) {
    const auto json = events::encode(event);
    deliver_raw(processor, Event::kTopic, key, json);
  }
  void deliver(Processor& processor, const Emission& emission) {
    deliver_raw(processor, emission.topic, emission.key, emission.json);
  }

  // Moves time on and fires what is due, earliest first; also what that sets anew.
  void advance_to(Processor& processor, events::Timestamp until) {
    for (;;) {
      const auto next =
          std::min_element(timers.begin(), timers.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
      if (next == timers.end() || next->second > until) break;
      const auto [name, due] = *next;
      timers.erase(next);
      time = std::max(time, due);
      in_timer = true;
      processor.on_timer(*this, name);
      in_timer = false;
    }
    time = std::max(time, until);
  }
  void advance(Processor& processor, std::int64_t ms) { advance_to(processor, {time.ms + ms}); }

  // Takes all emissions out.
  std::vector<Emission> take() { return std::exchange(emitted, {}); }

  template <class Event>
  std::vector<Event> emitted_as() const {
    std::vector<Event> events;
    for (const auto& emission : emitted) {
      if (emission.topic == Event::kTopic) events.push_back(emission.as<Event>());
    }
    return events;
  }

  FakeStore state;
  events::Timestamp time{1'700'000'000'000};
  std::int64_t offset = 0;
  bool in_timer = false;
  std::vector<Emission> emitted;
  std::vector<DeadLetter> dead_letters;
  std::map<std::string, events::Timestamp> timers;
  std::size_t timers_set = 0;  // each is a write to the state
};

// The n-th of the ids that tests use.
inline events::Uuid test_id(std::uint32_t n) {
  events::Uuid id;
  id.bytes = {0xb0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0};
  for (int i = 0; i < 4; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

inline events::Hash test_hash(std::uint8_t fill) {
  events::Hash hash;
  hash.bytes.fill(fill);
  return hash;
}

}  // namespace voketag::processors::testing
