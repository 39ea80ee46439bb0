#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/proof.h"
#include "voketag/output_file.h"
#include "voketag/proof/from_views.h"
#include "voketag/token_text.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

using events::Errc;

struct Options {
  std::string token;
  std::string product_id;
  std::string output;
};

events::Result<events::Uuid> product_of(const Options& options) {
  if (options.token.empty() == options.product_id.empty()) {
    return events::fail(Errc::kInvalid, "name the product: by its TOKEN (or URL), or --product-id");
  }
  if (!options.token.empty()) {
    const auto token = token_of(options.token);
    if (!token) return tl::unexpected(token.error());
    return token->product_id;
  }
  const auto id = events::Uuid::parse(options.product_id);
  if (!id) return events::fail(Errc::kInvalid, "--product-id: a UUID of 36 characters is needed");
  return *id;
}

ExitCode export_proof(Session& session, const Options& options) {
  const auto product_id = product_of(options);
  if (!product_id) return session.report(product_id.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto views = open_views(**configuration);
  if (!views) return session.report(views.error());
  const auto bundle = bundle_from_views(*views, *product_id);
  if (!bundle) return session.report(bundle.error());

  // The product of a forged token exists: a proof about the token at hand must be of its every bit.
  if (!options.token.empty()) {
    const auto token = token_of(options.token);
    if (!token || processors::format_token(*token) != bundle->token) {
      return session.report(Errc::kConflict,
                            "product " + product_id->to_string() +
                                " has another token than the one given, which is forged");
    }
  }
  const std::string text = encode_bundle(*bundle);
  if (options.output.empty() || options.output == "-") {
    session.terminal().output() << text;
    return ExitCode::kYes;
  }
  auto file = OutputFile::create(options.output);
  if (!file) return session.report(file.error());
  if (auto written = file->write(text); !written) return session.report(written.error());
  if (auto committed = file->commit(); !committed) return session.report(committed.error());
  session.terminal().error() << "Wrote " << options.output << ".\n  Check it: voketag proof verify "
                             << options.output << " --allow-mock\n";
  return ExitCode::kYes;
}

}  // namespace

void add_proof_export(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "export",
      "Write the proof of one product: from its token to the transaction, in one JSON file\n"
      "Reads the views (VOKETAG_POSTGRES). The batch must be anchored. Whoever has the file can "
      "check\n"
      "it alone: voketag proof verify. The format: docs/proof-format.md.");
  auto options = std::make_shared<Options>();
  command->add_option("TOKEN", options->token, "The product's token, or a URL that holds it");
  command
      ->add_option("--product-id", options->product_id, "The product's id, in place of its token")
      ->type_name("UUID");
  command->add_option("-o,--output", options->output, "Where to write it; default: standard output")
      ->type_name("FILE");
  examples(
      *command,
      "  voketag proof export AQEBj0... -o proof.json\n"
      "  voketag proof export --product-id 0193a4b2-... | voketag proof verify - --allow-mock");
  command->callback([&session, options] {
    session.action = [&session, options] { return export_proof(session, *options); };
  });
}

}  // namespace voketag::cli
