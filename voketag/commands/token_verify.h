#pragma once

namespace CLI {
class App;
}

namespace voketag::cli {

class Session;

void add_token_verify(CLI::App& parent, Session& session);

}  // namespace voketag::cli
