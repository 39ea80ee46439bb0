#include <memory>
#include <ostream>

#include "state/store.h"
#include "voketag/commands/command.h"
#include "voketag/commands/state.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::Status;

struct Options {
  StateSelection selection;
  bool yes = false;
};

// What is to be thrown away.
struct Plan {
  std::int64_t partitions = 0;
  std::int64_t keys = 0;
  std::int64_t bytes = 0;
  std::optional<std::string> unreadable;  // why nothing of it is known
};

events::Result<Plan> plan_of(const std::filesystem::path& directory,
                             const StateSelection& selection) {
  Plan plan;
  const auto database = state::Database::open_read_only(directory);
  if (!database) {
    // It is a corrupt one that most needs it.
    if (database.error().code != Errc::kCorrupt || !selection.is_all()) {
      return tl::unexpected(database.error());
    }
    plan.unreadable = database.error().message;
    return plan;
  }
  try {
    (void)for_each_store(
        **database, selection,
        [&](std::string_view processor, std::int32_t partition, state::PartitionStore& store) {
          const PartitionSummary summary = summarize(store, processor, partition);
          if (!summary.empty()) ++plan.partitions;
          plan.keys += summary.keys();
          plan.bytes += summary.bytes();
          return Status();
        });
  } catch (const state::Failure& failure) {
    if (!selection.is_all()) throw;
    plan.unreadable = failure.what();
  }
  return plan;
}

Status throw_away(const std::filesystem::path& directory, const StateSelection& selection) {
  if (selection.is_all()) return state::Database::remove(directory);
  auto database = state::Database::open(directory, {.move_corrupt_aside = false});
  if (!database) return tl::unexpected(database.error());
  auto wiped = for_each_store(
      **database, selection,
      [](std::string_view, std::int32_t, state::PartitionStore& store) { return store.wipe(); });
  return wiped ? (*database)->flush() : wiped;
}

void say(Session& session, const Plan& plan, const std::filesystem::path& directory, bool done) {
  if (session.json) {
    session.print(JsonText()
                      .begin_object()
                      .member("dry_run", !done)
                      .member("directory", directory.string())
                      .member("partitions", plan.partitions)
                      .member("keys", plan.keys)
                      .member("bytes", plan.bytes)
                      .member("unreadable", plan.unreadable)
                      .end_object());
    return;
  }
  std::ostream& out = session.terminal().output();
  if (plan.unreadable) session.warn(*plan.unreadable);
  out << (done ? "Threw away " : "Would throw away ");
  if (plan.unreadable) {
    out << "all of the state";
  } else {
    out << with_thousands(plan.partitions) << " partitions, " << with_thousands(plan.keys)
        << " keys, " << bytes_text(static_cast<unsigned long long>(plan.bytes)) << ',';
  }
  out << " in " << directory.string() << ".\n"
      << (done ? "The next `voketag run` restores what it needs from the changelogs.\n"
               : "To do it, add: --yes\n");
}

ExitCode rebuild(Session& session, const Options& options) {
  if (const auto good = options.selection.check(); !good) return session.report(good.error());
  const auto directory = state_directory(session, std::nullopt);
  if (!directory) return session.report(directory.error());
  if (const auto holder = held_by(*directory)) {
    return session.report(Errc::kConflict, *holder + "; stop it first (SIGTERM)");
  }
  const auto plan = plan_of(*directory, options.selection);
  if (!plan) return session.report(plan.error());
  if (options.yes) {
    if (const auto done = throw_away(*directory, options.selection); !done) {
      return session.report(done.error());
    }
  }
  say(session, *plan, *directory, options.yes);
  return ExitCode::kYes;
}

}  // namespace

void add_state_rebuild(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "rebuild",
      "Throw the local state of a stopped process away, so that it is restored\n"
      "The next `voketag run` reads it back from the changelogs; nothing is lost, and nothing\n"
      "in Kafka or PostgreSQL is touched. Without --yes it only says what it would do. Refused\n"
      "while a process holds the state (exit code 1). The start takes longer by the time that a\n"
      "restore takes.");
  auto options = std::make_shared<Options>();
  add_selection_options(*command, options->selection);
  command->add_flag("--yes", options->yes, "Do it");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag state rebuild\n"
           "  voketag state rebuild --processor batches --partition 3 --yes");
  command->callback([&session, options] {
    session.action = [&session, options] {
      return guarded(session, [&] { return rebuild(session, *options); });
    };
  });
}

}  // namespace voketag::cli
