#include "voketag/whole_number.h"

#include <charconv>
#include <string>

#include "voketag/escaped_text.h"

namespace voketag::cli {

events::Result<std::int64_t> parse_whole_number(std::string_view text, std::int64_t minimum,
                                                std::int64_t maximum) {
  constexpr std::size_t kShownColumns = 40;
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size() && number >= minimum &&
      number <= maximum) {
    return number;
  }
  return events::fail(events::Errc::kInvalid, "must be a whole number between " +
                                                  std::to_string(minimum) + " and " +
                                                  std::to_string(maximum) + ", not \"" +
                                                  shortened(escaped(text), kShownColumns) + "\"");
}

}  // namespace voketag::cli
