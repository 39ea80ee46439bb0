#include "voketag/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "events/uuid.h"
#include "processors/tokens/token.h"
#include "processors/tokens/token_keys.h"

namespace voketag::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Outcome {
  ExitCode code;
  std::string output;
  std::string error;
};

Outcome run(std::vector<std::string> arguments, const Environment& environment = {},
            const TerminalTraits& traits = {}) {
  std::ostringstream output;
  std::ostringstream error;
  Terminal terminal(output, error, traits);
  Session session(terminal, environment);
  const ExitCode code = run_command_line(session, std::move(arguments));
  return {code, output.str(), error.str()};
}

bool is_json(const std::string& text) {
  simdjson::dom::parser parser;
  return parser.parse(text).error() == simdjson::SUCCESS;
}

// Nothing listens there; refused at once.
const Environment kNoKafka = {{"VOKETAG_KAFKA", "127.0.0.1:1"}};
const Environment kKeys = {{"VOKETAG_TOKEN_KEYS", "7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}};

TEST(CommandLineTest, HelpTeachesAtEveryLevel) {
  const std::vector<std::vector<std::string>> commands = {{"run"},
                                                          {"doctor"},
                                                          {"migrate"},
                                                          {"topics", "create"},
                                                          {"batch", "request"},
                                                          {"batch", "status"},
                                                          {"batch", "wait"},
                                                          {"batch", "list"},
                                                          {"batch", "export"},
                                                          {"token", "verify"},
                                                          {"proof", "export"},
                                                          {"proof", "verify"},
                                                          {"dlq", "list"},
                                                          {"dlq", "show"},
                                                          {"dlq", "retry"},
                                                          {"state", "inspect"},
                                                          {"state", "verify"},
                                                          {"state", "checkpoint"},
                                                          {"state", "rebuild"}};
  for (std::vector<std::string> command : commands) {
    std::string path = "voketag";
    for (const std::string& word : command) path += " " + word;
    command.emplace_back("--help");
    const Outcome outcome = run(command);
    EXPECT_EQ(outcome.code, ExitCode::kYes) << path;
    EXPECT_THAT(outcome.output, HasSubstr("Usage: " + path));
    EXPECT_THAT(outcome.output, HasSubstr("Examples:\n  voketag"));
    EXPECT_THAT(outcome.error, IsEmpty());
    std::istringstream lines(outcome.output);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), 100U) << path << ": " << line;
    }
  }
  EXPECT_THAT(run({"--help"}).output, HasSubstr("Exit codes: 0 yes"));
}

