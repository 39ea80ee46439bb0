// libFuzzer target: decoding any bytes as any event. The first byte picks the event. Beside memory
// errors it looks for three things: what is accepted must be written and read back to the same
// text, another JSON parser (RapidJSON's, which shares no code with simdjson) must accept it too,
// and the canonical form must be its own canonical form.

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

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

bool is_json(std::string_view text) {
  // Numbers as strings: RapidJSON refuses those that a double cannot hold, which are JSON.
  constexpr unsigned kFlags = rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseIterativeFlag;
  rapidjson::Document document;
  document.Parse<kFlags>(text.data(), text.size());
  return !document.HasParseError();
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
  const std::size_t which = data[0] % (kEvents + 3);
  if (which < kEvents) {
    try_any_event(which, rest);
  } else if (which == kEvents) {
    try_tokens(rest);
  } else if (which == kEvents + 1) {
    try_canonical(rest);
  } else {
    try_envelope(rest);
  }
  return 0;
}
