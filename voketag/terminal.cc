#include "voketag/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ostream>

namespace voketag::cli {
namespace {

std::string environment_value(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = environment_value(name);
    if (value.empty()) continue;
    for (char& c : value) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

std::string decimal(double number, int digits, const char* unit) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f%s", digits, number, unit);
  return text.data();
}

std::string padding(std::size_t columns) {
  return std::string(columns, ' ');
}

}  // namespace

std::string Paint::operator()(Style style, std::string_view text) const {
  if (!enabled_) return std::string(text);
  const char* code = "0";
  switch (style) {
    case Style::kBold:
      code = "1";
      break;
    case Style::kDim:
      code = "2";
      break;
    case Style::kGreen:
      code = "32";
      break;
    case Style::kYellow:
      code = "33";
      break;
    case Style::kRed:
      code = "31";
      break;
    case Style::kCyan:
      code = "36";
      break;
  }
  return "\033[" + std::string(code) + "m" + std::string(text) + "\033[0m";
}

TerminalTraits TerminalTraits::detect() {
  TerminalTraits traits;
  traits.output_is_terminal = isatty(STDOUT_FILENO) == 1;
  traits.error_is_terminal = isatty(STDERR_FILENO) == 1;
  traits.colour = environment_value("NO_COLOR").empty() && environment_value("TERM") != "dumb";
  traits.unicode = locale_is_utf8();
  winsize size{};
  for (const int descriptor : {STDERR_FILENO, STDOUT_FILENO}) {
    if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
      traits.width = std::max<int>(40, size.ws_col);
      break;
    }
  }
  return traits;
}

// ---- live lines

LiveLines::~LiveLines() {
  keep();
}

void LiveLines::rewind() {
  if (drawn_ > 0) terminal_.error() << "\033[" << drawn_ << "A\r\033[J";
}

void LiveLines::draw(const std::vector<std::string>& lines) {
  if (!terminal_.traits().error_is_terminal) return;
  rewind();
  for (const std::string& line : lines) terminal_.error() << line << '\n';
  terminal_.error().flush();
  drawn_ = lines.size();
}

void LiveLines::keep() {
  drawn_ = 0;
}

void LiveLines::clear() {
  rewind();
  terminal_.error().flush();
  drawn_ = 0;
}

std::string progress_bar(const Terminal& terminal, double fraction, int columns) {
  const bool unicode = terminal.traits().unicode;
  const double filled = std::clamp(fraction, 0.0, 1.0) * columns;
  const int whole = static_cast<int>(filled);
  std::string done;
  for (int i = 0; i < whole; ++i) done += unicode ? "━" : "#";
  std::string rest;
  int left = columns - whole;
  if (unicode && left > 0 && filled - whole >= 0.5) {
    done += "╸";
    --left;
  }
  for (int i = 0; i < left; ++i) rest += unicode ? "─" : "-";
  const Paint paint = terminal.error_paint();
  return paint(Style::kGreen, done) + paint(Style::kDim, rest);
}

// ---- tables

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U) {
      ++width;
    }
  }
  return width;
}

void TextTable::print(std::ostream& out, const Paint& paint) const {
  std::vector<std::size_t> widths;
  for (const Heading& heading : headings_) widths.push_back(display_width(heading.text));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  const auto line = [&](const auto& cell_at) {
    std::string text;
    for (std::size_t i = 0; i < headings_.size(); ++i) {
      const std::string cell = cell_at(i);
      const std::string space = padding(widths[i] - display_width(cell));
      const bool right = headings_[i].align == Align::kRight;
      text += (i == 0 ? "" : "  ") + (right ? space + cell : cell + space);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  };
  out << paint(Style::kDim, line([&](std::size_t i) { return headings_[i].text; })) << '\n';
  for (const auto& row : rows_) {
    out << line([&](std::size_t i) { return i < row.size() ? row[i] : std::string(); }) << '\n';
  }
}

// ---- numbers for people

std::string with_thousands(long long number) {
  std::string digits = std::to_string(number);
  const std::size_t first = digits[0] == '-' ? 1 : 0;
  for (std::size_t place = digits.size(); place > first + 3;) {
    place -= 3;
    digits.insert(place, ",");
  }
  return digits;
}

std::string duration_text(long long milliseconds) {
  if (milliseconds < 1'000) return std::to_string(milliseconds) + " ms";
  const long long seconds = milliseconds / 1'000;
  if (seconds < 60) {
    const long long tenths = milliseconds / 100;
    return decimal(static_cast<double>(tenths) / 10, 1, " s");
  }
  const auto pair = [](long long high, const char* high_unit, long long low, const char* low_unit) {
    std::string text = std::to_string(high) + " " + high_unit;
    if (low > 0) text += " " + std::to_string(low) + " " + low_unit;
    return text;
  };
  if (seconds < 3'600) return pair(seconds / 60, "min", seconds % 60, "s");
  if (seconds < 86'400) return pair(seconds / 3'600, "h", seconds % 3'600 / 60, "min");
  return pair(seconds / 86'400, "d", seconds % 86'400 / 3'600, "h");
}

std::string bytes_text(unsigned long long bytes) {
  constexpr std::array kUnits = {" B", " KiB", " MiB", " GiB", " TiB"};
  double number = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (number >= 1024 && unit + 1 < kUnits.size()) {
    number /= 1024;
    ++unit;
  }
  return decimal(number, unit == 0 || number >= 100 ? 0 : 1, kUnits[unit]);
}

std::string rate_text(double per_second) {
  if (!std::isfinite(per_second) || per_second < 0) return "";
  if (per_second < 1'000) return decimal(per_second, 0, "/s");
  if (per_second < 1'000'000) return decimal(per_second / 1'000, per_second < 1e5 ? 1 : 0, " k/s");
  return decimal(per_second / 1'000'000, 2, " M/s");
}

}  // namespace voketag::cli
