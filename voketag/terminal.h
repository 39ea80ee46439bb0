#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace voketag::cli {

enum class Style { kBold, kDim, kGreen, kYellow, kRed, kCyan };

// Adds colour, or does not: into a file, a pipe, or where NO_COLOR is set, text stays plain.
class Paint {
 public:
  explicit Paint(bool enabled) : enabled_(enabled) {}
  std::string operator()(Style style, std::string_view text) const;

 private:
  bool enabled_;
};

struct TerminalTraits {
  bool output_is_terminal = false;
  bool error_is_terminal = false;
  bool colour = false;   // wanted where there is a terminal (no NO_COLOR, not TERM=dumb)
  bool unicode = false;  // the locale's character set is UTF-8
  int width = 80;        // columns
  // Of the process's own standard output and error.
  static TerminalTraits detect();
};

// Where a command writes: results to output (a script may read them), everything else to error.
// Not thread-safe.
class Terminal {
 public:
  Terminal(std::ostream& output, std::ostream& error, const TerminalTraits& traits)
      : output_(output), error_(error), traits_(traits) {}

  std::ostream& output() { return output_; }
  std::ostream& error() { return error_; }
  const TerminalTraits& traits() const { return traits_; }
  Paint output_paint() const { return Paint(traits_.colour && traits_.output_is_terminal); }
  Paint error_paint() const { return Paint(traits_.colour && traits_.error_is_terminal); }

  // "✓" or "ok" and the like, as the locale allows.
  std::string_view tick() const { return traits_.unicode ? "✓" : "+"; }
  std::string_view cross() const { return traits_.unicode ? "✗" : "x"; }
  std::string_view dot() const { return traits_.unicode ? "·" : "-"; }

 private:
  std::ostream& output_;
  std::ostream& error_;
  TerminalTraits traits_;
};

// A few lines at the foot of the terminal that are drawn over again. Draws nothing where standard
// error is no terminal.
class LiveLines {
 public:
  explicit LiveLines(Terminal& terminal) : terminal_(terminal) {}
  ~LiveLines();
  LiveLines(const LiveLines&) = delete;
  LiveLines& operator=(const LiveLines&) = delete;

  // Lines must not be wider than the terminal; colour does not count.
  void draw(const std::vector<std::string>& lines);
  // Leaves the last lines where they are.
  void keep();
  // Takes them away.
  void clear();

 private:
  void rewind();

  Terminal& terminal_;
  std::size_t drawn_ = 0;
};

// "━━━━━━━╸      " of so many columns; fraction from 0 to 1.
std::string progress_bar(const Terminal& terminal, double fraction, int columns);

// A table whose columns are as wide as their widest cell; numbers may be aligned right.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  struct Heading {
    std::string text;
    Align align = Align::kLeft;
  };
  explicit TextTable(std::vector<Heading> headings) : headings_(std::move(headings)) {}
  // Colour in a cell does not count as width.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  void print(std::ostream& out, const Paint& paint) const;

 private:
  std::vector<Heading> headings_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns that a text takes: escape sequences take none, a UTF-8 character one.
std::size_t display_width(std::string_view text);

// 1,000,000
std::string with_thousands(long long number);
// 850 ms, 2.4 s, 3 min 20 s, 2 h 5 min, 3 d 4 h
std::string duration_text(long long milliseconds);
// 512 B, 1.5 MiB
std::string bytes_text(unsigned long long bytes);
// 950/s, 12.4 k/s, 1.21 M/s
std::string rate_text(double per_second);

}  // namespace voketag::cli
