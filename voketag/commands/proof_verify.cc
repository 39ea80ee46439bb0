#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/proof.h"
#include "voketag/proof/verify.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;

struct Options {
  std::string file;
  bool allow_mock = false;
  std::string token_key;
  std::string token_key_file;
};

// One byte more than a bundle may have, so that a larger one is seen to be too large.
std::string read_stream(std::istream& stream) {
  std::string text(kBundleBytesMax + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

events::Result<std::string> read_bundle(const std::string& path) {
  if (path == "-") return read_stream(std::cin);
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Errc::kInvalid, "cannot read " + path);
  return read_stream(file);
}

std::string_view to_string(FactState state) {
  switch (state) {
    case FactState::kHolds:
      return "holds";
    case FactState::kFails:
      return "fails";
    case FactState::kUnchecked:
      return "unchecked";
  }
  return "unchecked";
}

void print_json(Session& session, const ProofReport& report) {
  JsonText json;
  json.begin_object().member("verified", report.verified).name("facts").begin_array();
  for (const Fact& fact : report.facts) {
    json.begin_object()
        .member("fact", fact.name)
        .member("state", to_string(fact.state))
        .member("detail", fact.detail)
        .end_object();
  }
  session.print(json.end_array().end_object());
}

void print_text(Session& session, const ProofReport& report) {
  Terminal& terminal = session.terminal();
  const Paint paint = terminal.output_paint();
  std::ostream& out = terminal.output();
  for (const Fact& fact : report.facts) {
    std::string mark;
    switch (fact.state) {
      case FactState::kHolds:
        mark = paint(Style::kGreen, terminal.tick());
        break;
      case FactState::kFails:
        mark = paint(Style::kRed, terminal.cross());
        break;
      case FactState::kUnchecked:
        mark = paint(Style::kYellow, "?");
        break;
    }
    std::string name = fact.name;
    for (char& c : name) c = c == '_' ? ' ' : c;
    name.resize(20, ' ');
    out << ' ' << mark << ' ' << name << ' ' << fact.detail << '\n';
  }
  if (!report.verified) {
    out << paint(Style::kRed, "NOT verified.") << '\n';
  } else if (report.facts.back().state == FactState::kUnchecked) {
    out << paint(Style::kYellow, "Verified, but for the " + report.facts.back().name + ".") << '\n';
  } else {
    out << paint(Style::kGreen, "Verified.") << '\n';
  }
}

events::Result<std::optional<processors::TokenKeys>> keys_of(Session& session,
                                                             const Options& options) {
  std::string text = options.token_key;
  if (!text.empty() && !options.token_key_file.empty()) {
    return fail(Errc::kInvalid, "give --token-key or --token-key-file, not both");
  }
  if (!options.token_key_file.empty()) {
    auto read = read_bundle(options.token_key_file);
    if (!read) return tl::unexpected(read.error());
    text = *std::move(read);
  }
  if (text.empty()) {
    const auto configuration = session.configuration();
    if (!configuration || !(*configuration)->has_token_keys()) return std::nullopt;
    auto keys = (*configuration)->token_keys();
    if (!keys) return tl::unexpected(keys.error());
    return std::optional<processors::TokenKeys>(*std::move(keys));
  }
  auto keys = processors::TokenKeys::parse(text);
  if (!keys) return fail(Errc::kInvalid, "--token-key: " + keys.error().message);
  return std::optional<processors::TokenKeys>(*std::move(keys));
}

ExitCode verify(Session& session, const Options& options) {
  const auto keys = keys_of(session, options);
  if (!keys) return session.report(keys.error());
  const auto text = read_bundle(options.file);
  if (!text) return session.report(text.error());
  ProofOptions proof_options;
  proof_options.allow_mock = options.allow_mock;
  proof_options.keys = keys->has_value() ? &**keys : nullptr;
  proof_options.keys_must_know_token =
      !options.token_key.empty() || !options.token_key_file.empty();
  const ProofReport report = verify_proof(*text, proof_options);
  if (session.json) {
    print_json(session, report);
  } else {
    print_text(session, report);
  }
  return report.verified ? ExitCode::kYes : ExitCode::kNo;
}

}  // namespace

void add_proof_verify(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("verify",
                                            "Check a proof: from the token to the transaction\n"
                                            "Needs nothing but the file: no Kafka, no database, no "
                                            "network. Says which facts it checked and\n"
                                            "which it could not. A proof from the mock chain is "
                                            "verified only with --allow-mock. Exit code 0:\n"
                                            "verified; 1: not verified.");
  auto options = std::make_shared<Options>();
  command->add_option("FILE", options->file, "The proof bundle; - reads standard input")
      ->required();
  command->add_flag("--allow-mock", options->allow_mock,
                    "Accept the simulated chain, which proves no point in time: for tests");
  command
      ->add_option(
          "--token-key", options->token_key,
          "Also check that this key made the token (id:base64url); others may see it in the "
          "process list, so rather use --token-key-file or VOKETAG_TOKEN_KEYS")
      ->type_name("KEY");
  command->add_option("--token-key-file", options->token_key_file, "The same, from a file")
      ->type_name("FILE");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag proof verify proof.json --allow-mock\n"
           "  voketag proof verify proof.json --token-key-file keys --json | jq .verified");
  command->callback([&session, options] {
    session.action = [&session, options] { return verify(session, *options); };
  });
}

}  // namespace voketag::cli
