#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/commands/token_verify.h"

namespace voketag::cli {

void add_token(CLI::App& parent, Session& session) {
  CLI::App* token = parent.add_subcommand("token", "Check tokens");
  token->require_subcommand(1);
  add_token_verify(*token, session);
}

}  // namespace voketag::cli
