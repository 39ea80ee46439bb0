#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "voketag/terminal.h"

namespace voketag::cli {

// How --help looks: what it does, how it is called, its commands, arguments and options in two
// columns, then examples.
class HelpFormatter : public CLI::FormatterBase {
 public:
  explicit HelpFormatter(const Paint& paint) : paint_(paint) {}
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;

 private:
  std::string section(const std::string& title,
                      const std::vector<std::pair<std::string, std::string>>& rows) const;
  std::string footer(const std::string& text) const;

  Paint paint_;
};

}  // namespace voketag::cli
