#include <ostream>

#include "connectors/postgres/migrations.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

ExitCode migrate(Session& session, bool dry_run) {
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto connection = open_views(**configuration);
  if (!connection) return session.report(connection.error());

  const auto version = postgres::schema_version(*connection);
  if (!version) return session.report(version.error());
  int reached = static_cast<int>(postgres::migrations().size());
  if (!dry_run) {
    const auto result = postgres::migrate(*connection);
    if (!result) return session.report(result.error());
    reached = result->to;
  }
  if (session.json) {
    session.print(JsonText()
                      .begin_object()
                      .member("from", *version)
                      .member("to", reached)
                      .member("dry_run", dry_run)
                      .end_object());
    return ExitCode::kYes;
  }
  std::ostream& out = session.terminal().output();
  if (*version == reached) {
    out << "The views' schema is at version " << reached << ": nothing to do.\n";
    return ExitCode::kYes;
  }
  out << (dry_run ? "Would bring" : "Brought") << " the views' schema from version " << *version
      << " to version " << reached << ":\n";
  for (const postgres::Migration& step : postgres::migrations()) {
    if (step.version > *version) out << "  " << step.version << "  " << step.name << '\n';
  }
  return ExitCode::kYes;
}

}  // namespace

void add_migrate(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "migrate",
      "Create or update the views' schema in PostgreSQL\n"
      "Idempotent, and safe while VokeTag runs. `voketag run` does the same at start.");
  auto dry_run = std::make_shared<bool>(false);
  command->add_flag("--dry-run", *dry_run, "Say what would be done, and do nothing");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag migrate\n"
           "  voketag migrate --dry-run");
  command->callback([&session, dry_run] {
    session.action = [&session, dry_run] { return migrate(session, *dry_run); };
  });
}

}  // namespace voketag::cli