TEST(CommandLineTest, VersionIsOneLine) {
  const Outcome outcome = run({"--version"});
  EXPECT_EQ(outcome.code, ExitCode::kYes);
  EXPECT_THAT(outcome.output, ::testing::MatchesRegex("voketag [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(CommandLineTest, WrongArgumentsAreUsageErrorsThatHelp) {
  struct Case {
    std::vector<std::string> arguments;
    const char* says;
  };
  const std::string id = "3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91";
  for (const auto& [arguments, says] : std::vector<Case>{
           {{}, "command is missing"},
           {{"btach"}, "did you mean batch?"},
           {{"batch"}, "command is missing"},
           {{"batch", "reqest"}, "did you mean request?"},
           {{"batch", "request", "--cuont", "5"}, "did you mean --count?"},
           {{"batch", "request", "--count", "many"}, "--count: must be a whole number"},
           {{"batch", "request", "--count", ""}, "--count: must be a whole number"},
           {{"batch", "request", "-n", "1e3"}, "--count: must be a whole number"},
           {{"batch", "status"}, "ID"},
           {{"batch", "status", "17"}, "is no batch id"},
           {{"batch", "wait", id, "--timeout", "soon"}, "is no time to wait"},
           {{"batch", "wait", id, "--timeout", "-5s"}, "is no time to wait"},
           {{"batch", "request", "--count", "0"}, "between 1 and 10000000, not \"0\""},
           {{"batch", "request", "--count", "-1"}, "between 1 and 10000000, not \"-1\""},
           {{"batch", "request", "--count", "10000001"}, "between 1 and 10000000"},
           {{"batch", "request", "--first-serial", "-1"}, "--first-serial"},
           {{"batch", "request", "--batch-id", "x"}, "is no batch id"},
           {{"batch", "request", "--gtin", "09520123456789"}, "gtin"},
           {{"batch", "request", "--metadata", "/nowhere"}, "--metadata"},
           {{"batch", "request", "--metadata", "{]"}, "metadata"},
           {{"batch", "request", "--callback-url", "ftp://x.example"}, "http"},
           {{"batch", "export", id, "--format", "cvs"}, "did you mean csv?"},
           {{"batch", "list", "--limit", "0"}, "--limit: must be"},
           {{"dlq", "list", "--limit", "100001"}, "--limit: must be"},
           {{"batch", "list", "--status", "done"}, "--status"},
           {{"dlq", "show", "17"}, "partition/offset"},
           {{"dlq", "retry"}, "--all"},
           {{"dlq", "retry", "1/2", "--yes"}, "--why"},
           {{"dlq", "retry", "1/2", "--all"}, "not both"},
           {{"dlq", "retry", "1/9-2"}, "no range of dead letters"},
           {{"dlq", "retry", "1/2", "--yes", "--dry-run", "--why", "x"}, "--dry-run"},
           {{"dlq", "list", "--offsets", "1-2", "--topic", "batch-requested"}, "--partition"},
           {{"dlq", "list", "--offsets", "2-1", "--topic", "batch-requested", "--partition", "1"},
            "no range"},
           {{"dlq", "list", "--since", "yesterday"}, "--since"},
           {{"dlq", "list", "--reason", "malfromed"}, "did you mean malformed?"},
           {{"dlq", "list", "--reason", "none_of_them"}, "There are: malformed, tombstone"},
           {{"dlq", "list", "--topic", "batch-request"}, "did you mean batch-requested?"},
           {{"dlq", "list", "--processor", "projector-product"},
            "did you mean projector-products?"},
           {{"dlq", "retry", "--reason", "malfromed"}, "did you mean malformed?"},
           {{"dlq", "retry", "--all", "--since", "yesterday"}, "--since"},
           {{"dlq", "retry", "1/2", "--yes", "--why", std::string(2001, 'x')}, "--why must be"},
           {{"dlq", "retry", "1/2", "--yes", "--why", "x", "--who", "\xff"}, "--who must be"},
           {{"proof", "export"}, "name the product"},
           {{"proof", "verify", "/nowhere/proof.json"}, "cannot read"},
           {{"run", "--roles", "tokns"}, "did you mean tokens?"},
           {{"run", "--roles", ""}, "The roles: ingress, batches"},
           {{"run", "--roles="}, "--roles"},
           {{"state", "inspect", "--partition", "12"}, "between 0 and 11"},
           {{"state", "inspect", "--processor", "token"}, "did you mean tokens?"},
           {{"state", "inspect", "--keys", "--key", "batch/a"}, "--key"},
           {{"state", "verify", "--directory", ""}, "--directory is empty"},
           {{"state", "verify", "--directory", ".", "--scratch", ""}, "--scratch, or TMPDIR"},
           {{"state", "verify", "--directory", ".", "--scratch", "/nowhere"},
            "no directory /nowhere"},
           {{"state", "checkpoint"}, "--to"},
       }) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, ExitCode::kUsage) << says << ": " << outcome.error;
    EXPECT_THAT(outcome.error, HasSubstr(says));
    EXPECT_THAT(outcome.output, IsEmpty());
  }
}

TEST(CommandLineTest, AMessageIsShortHoweverLongTheArgument) {
  const std::string digits(5000, '9');
  const std::string bell = "\a\033[2J" + std::string(5000, 'x');
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"batch", "request", "--count", digits},
                                             {"batch", "request", "--count", bell},
                                             {"state", "inspect", "--partition", digits},
                                             {"proof", "verify", "one", "two", bell}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, ExitCode::kUsage);
    EXPECT_LT(outcome.error.size(), 400U) << outcome.error;
    EXPECT_THAT(outcome.error, Not(HasSubstr("\033")));
    EXPECT_THAT(outcome.error, Not(HasSubstr("9223372036854775807")));
  }
}

TEST(CommandLineTest, MissingSettingsSayHowToSetThem) {
  EXPECT_THAT(run({"topics", "create"}).error, HasSubstr("VOKETAG_KAFKA is not set"));
  EXPECT_THAT(run({"migrate"}).error, HasSubstr("VOKETAG_POSTGRES is not set"));
  EXPECT_THAT(run({"token", "verify", "x"}).error, HasSubstr("VOKETAG_TOKEN_KEYS is not set"));
  EXPECT_EQ(run({"migrate"}).code, ExitCode::kUsage);
}

TEST(CommandLineTest, ConfigurationFileMayStandBeforeAndAfterTheCommand) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("voketag-command-line-test-" + std::to_string(getpid()) + ".toml");
  std::ofstream(path) << "workers = 99\n";
  EXPECT_THAT(run({"--config", path.string(), "doctor"}).error, HasSubstr("workers"));
  EXPECT_THAT(run({"doctor", "--config", path.string()}).error, HasSubstr("workers"));
  EXPECT_THAT(run({"doctor"}, {{"VOKETAG_CONFIG", path.string()}}).error, HasSubstr("workers"));
  std::filesystem::remove(path);
}

