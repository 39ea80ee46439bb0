#include "voketag/commands/proof.h"

#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"

namespace voketag::cli {

void add_proof(CLI::App& parent, Session& session) {
  CLI::App* proof = parent.add_subcommand(
      "proof", "Export and verify proofs that a token was in an anchored batch");
  proof->require_subcommand(1);
  add_proof_export(*proof, session);
  add_proof_verify(*proof, session);
}

}  // namespace voketag::cli
