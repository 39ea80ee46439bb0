#pragma once

namespace CLI {
class App;
}

namespace voketag::cli {

class Session;

void add_proof_export(CLI::App& parent, Session& session);
void add_proof_verify(CLI::App& parent, Session& session);

}  // namespace voketag::cli
