#include "voketag/commands/state.h"

#include "events/partitioner.h"
#include "state/store.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"

namespace voketag::cli {

void add_selection_options(CLI::App& command, StateSelection& selection) {
  add_text(command, "--processor", selection.processor,
           "Only this one: ingress, batches, tokens, merkle, anchoring")
      ->type_name("NAME");
  add_number(command, "--partition", selection.partition, 0, events::kPartitionCount - 1,
             "Only this partition, 0 to 11");
}

void add_directory_option(CLI::App& command, std::optional<std::string>& directory) {
  add_text(command, "--directory", directory,
           "A state directory or a checkpoint, in place of VOKETAG_STATE_DIR")
      ->type_name("DIR");
}

events::Result<std::filesystem::path> state_directory(Session& session,
                                                      const std::optional<std::string>& named) {
  if (named) {
    if (named->empty()) return events::fail(events::Errc::kInvalid, "--directory is empty");
    return std::filesystem::path(*named);
  }
  const auto configuration = session.configuration();
  if (!configuration) return tl::unexpected(configuration.error());
  return (*configuration)->state_directory;
}

ExitCode guarded(Session& session, const std::function<ExitCode()>& action) try {
  return action();
} catch (const state::Failure& failure) {
  return session.report(events::Errc::kCorrupt, failure.what());
}

std::optional<std::string> held_by(const std::filesystem::path& directory) {
  const auto holder = state::holder_of(directory);
  if (!holder) return std::nullopt;
  return "process " + std::to_string(*holder) + " holds the state in " + directory.string();
}

void add_state(CLI::App& parent, Session& session) {
  CLI::App* state = parent.add_subcommand(
      "state", "Look into the local state, hold it against the changelogs, copy it, rebuild it");
  state->require_subcommand(1);
  add_state_inspect(*state, session);
  add_state_verify(*state, session);
  add_state_checkpoint(*state, session);
  add_state_rebuild(*state, session);
}

}  // namespace voketag::cli
