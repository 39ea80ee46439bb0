#include <array>
#include <limits>
#include <map>
#include <memory>
#include <ostream>

#include "events/partitioner.h"
#include "state/database.h"
#include "state/partition_store.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/escaped_text.h"

namespace voketag::cli {
namespace {

using events::Errc;

struct Options {
  std::string processor;
  std::int32_t partition = -1;
  std::string prefix;
  bool keys = false;
  bool positions = false;
  std::int64_t limit = 100;
};

constexpr std::array<std::string_view, 5> kProcessors = {"ingress", "batches", "tokens", "merkle",
                                                         "anchoring"};

// What one partition's store holds: how many keys and bytes, per table.
struct Summary {
  std::string processor;
  std::int32_t partition = 0;
  std::string position;
  struct Table {
    std::int64_t keys = 0;
    std::int64_t bytes = 0;
  };
  std::map<std::string, Table> tables;
};

Summary summarize(const state::PartitionStore& store, std::string_view processor,
                  std::int32_t partition) {
  Summary summary{std::string(processor), partition, store.position().value_or(""), {}};
  store.scan("", [&](std::string_view key, std::string_view value) {
    auto& table = summary.tables[std::string(key.substr(0, key.find('/')))];
    ++table.keys;
    table.bytes += static_cast<std::int64_t>(key.size() + value.size());
    return true;
  });
  return summary;
}

void print_keys(Session& session, const state::PartitionStore& store, const Options& options,
                std::int64_t& left) {
  store.scan(options.prefix, [&](std::string_view key, std::string_view value) {
    if (left-- <= 0) return false;
    if (session.json) {
      JsonText json;
      json.begin_object().member("key", key).member("value", value).end_object();
      session.print(json);
    } else {
      session.terminal().output() << escaped(key) << "  " << escaped(value) << '\n';
    }
    return true;
  });
}

void print_json(Session& session, const std::vector<Summary>& summaries) {
  JsonText json;
  json.begin_array();
  for (const Summary& summary : summaries) {
    json.begin_object()
        .member("processor", summary.processor)
        .member("partition", static_cast<std::int64_t>(summary.partition))
        .member("position", summary.position)
        .name("tables")
        .begin_object();
    for (const auto& [name, table] : summary.tables) {
      json.name(name)
          .begin_object()
          .member("keys", table.keys)
          .member("bytes", table.bytes)
          .end_object();
    }
    json.end_object().end_object();
  }
  session.print(json.end_array());
}

void print_table(Session& session, const std::vector<Summary>& summaries) {
  using Align = TextTable::Align;
  TextTable table({{"PROCESSOR"},
                   {"PARTITION", Align::kRight},
                   {"TABLE"},
                   {"KEYS", Align::kRight},
                   {"SIZE", Align::kRight}});
  for (const Summary& summary : summaries) {
    for (const auto& [name, each] : summary.tables) {
      table.add({summary.processor, std::to_string(summary.partition), escaped(name),
                 with_thousands(each.keys),
                 bytes_text(static_cast<unsigned long long>(each.bytes))});
    }
  }
  if (table.empty()) {
    session.terminal().output() << "The state is empty.\n";
    return;
  }
  table.print(session.terminal().output(), session.terminal().output_paint());
}

// How far each partition's state goes, as the engine wrote it down.
void print_positions(Session& session, const std::vector<Summary>& summaries) {
  TextTable table({{"PROCESSOR"}, {"PARTITION", TextTable::Align::kRight}, {"POSITION"}});
  for (const Summary& summary : summaries) {
    if (summary.position.empty()) continue;
    table.add({summary.processor, std::to_string(summary.partition), escaped(summary.position)});
  }
  table.print(session.terminal().output(), session.terminal().output_paint());
}

ExitCode inspect(Session& session, const Options& options) {
  if (!options.processor.empty() &&
      std::find(kProcessors.begin(), kProcessors.end(), options.processor) == kProcessors.end()) {
    return session.report(Errc::kInvalid,
                          "--processor must be ingress, batches, tokens, merkle or anchoring");
  }
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  const auto& directory = (*configuration)->state_directory;
  std::error_code ignored;
  if (!std::filesystem::exists(directory, ignored)) {
    return session.report(Errc::kNotFound, "there is no state at " + directory.string() +
                                               "; VOKETAG_STATE_DIR says where it is");
  }
  auto database = state::Database::open(directory);
  if (!database && database.error().code == Errc::kConflict) {
    return session.report(Errc::kConflict,
                          "a VokeTag is running on " + directory.string() +
                              ", and its state can be read only by itself; stop it first");
  }
  if (!database) return session.report(database.error());
  std::vector<Summary> summaries;
  std::int64_t left = options.limit;
  for (const std::string_view processor : kProcessors) {
    if (!options.processor.empty() && options.processor != processor) continue;
    for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
      if (options.partition >= 0 && options.partition != partition) continue;
      const auto store = (*database)->open_partition(processor, partition);
      if (options.keys) {
        print_keys(session, *store, options, left);
      } else {
        summaries.push_back(summarize(*store, processor, partition));
      }
    }
  }
  if (options.keys) return ExitCode::kYes;
  if (session.json) {
    print_json(session, summaries);
  } else if (options.positions) {
    print_positions(session, summaries);
  } else {
    print_table(session, summaries);
  }
  return ExitCode::kYes;
}

}  // namespace

void add_state(CLI::App& parent, Session& session) {
  CLI::App* state = parent.add_subcommand("state", "Look into the local state");
  state->require_subcommand(1);
  CLI::App* command = state->add_subcommand("inspect",
                                            "Say what the local state holds, or list its keys\n"
                                            "Of a stopped instance: a running one holds its state "
                                            "directory (VOKETAG_STATE_DIR) for itself.");
  auto options = std::make_shared<Options>();
  command
      ->add_option("--processor", options->processor,
                   "Only this one: ingress, batches, tokens, merkle, anchoring")
      ->type_name("NAME");
  add_number(*command, "--partition", options->partition, 0, events::kPartitionCount - 1,
             "Only this partition, 0 to 11");
  command->add_flag("--keys", options->keys, "List keys and values in place of the summary");
  command->add_flag("--positions", options->positions,
                    "Say how far the state of each partition goes, in place of the summary");
  command->add_option("--prefix", options->prefix, "With --keys: only keys that begin so")
      ->type_name("TEXT");
  add_number(*command, "--limit", options->limit, 1, std::numeric_limits<std::int64_t>::max(),
             "With --keys: how many; default 100");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag state inspect\n"
           "  voketag state inspect --processor batches --keys --prefix batch/");
  command->callback([&session, options] {
    session.action = [&session, options] { return inspect(session, *options); };
  });
}

}  // namespace voketag::cli
