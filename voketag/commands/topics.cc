#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

void print_json(Session& session, const std::vector<kafka::TopicReport>& reports, int created,
                bool dry_run) {
  JsonText json;
  json.begin_object()
      .member("dry_run", dry_run)
      .member("created", created)
      .name("topics")
      .begin_array();
  for (const kafka::TopicReport& report : reports) {
    json.begin_object()
        .member("name", report.full_name)
        .member("exists", report.exists)
        .member("partitions", static_cast<std::int64_t>(report.partitions))
        .member("replicas", static_cast<std::int64_t>(report.replicas))
        .name("problems")
        .begin_array();
    for (const auto& problem : report.problems) json.value(problem.text);
    json.end_array().end_object();
  }
  session.print(json.end_array().end_object());
}

void print_table(Session& session, const std::vector<kafka::TopicReport>& before, bool dry_run) {
  const Paint paint = session.terminal().output_paint();
  using Align = TextTable::Align;
  TextTable table(
      {{"TOPIC"}, {"PARTITIONS", Align::kRight}, {"REPLICAS", Align::kRight}, {"STATE"}});
  for (const kafka::TopicReport& report : before) {
    const auto count = [&](std::int32_t number) {
      return report.exists ? std::to_string(number) : std::string();
    };
    std::string state = paint(Style::kDim, "as it should be");
    if (!report.exists) {
      state = paint(Style::kGreen, dry_run ? "would be created" : "created");
    } else if (!report.problems.empty()) {
      state = paint(Style::kYellow, report.problems.front().text);
    }
    table.add({report.full_name, count(report.partitions), count(report.replicas), state});
  }
  table.print(session.terminal().output(), paint);
}

ExitCode create(Session& session, bool dry_run) {
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());

  const auto topics = all_topics();
  const auto before = (*log)->topics().describe(topics);
  if (!before) return session.report(before.error());
  int created = 0;
  if (!dry_run) {
    const auto ensured = (*log)->topics().ensure_topics(topics);
    if (!ensured) return session.report(ensured.error());
    created = *ensured;
  }
  if (!session.json) {
    print_table(session, *before, dry_run);
    return ExitCode::kYes;
  }
  const auto after = (*log)->topics().describe(topics);
  if (!after) return session.report(after.error());
  print_json(session, *after, created, dry_run);
  return ExitCode::kYes;
}

}  // namespace

void add_topics(CLI::App& parent, Session& session) {
  CLI::App* topics = parent.add_subcommand("topics", "Create Kafka's topics");
  topics->require_subcommand(1);
  CLI::App* command = topics->add_subcommand(
      "create",
      "Create every topic that is missing\n"
      "Idempotent. Refuses to go on where a topic has another number of "
      "partitions than it must have,\n"
      "producers' times, or a clean-up that loses records. `voketag run` does "
      "the same at start.");
  auto dry_run = std::make_shared<bool>(false);
  command->add_flag("--dry-run", *dry_run, "Say what would be done, and do nothing");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag topics create\n"
           "  voketag topics create --dry-run --json | jq '.topics[] | select(.exists | not)'");
  command->callback([&session, dry_run] {
    session.action = [&session, dry_run] { return create(session, *dry_run); };
  });
}

}  // namespace voketag::cli
