#include "voketag/command_line.h"

#include <algorithm>
#include <exception>
#include <ostream>

#include "voketag/commands/commands.h"
#include "voketag/escaped_text.h"
#include "voketag/help_formatter.h"
#include "voketag/logging.h"
#include "voketag/nearest_name.h"
#include "voketag/version.h"

namespace voketag::cli {
namespace {

constexpr const char* kDescription =
    "VokeTag gives every physical product a token that anyone can check, and anchors each batch\n"
    "of tokens on a blockchain. Apache Kafka is its only truth.";

constexpr const char* kFooter = R"help(First steps, with a development stack (./dev run --detach):
  eval "$(./dev env)"                               where Kafka and PostgreSQL are
  voketag doctor                                    is everything in place?
  voketag batch request --count 1000 --wait         a batch, from request to anchor
  voketag batch export BATCH_ID --format urls       its products' URLs

What can be set: docs/configuration.md.
Exit codes: 0 yes, 1 no, 2 usage, 3 unavailable, 4 timeout.)help";

// The deepest subcommand that was named: its help is the one that helps.
const CLI::App* deepest(const CLI::App* app) {
  for (;;) {
    const auto chosen = app->get_subcommands();
    if (chosen.empty()) return app;
    app = chosen.front();
  }
}

std::string path_of(const CLI::App* app) {
  std::string path = app->get_name();
  for (const CLI::App* parent = app->get_parent(); parent != nullptr;
       parent = parent->get_parent()) {
    path.insert(0, parent->get_name() + " ");
  }
  return path;
}

std::vector<std::string> known_words(const CLI::App& app) {
  std::vector<std::string> words;
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    words.push_back(child->get_name());
  }
  for (const CLI::App* level = &app; level != nullptr; level = level->get_parent()) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
  }
  return words;
}

// CLI11 names what it did not expect only in its message: the arguments tell more kindly.
std::string explain(const CLI::ParseError& error, const CLI::App& app,
                    const std::vector<std::string>& arguments) {
  const auto words = known_words(app);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
      error.get_name() == "RequiredError") {
    for (const std::string& argument : arguments) {
      const std::string word = argument.substr(0, argument.find('='));
      const bool is_option = word.starts_with("--");
      const bool unknown = std::ranges::find(words, word) == words.end();
      const bool is_command_name =
          !word.empty() && !word.starts_with("-") &&
          !app.get_subcommands([](const CLI::App*) { return true; }).empty();
      bool is_ancestor = false;
      for (const CLI::App* level = &app; level != nullptr; level = level->get_parent()) {
        is_ancestor = is_ancestor || level->get_name() == word;
      }
      if (!unknown || is_ancestor || (!is_option && !is_command_name)) continue;
      const auto meant = nearest_name(word, words);
      return "'" + path_of(&app) + "' has no " + (is_option ? "option " : "command ") + word +
             (meant ? "; did you mean " + *meant + "?" : "");
    }
  }
  const std::string text = error.what();
  if (text == "A subcommand is required") return "what shall it do? A command is missing";
  // It may quote an argument of any length.
  constexpr std::size_t kMessageColumnsMax = 300;
  return shortened(escaped(text), kMessageColumnsMax);
}

void add_commands(CLI::App& app, Session& session) {
  add_run(app, session);
  add_doctor(app, session);
  add_batch(app, session);
  add_token(app, session);
  add_proof(app, session);
  add_dlq(app, session);
  add_replay(app, session);
  add_topics(app, session);
  add_migrate(app, session);
  add_state(app, session);
}

}  // namespace

ExitCode run_command_line(Session& session, std::vector<std::string> arguments) try {
  CLI::App app(kDescription, "voketag");
  app.formatter(std::make_shared<HelpFormatter>(session.terminal().output_paint()));
  app.set_version_flag("--version", std::string("voketag ") + std::string(kVersion));
  app.footer(kFooter);
  app.require_subcommand(1);
  app.add_option("--config", session.configuration_file,
                 "A TOML file with settings; the environment wins over it")
      ->type_name("FILE");
  app.add_flag("-v,--verbose", session.verbose, "Say what happens underneath, on standard error");
  // Commands inherit it: options of the program may stand behind them too.
  app.fallthrough();
  add_commands(app, session);

  const std::vector<std::string> words = arguments;
  std::ranges::reverse(arguments);
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::Success& success) {
    // --help or --version.
    app.exit(success, session.terminal().output(), session.terminal().error());
    return ExitCode::kYes;
  } catch (const CLI::ParseError& error) {
    const CLI::App* command = deepest(&app);
    const ExitCode code = session.report(events::Errc::kInvalid, explain(error, *command, words));
    session.terminal().error() << "  Try: " << path_of(command) << " --help\n";
    return code;
  }
  start_quiet_logging(session.verbose);
  return session.action();
} catch (const std::exception& error) {
  return session.report(events::Errc::kInternal,
                        std::string("this should not have happened: ") + error.what());
}

}  // namespace voketag::cli
