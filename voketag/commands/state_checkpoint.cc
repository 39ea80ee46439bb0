#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/dlq.h"
#include "voketag/commands/state.h"
#include "voketag/state/checkpoint.h"
#include "voketag/version.h"

namespace voketag::cli {
namespace {

using events::Errc;

ExitCode checkpoint(Session& session, const std::string& to) {
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  const auto& directory = (*configuration)->state_directory;
  if (const auto holder = held_by(directory)) {
    return session.report(Errc::kConflict, *holder +
                                               "; a checkpoint needs a stopped process: end it "
                                               "(SIGTERM), make the checkpoint, start it again");
  }
  CheckpointManifest manifest;
  manifest.created_at = wall_clock_now();
  manifest.instance = (*configuration)->instance;
  manifest.topic_prefix = (*configuration)->topic_prefix;
  manifest.version = std::string(kVersion);
  if (const auto made = make_checkpoint(directory, to, manifest); !made) {
    return session.report(made.error());
  }
  if (session.json) {
    session.print(JsonText()
                      .begin_object()
                      .member("directory", to)
                      .member("created_at", manifest.created_at.to_string())
                      .member("files", static_cast<std::int64_t>(manifest.files.size()))
                      .member("bytes", manifest.size_bytes())
                      .end_object());
  } else {
    session.terminal().output() << "Checkpoint of " << directory.string() << " in " << to << ": "
                                << with_thousands(std::ssize(manifest.files)) << " files, "
                                << bytes_text(
                                       static_cast<unsigned long long>(manifest.size_bytes()))
                                << ".\nCheck it: voketag state verify --directory " << to << '\n';
  }
  return ExitCode::kYes;
}

}  // namespace

void add_state_checkpoint(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "checkpoint",
      "Copy the local state of a stopped process, with checksums\n"
      "State and position of each partition belong to one moment. checkpoint.json beside it\n"
      "names every file with its size and SHA-256; it is written last, so what lacks it is not\n"
      "whole. A running process holds its state: the copy is refused (exit code 1).\n"
      "To restore: stop the process, replace the directory rocksdb of VOKETAG_STATE_DIR by that\n"
      "of the checkpoint, start again: what was committed since is read from the changelogs. A\n"
      "checkpoint older than six days is rebuilt from them instead.");
  auto to = std::make_shared<std::string>();
  command->add_option("--to", *to, "A directory that is to be made, or is empty")
      ->type_name("DIR")
      ->required();
  add_json_flag(*command, session);
  examples(*command,
           "  voketag state checkpoint --to /backup/voketag-state\n"
           "  voketag state verify --directory /backup/voketag-state");
  command->callback([&session, to] {
    session.action = [&session, to] {
      return guarded(session, [&] { return checkpoint(session, *to); });
    };
  });
}

}  // namespace voketag::cli
