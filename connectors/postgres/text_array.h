#pragma once

#include <string>

namespace voketag::postgres {

// PostgreSQL's text form of an array of text, for a parameter: of each item, what `get` makes of it
// (anything a std::string is made from). The text must be UTF-8 without zero bytes.
template <class Items, class Get>
std::string array_of_text(const Items& items, Get get) {
  std::string array = "{";
  for (const auto& item : items) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : std::string(get(item))) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array + '}';
}

}  // namespace voketag::postgres
