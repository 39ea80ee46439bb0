// The codec for programs in other languages: reads lines `topic<TAB>json`, and says of each on a
// line of its own `ok` or what is wrong.

#include <iostream>
#include <string>
#include <string_view>
#include <tuple>

#include "events/codec.h"
#include "events/events.h"

namespace voketag::events {
namespace {

template <class Event>
std::string verdict_as(std::string_view json) {
  const auto event = decode<Event>(json);
  return event ? "ok" : event.error().message;
}

std::string verdict(std::string_view topic, std::string_view json) {
  std::string text = "no event has the topic " + std::string(topic);
  const auto visit = [&]<class Event>(const Event*) {
    if (Event::kTopic == topic) text = verdict_as<Event>(json);
  };
  std::apply([&](const auto&... event) { (visit(&event), ...); }, AllEvents{});
  return text;
}

}  // namespace
}  // namespace voketag::events

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos) {
      std::cerr << "events_tool: a line is `topic<TAB>json`\n";
      return 2;
    }
    const std::string_view view(line);
    std::cout << voketag::events::verdict(view.substr(0, tab), view.substr(tab + 1)) << '\n';
  }
  return 0;
}
