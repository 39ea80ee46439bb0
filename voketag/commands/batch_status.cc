#include <memory>

#include "voketag/commands/batch.h"
#include "voketag/commands/command.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

struct Options {
  std::string batch_id;
  std::string timeout;
};

ExitCode with_follower(Session& session, const Options& options,
                       const std::function<ExitCode(BatchFollower&)>& then) {
  const auto id = parse_batch_id(options.batch_id);
  if (!id) return session.report(id.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());
  auto follower = BatchFollower::find(**log, *id);
  if (!follower) return session.report(follower.error());
  if (const auto caught_up = follower->catch_up(); !caught_up) {
    return session.report(caught_up.error());
  }
  return then(*follower);
}

ExitCode status(Session& session, const Options& options) {
  return with_follower(session, options, [&](BatchFollower& follower) {
    if (follower.progress().stage() != BatchProgress::Stage::kUnknown) {
      return print_state(session, follower.progress());
    }
    return session.report(events::Errc::kNotFound,
                          "no batch " + follower.progress().batch_id() +
                              " has been accepted. If it was requested just now, is `voketag run` "
                              "up? If it was refused: voketag dlq list");
  });
}

ExitCode wait(Session& session, const Options& options) {
  std::optional<std::int64_t> timeout_ms;
  if (!options.timeout.empty()) {
    const auto parsed = parse_duration_ms(options.timeout);
    if (!parsed)
      return session.report(events::Errc::kInvalid, "--timeout: " + parsed.error().message);
    timeout_ms = *parsed;
  }
  return with_follower(session, options, [&](BatchFollower& follower) {
    return follow_to_end(session, follower, timeout_ms);
  });
}

}  // namespace

void add_batch_status(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("status",
                                            "Say where a batch is\n"
                                            "Asks Kafka, the truth itself; needs no database. Exit "
                                            "code 0: on its way or completed; 1: failed,\n"
                                            "refused, or not known.");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->batch_id, "The batch's id")->required();
  add_json_flag(*command, session);
  examples(
      *command,
      "  voketag batch status 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91\n"
      "  voketag batch status 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91 --json | jq -r .merkle_root");
  command->callback([&session, options] {
    session.action = [&session, options] { return status(session, *options); };
  });
}

void add_batch_wait(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("wait",
                                            "Follow a batch to its end\n"
                                            "Shows how it comes on, from Kafka's topics alone. "
                                            "Exit code 0: completed; 1: failed or refused;\n"
                                            "4: not within --timeout.");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->batch_id, "The batch's id")->required();
  command->add_option("--timeout", options->timeout, "Give up after this time: 30s, 5m, 2h")
      ->type_name("TIME");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag batch wait 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91\n"
           "  voketag batch wait 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91 --timeout 10m --json");
  command->callback([&session, options] {
    session.action = [&session, options] { return wait(session, *options); };
  });
}

}  // namespace voketag::cli
