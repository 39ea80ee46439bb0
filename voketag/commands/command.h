#pragma once

#include <cstdint>
#include <optional>
#include <string>

// CLI11 is only for those who build the command tree.
#include <CLI/CLI.hpp>

#include "voketag/session.h"
#include "voketag/whole_number.h"

// What the commands share when they add themselves to the command tree. Each command is one file
// with one function, `void add_<command>(CLI::App& parent, Session& session)`.
namespace voketag::cli {

// The most lines that a list can be asked for.
inline constexpr std::int64_t kListedMax = 100'000;

// Lets a command's examples stand under its help.
inline void examples(CLI::App& command, const std::string& text) {
  command.footer("Examples:\n" + text);
}

inline void add_json_flag(CLI::App& command, Session& session) {
  command.add_flag("--json", session.json, "Print JSON, for scripts");
}

// An option that may be absent. CLI11 would take one with an empty text, such as a shell's unset
// variable, for absent, and so widen what the command does.
inline CLI::Option* add_text(CLI::App& command, const std::string& names,
                             std::optional<std::string>& target, const std::string& meaning) {
  return command.add_option_function<std::string>(
      names, [&target](const std::string& text) { target = text; }, meaning);
}

// An option that takes a whole number between two bounds.
template <class Number>
CLI::Option* add_number(CLI::App& command, const std::string& names, Number& target,
                        std::int64_t minimum, std::int64_t maximum, const std::string& meaning) {
  const std::string name = names.substr(names.rfind(',') + 1);
  const auto read = [&target, name, minimum, maximum](const std::string& text) {
    const auto number = parse_whole_number(text, minimum, maximum);
    if (!number) throw CLI::ValidationError(name, number.error().message);
    target = static_cast<Number>(*number);
  };
  return command.add_option_function<std::string>(names, read, meaning)->type_name("N");
}

}  // namespace voketag::cli