TEST(CommandLineTest, UnavailableKafkaIsItsOwnExitCode) {
  const Outcome outcome = run({"topics", "create", "--json"}, kNoKafka);
  EXPECT_EQ(outcome.code, ExitCode::kUnavailable) << outcome.error;
  EXPECT_TRUE(is_json(outcome.output)) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("\"error\":\"unavailable\""));
  EXPECT_THAT(outcome.error, HasSubstr("127.0.0.1:1"));
}

TEST(CommandLineTest, UnavailablePostgresIsItsOwnExitCode) {
  const Outcome outcome =
      run({"batch", "list"}, {{"VOKETAG_POSTGRES", "postgresql://u:hush@127.0.0.1:1/d"}});
  EXPECT_EQ(outcome.code, ExitCode::kUnavailable) << outcome.error;
  EXPECT_THAT(outcome.error, Not(HasSubstr("hush")));
}

TEST(CommandLineTest, PostgresThatCannotBeReadIsAUsageError) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"batch", "list"}, {"migrate"}, {"run", "--roles", "projections"}}) {
    const Outcome outcome = run(arguments, {{"VOKETAG_POSTGRES", "postgresql://u:hush/x@h/d"}});
    EXPECT_EQ(outcome.code, ExitCode::kUsage) << arguments[0] << ": " << outcome.error;
    EXPECT_THAT(outcome.error, Not(HasSubstr("hush")));
  }
}

TEST(CommandLineTest, DoctorFailsWithCures) {
  const Outcome outcome = run({"doctor", "--json"}, {{"VOKETAG_STATE_DIR", "/dev/null/voketag"}});
  EXPECT_EQ(outcome.code, ExitCode::kNo);
  EXPECT_TRUE(is_json(outcome.output));
  EXPECT_THAT(outcome.output, HasSubstr("\"healthy\":false"));
  EXPECT_THAT(outcome.output, HasSubstr("\"subject\":\"kafka\""));
  EXPECT_THAT(outcome.output, HasSubstr("openssl rand 32"));
  EXPECT_THAT(outcome.output, HasSubstr("cannot be written"));
}

// Made with the key above for a batch of tests/unit/cli/proof_test.cc's kind.
TEST(TokenVerifyTest, SaysYesNoAndWhy) {
  const auto keys = processors::TokenKeys::parse(kKeys.at("VOKETAG_TOKEN_KEYS"));
  const auto id = *events::Uuid::parse("019aae5f-1c00-8123-8456-789abcdef012");
  const std::string token = processors::format_token(processors::make_token(keys->signing(), id));

  Outcome outcome = run({"token", "verify", token}, kKeys);
  EXPECT_EQ(outcome.code, ExitCode::kYes) << outcome.error;
  EXPECT_THAT(outcome.output, HasSubstr("authentic"));
  EXPECT_THAT(outcome.output, HasSubstr(id.to_string()));

  outcome = run({"token", "verify", "https://verify.example/r/" + token + "?x=1", "--json"}, kKeys);
  EXPECT_EQ(outcome.code, ExitCode::kYes);
  EXPECT_TRUE(is_json(outcome.output));
  EXPECT_THAT(outcome.output, HasSubstr("\"verdict\":\"authentic\""));

  processors::Token forged = processors::make_token(keys->signing(), id);
  forged.mac[3] ^= 1U;
  outcome = run({"token", "verify", processors::format_token(forged)}, kKeys);
  EXPECT_EQ(outcome.code, ExitCode::kNo);
  EXPECT_THAT(outcome.output, HasSubstr("forged"));

  outcome = run({"token", "verify", token},
                {{"VOKETAG_TOKEN_KEYS", "9:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}});
  EXPECT_EQ(outcome.code, ExitCode::kNo);
  EXPECT_THAT(outcome.output, HasSubstr("unknown key"));

  outcome = run({"token", "verify", token.substr(1)}, kKeys);
  EXPECT_EQ(outcome.code, ExitCode::kNo);
  EXPECT_THAT(outcome.error, HasSubstr("46"));
}

TEST(ColourTest, OnlyOnATerminal) {
  TerminalTraits terminal;
  terminal.output_is_terminal = true;
  terminal.error_is_terminal = true;
  terminal.colour = true;
  EXPECT_THAT(run({"--help"}, {}, terminal).output, HasSubstr("\033["));
  EXPECT_THAT(run({"--help"}).output, Not(HasSubstr("\033[")));
  terminal.colour = false;  // NO_COLOR
  EXPECT_THAT(run({"--help"}, {}, terminal).output, Not(HasSubstr("\033[")));
  EXPECT_THAT(run({"nonsense"}, {}, terminal).error, Not(HasSubstr("\033[")));
}

}  // namespace
}  // namespace voketag::cli
