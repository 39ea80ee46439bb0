#include "voketag/commands/token_verify.h"

#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/token_text.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

struct Options {
  std::string token;
  bool offline = false;
};

std::string_view verdict_text(processors::TokenVerdict verdict) {
  switch (verdict) {
    case processors::TokenVerdict::kAuthentic:
      return "authentic";
    case processors::TokenVerdict::kForged:
      return "forged";
    case processors::TokenVerdict::kUnknownKey:
      return "unknown_key";
  }
  return "unknown_key";
}

void print_json(Session& session, const processors::Token& token, processors::TokenVerdict verdict,
                const std::optional<ProductRow>& product) {
  const ProductIdParts parts = parts_of(token.product_id);
  JsonText json;
  json.begin_object()
      .member("verdict", verdict_text(verdict))
      .member("token", processors::format_token(token))
      .member("key_id", static_cast<std::int64_t>(token.key_id))
      .member("product_id", token.product_id.to_string())
      .member("batch_tag", parts.batch_tag)
      .member("requested_at", parts.requested_at.to_string());
  if (product) {
    json.member("batch_id", product->batch_id)
        .member("serial", product->serial)
        .member("status", product->status)
        .member("batch_status", product->batch_status);
  }
  session.print(json.end_object());
}

void print_text(Session& session, const processors::Token& token, processors::TokenVerdict verdict,
                const std::optional<ProductRow>& product) {
  Terminal& terminal = session.terminal();
  const Paint paint = terminal.output_paint();
  std::ostream& out = terminal.output();
  switch (verdict) {
    case processors::TokenVerdict::kAuthentic:
      out << paint(Style::kGreen, std::string(terminal.tick()) + " authentic") << ": made with key "
          << int{token.key_id} << '\n';
      break;
    case processors::TokenVerdict::kForged:
      out << paint(Style::kRed, std::string(terminal.cross()) + " forged") << ": it names key "
          << int{token.key_id} << ", which did not make it\n";
      break;
    case processors::TokenVerdict::kUnknownKey:
      out << paint(Style::kYellow, std::string(terminal.cross()) + " unknown key")
          << ": it names key " << int{token.key_id} << ", which VOKETAG_TOKEN_KEYS does not have\n";
      break;
  }
  const ProductIdParts parts = parts_of(token.product_id);
  const auto line = [&](std::string_view name, const std::string& value) {
    out << "  " << paint(Style::kDim, name) << value << '\n';
  };
  line("product    ", token.product_id.to_string());
  line("batch tag  ", parts.batch_tag);
  line("requested  ", parts.requested_at.to_string());
  if (!product) return;
  line("batch      ", product->batch_id + " (" + product->batch_status + ")");
  line("serial     ", with_thousands(product->serial));
  line("status     ", product->status);
}

ExitCode verify(Session& session, const Options& options) {
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  const auto keys = (*configuration)->token_keys();
  if (!keys) return session.report(keys.error());

  const auto token = token_of(options.token);
  if (!token) {
    // The question was well put; the answer is no.
    session.report(token.error());
    return ExitCode::kNo;
  }
  const processors::TokenVerdict verdict = processors::verify_token(*token, *keys);
  std::optional<ProductRow> product;
  const bool authentic = verdict == processors::TokenVerdict::kAuthentic;
  if (authentic && !options.offline && (*configuration)->has_postgres()) {
    auto found = find_product(**configuration, token->product_id);
    if (!found) {
      session.warn("the view could not be asked, so this is the offline answer: " +
                   found.error().message);
    } else if (!*found) {
      session.warn("no view has this product; its batch may still be on its way");
    } else {
      product = *std::move(found);
    }
  }
  if (session.json) {
    print_json(session, *token, verdict, product);
  } else {
    print_text(session, *token, verdict, product);
  }
  return authentic ? ExitCode::kYes : ExitCode::kNo;
}

}  // namespace

void add_token_verify(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("verify",
                                            "Check whether a token is authentic\n"
                                            "Needs the token keys only (VOKETAG_TOKEN_KEYS). Where "
                                            "VOKETAG_POSTGRES is set, the views tell\n"
                                            "batch, serial and status too. Exit code 0: authentic; "
                                            "1: forged, malformed, or of a key that\n"
                                            "is not among ours.");
  auto options = std::make_shared<Options>();
  command->add_option("TOKEN", options->token, "A token of 46 characters, or a URL that holds one")
      ->required();
  command->add_flag("--offline", options->offline, "Do not ask the views");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag token verify https://verify.example/r/AQEBj0...\n"
           "  voketag token verify AQEBj0... --json | jq -r .verdict");
  command->callback([&session, options] {
    session.action = [&session, options] { return verify(session, *options); };
  });
}

}  // namespace voketag::cli
