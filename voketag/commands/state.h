#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "events/error.h"
#include "state/database.h"
#include "voketag/session.h"
#include "voketag/state/local_state.h"

namespace CLI {
class App;
}

// The commands under `voketag state`, and what they share.
namespace voketag::cli {

void add_state_inspect(CLI::App& parent, Session& session);
void add_state_verify(CLI::App& parent, Session& session);
void add_state_checkpoint(CLI::App& parent, Session& session);
void add_state_rebuild(CLI::App& parent, Session& session);

// --processor and --partition.
void add_selection_options(CLI::App& command, StateSelection& selection);
// --directory
void add_directory_option(CLI::App& command, std::optional<std::string>& directory);

// The directory that was named, else that of the configuration.
events::Result<std::filesystem::path> state_directory(Session& session,
                                                      const std::optional<std::string>& named);

// Runs an action on the state; what cannot be read of it is reported as an error.
ExitCode guarded(Session& session, const std::function<ExitCode()>& action);

// "process 4711 holds the state in ...": none if nobody does.
std::optional<std::string> held_by(const std::filesystem::path& directory);

}  // namespace voketag::cli
