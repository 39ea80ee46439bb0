// libFuzzer target: decoding any bytes as any event. The first byte picks the event, or one
// of three readers beside them. Beside memory
// errors it looks for three things: what is accepted must be written and read back to the same
// text, another JSON parser (RapidJSON's, which shares no code with simdjson) must accept it too,
// and the canonical form must be its own canonical form.

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>

#include "events/codec.h"
#include "events/envelope.h"
#include "events/events.h"
#include "events/json.h"
#include "events/tokens_view.h"

namespace voketag::events {
namespace {

void require(bool condition, const char* what, std::string_view input) {
  if (condition) return;
  std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(input.size()), input.data());
  std::abort();
}

// RFC 8259's grammar, read off the page; UTF-8 is left to others.
class Grammar {
 public:
  explicit Grammar(std::string_view text) : rest_(text) {}
  bool matches() { return value() && rest_.empty(); }

 private:
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  void white_space() {
    while (take(' ') || take('\t') || take('\n') || take('\r')) {
    }
  }
  bool digits() {
    bool any = false;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') any = take(rest_[0]);
    return any;
  }
  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (!take('e') && !take('E')) return true;
    if (!take('+')) take('-');
    return digits();
  }
  bool string() {
    if (!take('"')) return false;
    while (!rest_.empty() && static_cast<unsigned char>(rest_[0]) >= 0x20) {
      if (take('"')) return true;
      if (!take('\\')) {
        take(rest_[0]);
      } else if (take('u')) {
        if (rest_.substr(0, 4).find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
          return false;
        }
        rest_.remove_prefix(std::min<std::size_t>(4, rest_.size()));
      } else if (rest_.empty() ||
                 std::string_view("\"\\/bfnrt").find(rest_[0]) == std::string::npos) {
        return false;
      } else {
        take(rest_[0]);
      }
    }
    return false;
  }
  bool object() {
    white_space();
    if (take('}')) return true;
    do {
      white_space();
      if (!string()) return false;
      white_space();
      if (!take(':') || !value()) return false;
    } while (take(','));
    return take('}');
  }
  bool array() {
    white_space();
    if (take(']')) return true;
    do {
      if (!value()) return false;
    } while (take(','));
    return take(']');
  }
  bool value() {
    white_space();
    const bool ok = take('{') ? object()
                    : take('[')
                        ? array()
                        : take("true") || take("false") || take("null") || string() || number();
    white_space();
    return ok;
  }

  std::string_view rest_;
};

bool is_json(std::string_view text) {
  return Grammar(text).matches();
}

template <class Event>
void try_event(std::string_view json) {
  const auto event = decode<Event>(json);
  if (!event) {
    require(!event.error().message.empty() && event.error().message.size() < 4096,
            "an error must say why, briefly", json);
    return;
  }
  require(is_json(json), "accepted, and is no JSON", json);
  const std::string text = encode(*event);
  const auto again = decode<Event>(text);
  require(again.has_value(), "written, and not read back", json);
  require(encode(*again) == text, "written twice, and differently", json);
}

void try_any_event(std::size_t which, std::string_view json) {
  std::size_t index = 0;
  const auto visit = [&]<class Event>(const Event*) {
    if (index++ == which) try_event<Event>(json);
  };
  std::apply([&](const auto&... event) { (visit(&event), ...); }, AllEvents{});
}

void try_tokens(std::string_view json) {
  static TokensView view;
  const auto status = view.read(json);
  const auto decoded = decode<TokensGenerated>(json);
  if (!status) return;
  require(decoded.has_value(), "the view took what the codec refuses", json);
  require(view.tokens().size() == decoded->tokens.size(), "the view counts otherwise", json);
  for (std::size_t i = 0; i < view.tokens().size(); ++i) {
    require(view.tokens()[i] == decoded->tokens[i], "the view reads another token", json);
  }
}

void try_canonical(std::string_view json) {
  const auto canonical = canonical_json(json);
  if (!canonical) return;
  require(is_json(json), "canonical form of what is no JSON", json);
  const auto again = canonical_json(*canonical);
  require(again && *again == *canonical, "the canonical form is not canonical", json);
}

void try_envelope(std::string_view bytes) {
  RecordView record;
  record.topic = "batch-requested";
  record.headers = {{"ce_id", bytes}, {"ce_time", bytes}, {"traceparent", bytes}};
  const Envelope envelope = read_envelope(record);
  require(envelope.traceparent.size() == 55, "a traceparent has 55 characters", bytes);
  const Envelope derived = derive_envelope(envelope, "/voketag/fuzz", "batch-accepted", 0, {});
  require(derived.traceparent.size() == 55, "a traceparent has 55 characters", bytes);
}

}  // namespace
}  // namespace voketag::events

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voketag::events;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  constexpr std::size_t kEvents = std::tuple_size_v<AllEvents>;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Events come last, so that one more leaves the seeds of the others as they are.
  constexpr std::size_t kOthers = 3;
  const std::size_t which = data[0] % (kOthers + kEvents);
  if (which == 0) {
    try_tokens(rest);
  } else if (which == 1) {
    try_canonical(rest);
  } else if (which == 2) {
    try_envelope(rest);
  } else {
    try_any_event(which - kOthers, rest);
  }
  return 0;
}
