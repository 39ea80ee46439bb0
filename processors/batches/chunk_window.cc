#include "processors/batches/chunk_window.h"

#include <algorithm>

namespace voketag::processors {
namespace {

constexpr std::int64_t kBitsPerDigit = 4;

int digit_value(char digit) {
  return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}
char value_digit(int value) {
  return "0123456789abcdef"[value];
}

}  // namespace

bool ChunkWindow::is_returned(std::int64_t chunk_index) const {
  if (chunk_index < first_open) return true;
  const auto bit = chunk_index - first_open;
  const auto digit = static_cast<std::size_t>(bit / kBitsPerDigit);
  if (digit >= returned.size()) return false;
  return ((digit_value(returned[digit]) >> (bit % kBitsPerDigit)) & 1) != 0;
}

void ChunkWindow::set_returned(std::int64_t chunk_index) {
  const auto bit = chunk_index - first_open;
  const auto digit = static_cast<std::size_t>(bit / kBitsPerDigit);
  if (digit >= returned.size()) returned.resize(digit + 1, '0');
  returned[digit] = value_digit(digit_value(returned[digit]) | (1 << (bit % kBitsPerDigit)));
  ++returned_count;
}

// Moves first_open over all that is back, by whole digits while `first_open` keeps its place within
// one: digits are only dropped from the front, never shifted.
void ChunkWindow::close_prefix() {
  std::size_t whole_digits = 0;
  while (whole_digits < returned.size() && returned[whole_digits] == 'f') ++whole_digits;
  returned.erase(0, whole_digits);
  const auto closed = static_cast<std::int64_t>(whole_digits) * kBitsPerDigit;
  first_open += closed;
  returned_count -= closed;
}

ChunkWindow::Return ChunkWindow::note_return(std::int64_t chunk_index) {
  if (chunk_index < 0 || chunk_index >= next) return Return::kNeverRequested;
  if (is_returned(chunk_index)) return Return::kAgain;
  set_returned(chunk_index);
  close_prefix();
  reminders = 0;
  return Return::kFirst;
}

std::int64_t ChunkWindow::room(std::int64_t chunk_count, std::int64_t in_flight_max) const {
  const auto in_flight = next - first_open - returned_count;
  const auto span_end = first_open + kSpan * in_flight_max;
  const auto room = std::min({in_flight_max - in_flight, span_end - next, chunk_count - next});
  return std::max<std::int64_t>(room, 0);
}

std::vector<std::int64_t> ChunkWindow::open() const {
  std::vector<std::int64_t> chunks;
  for (auto chunk = first_open; chunk < next; ++chunk) {
    if (!is_returned(chunk)) chunks.push_back(chunk);
  }
  return chunks;
}

}  // namespace voketag::processors
