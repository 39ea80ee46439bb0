#include "voketag/help_formatter.h"

#include <algorithm>
#include <sstream>
#include <utility>
#include <vector>

namespace voketag::cli {
namespace {

constexpr std::size_t kTextColumnMax = 30;
constexpr std::size_t kLineColumns = 100;

std::string summary(const CLI::App* command) {
  const std::string text = command->get_description();
  return text.substr(0, text.find('\n'));
}

// Breaks a text into lines, all but the first indented.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::istringstream words(text);
  std::string result;
  std::string word;
  std::size_t column = indent;
  while (words >> word) {
    if (column > indent && column + 1 + word.size() > kLineColumns) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result;
}

std::string option_text(const CLI::Option* option) {
  std::string text;
  for (const std::string& name : option->get_snames()) text += (text.empty() ? "-" : ", -") + name;
  for (const std::string& name : option->get_lnames()) {
    text += (text.empty() ? "    --" : ", --") + name;
  }
  const bool takes_value = option->get_type_size() != 0 && !option->get_type_name().empty();
  return takes_value ? text + " " + option->get_type_name() : text;
}

std::string usage_of(const CLI::Option* positional) {
  std::string text = positional->get_name(true, false);
  if (positional->get_expected_max() > 1) text += "...";
  return positional->get_required() ? text : "[" + text + "]";
}

}  // namespace

std::string HelpFormatter::section(
    const std::string& title, const std::vector<std::pair<std::string, std::string>>& rows) const {
  if (rows.empty()) return "";
  std::size_t column = 0;
  for (const auto& [name, text] : rows) column = std::max(column, name.size());
  column = std::min(column + 4, kTextColumnMax);
  std::string result = "\n" + paint_(Style::kBold, title + ":") + "\n";
  for (const auto& [name, text] : rows) {
    const std::size_t end = 2 + name.size();
    result += "  " + paint_(Style::kCyan, name);
    result += end + 2 > column ? "\n" + std::string(column, ' ') : std::string(column - end, ' ');
    result += wrapped(text, column) + "\n";
  }
  return result;
}

std::string HelpFormatter::footer(const std::string& text) const {
  if (text.empty()) return "";
  const std::size_t end = text.find('\n');
  const std::string title = text.substr(0, end);
  const std::string rest = end == std::string::npos ? "" : text.substr(end);
  return "\n" + paint_(Style::kBold, title) + rest + "\n";
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string /*name*/,
                                     CLI::AppFormatMode /*mode*/) const {
  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  const auto options = app->get_options([](const CLI::Option* option) {
    return option->nonpositional() && !option->get_group().empty();
  });
  const auto positionals =
      app->get_options([](const CLI::Option* option) { return option->get_positional(); });

  std::string path = app->get_name();
  for (const CLI::App* parent = app->get_parent(); parent != nullptr;
       parent = parent->get_parent()) {
    path.insert(0, parent->get_name() + " ");
  }
  std::string usage = path;
  if (!commands.empty()) usage += " COMMAND";
  for (const CLI::Option* positional : positionals) usage += " " + usage_of(positional);
  if (!options.empty()) usage += " [OPTIONS]";

  std::vector<std::pair<std::string, std::string>> command_rows;
  command_rows.reserve(commands.size());
  for (const CLI::App* command : commands) {
    command_rows.emplace_back(command->get_name(), summary(command));
  }
  std::vector<std::pair<std::string, std::string>> positional_rows;
  positional_rows.reserve(positionals.size());
  for (const CLI::Option* positional : positionals) {
    positional_rows.emplace_back(positional->get_name(true, false), positional->get_description());
  }
  std::vector<std::pair<std::string, std::string>> option_rows;
  option_rows.reserve(options.size());
  for (const CLI::Option* option : options) {
    option_rows.emplace_back(option_text(option), option->get_description());
  }
  return app->get_description() + "\n\n" + paint_(Style::kBold, "Usage:") + " " + usage + "\n" +
         section("Commands", command_rows) + section("Arguments", positional_rows) +
         section("Options", option_rows) + footer(app->get_footer());
}

}  // namespace voketag::cli
