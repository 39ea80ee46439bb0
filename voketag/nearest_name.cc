#include "voketag/nearest_name.h"

#include <algorithm>
#include <vector>

#include "voketag/escaped_text.h"

namespace voketag::cli {
namespace {

// The restricted Damerau-Levenshtein distance, in three rows.
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before_last(right.size() + 1);
  std::vector<std::size_t> last(right.size() + 1);
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j <= right.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= left.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t change = left[i - 1] == right[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      const bool swapped =
          i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[right.size()];
}

}  // namespace

std::optional<std::string> nearest_name(std::string_view wrong,
                                        std::span<const std::string> candidates) {
  // A third of the characters wrong is another word, not a slip.
  std::size_t best_distance = std::max<std::size_t>(2, wrong.size() / 3) + 1;
  std::optional<std::string> best;
  for (const std::string& candidate : candidates) {
    const std::size_t candidate_distance = distance(wrong, candidate);
    if (candidate_distance < best_distance) {
      best_distance = candidate_distance;
      best = candidate;
    }
  }
  return best;
}

events::Status check_name(std::string_view option, std::string_view name,
                          std::span<const std::string> known) {
  if (std::ranges::find(known, name) != known.end()) return {};
  constexpr std::size_t kShownColumns = 40;
  std::string message =
      std::string(option) + ": there is no \"" + shortened(escaped(name), kShownColumns) + "\"";
  const auto meant = nearest_name(name, known);
  message += meant ? "; did you mean " + *meant + "? There are: " : ". There are: ";
  for (const std::string& each : known) message += (&each == known.data() ? "" : ", ") + each;
  return events::fail(events::Errc::kInvalid, std::move(message));
}

}  // namespace voketag::cli
