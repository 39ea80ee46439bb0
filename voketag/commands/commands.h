#pragma once

namespace CLI {
class App;
}

namespace voketag::cli {

class Session;

// One function per command: adds it to the command tree; what it was told lands in
// Session::action.
void add_run(CLI::App& parent, Session& session);
void add_topics(CLI::App& parent, Session& session);
void add_migrate(CLI::App& parent, Session& session);
void add_batch(CLI::App& parent, Session& session);
void add_token(CLI::App& parent, Session& session);
void add_proof(CLI::App& parent, Session& session);
void add_dlq(CLI::App& parent, Session& session);
void add_replay(CLI::App& parent, Session& session);
void add_state(CLI::App& parent, Session& session);
void add_doctor(CLI::App& parent, Session& session);

}  // namespace voketag::cli
