#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <ostream>
#include <utility>

#include "events/codec.h"
#include "voketag/commands/command.h"
#include "voketag/commands/dlq.h"
#include "voketag/commands/state.h"
#include "voketag/escaped_text.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::Status;

struct Options {
  StateSelection selection;
  std::optional<std::string> directory;
  std::optional<std::string> table;
  std::optional<std::string> key;
  std::string prefix;
  bool keys = false;
  std::int64_t limit = 100;
};

std::string name_of(std::string_view processor, std::int32_t partition) {
  return std::string(processor) + "/" + std::to_string(partition);
}

// None: a rebuild has not come to its end yet.
std::optional<std::string> agreed_at(const runtime::StorePosition& position) {
  if (position.agreed_at_ms == 0) return std::nullopt;
  return events::Timestamp{position.agreed_at_ms}.to_string();
}

void write_position(JsonText& json, const std::optional<runtime::StorePosition>& position) {
  json.name("position");
  if (!position) {
    json.null();
    return;
  }
  json.begin_object().member("changelog_offset", position->changelog_offset);
  json.member("claim",
              position->claim ? std::optional(position->claim->transactional_id) : std::nullopt);
  json.name("commit");
  if (position->commit) {
    json.raw(events::encode(*position->commit));
  } else {
    json.null();
  }
  json.member("agreed_at", agreed_at(*position)).end_object();
}

void print_json(Session& session, const std::vector<PartitionSummary>& summaries) {
  JsonText json;
  json.begin_array();
  for (const PartitionSummary& summary : summaries) {
    json.begin_object()
        .member("processor", summary.processor)
        .member("partition", static_cast<std::int64_t>(summary.partition));
    write_position(json, summary.position);
    json.name("next_timer");
    if (summary.next_timer) {
      json.begin_object()
          .member("due", summary.next_timer->due.to_string())
          .member("name", summary.next_timer->name)
          .end_object();
    } else {
      json.null();
    }
    json.member("keys", summary.keys()).member("bytes", summary.bytes());
    json.name("tables").begin_object();
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

void print_partitions(Session& session, const std::vector<PartitionSummary>& summaries) {
  using Align = TextTable::Align;
  TextTable table({{"PROCESSOR"},
                   {"PARTITION", Align::kRight},
                   {"CHANGELOG", Align::kRight},
                   {"AGREED AT"},
                   {"KEYS", Align::kRight},
                   {"SIZE", Align::kRight}});
  for (const PartitionSummary& summary : summaries) {
    const auto& position = summary.position;
    table.add({summary.processor, std::to_string(summary.partition),
               position ? with_thousands(position->changelog_offset) : "none",
               position ? agreed_at(*position).value_or("not yet") : "",
               with_thousands(summary.keys()),
               bytes_text(static_cast<unsigned long long>(summary.bytes()))});
  }
  table.print(session.terminal().output(), session.terminal().output_paint());
}

// What would make the table too wide to be read.
void print_details(Session& session, const PartitionSummary& summary) {
  std::ostream& out = session.terminal().output();
  const Paint paint = session.terminal().output_paint();
  const auto line = [&](std::string name, const std::string& value) {
    name.resize(12, ' ');
    out << "  " << paint(Style::kDim, name) << value << '\n';
  };
  out << '\n' << name_of(summary.processor, summary.partition) << '\n';
  const auto& position = summary.position;
  line("claimed by",
       position && position->claim ? escaped(position->claim->transactional_id) : "nobody");
  line("next timer", summary.next_timer ? summary.next_timer->due.to_string() + "  " +
                                              escaped(summary.next_timer->name)
                                        : "none");
  if (!position || !position->commit) return;
  const char* name = "next input";
  for (const auto& input : position->commit->positions) {
    line(std::exchange(name, ""), escaped(input.topic) + " " + with_thousands(input.next_offset));
  }
}

// Per processor and table; per partition too where the selection is narrow enough to be read.
void print_tables(Session& session, const std::vector<PartitionSummary>& summaries,
                  bool per_partition) {
  using Align = TextTable::Align;
  std::map<std::tuple<std::string, std::int32_t, std::string>, PartitionSummary::Table> sums;
  for (const PartitionSummary& summary : summaries) {
    for (const auto& [name, each] : summary.tables) {
      auto& sum = sums[{summary.processor, per_partition ? summary.partition : -1, name}];
      sum.keys += each.keys;
      sum.bytes += each.bytes;
    }
  }
  TextTable table({{"PROCESSOR"},
                   {"PARTITION", Align::kRight},
                   {"TABLE"},
                   {"KEYS", Align::kRight},
                   {"SIZE", Align::kRight}});
  for (const auto& [id, sum] : sums) {
    const auto& [processor, partition, name] = id;
    table.add({processor, partition < 0 ? "all" : std::to_string(partition), escaped(name),
               with_thousands(sum.keys), bytes_text(static_cast<unsigned long long>(sum.bytes))});
  }
  if (table.empty()) return;
  session.terminal().output() << '\n';
  table.print(session.terminal().output(), session.terminal().output_paint());
}

class Inspection {
 public:
  Inspection(Session& session, const Options& options, state::Database& database)
      : session_(session), options_(options), database_(database) {}

  ExitCode run() { return options_.key ? value() : options_.keys ? keys() : summary(); }

 private:
  ExitCode summary() {
    std::vector<PartitionSummary> summaries;
    visit([&](std::string_view processor, std::int32_t partition, state::PartitionStore& store) {
      PartitionSummary found = summarize(store, processor, partition);
      if (options_.table) {
        std::erase_if(found.tables,
                      [&](const auto& table) { return table.first != *options_.table; });
        if (found.tables.empty()) return;
      }
      if (!found.empty()) summaries.push_back(std::move(found));
    });
    if (summaries.empty()) return nothing();
    session_.json ? print_json(session_, summaries) : print_text(summaries);
    return ExitCode::kYes;
  }

  void print_text(const std::vector<PartitionSummary>& summaries) {
    const StateSelection& selection = options_.selection;
    print_partitions(session_, summaries);
    print_tables(session_, summaries, selection.processor || selection.partition);
    if (selection.partition) {
      for (const PartitionSummary& summary : summaries) print_details(session_, summary);
    } else {
      session_.terminal().output()
          << "\nInputs, claim, timer: voketag state inspect --processor "
          << summaries.front().processor << " --partition " << summaries.front().partition << '\n';
    }
  }

  ExitCode keys() {
    const std::string prefix = (options_.table ? *options_.table + "/" : "") + options_.prefix;
    std::int64_t listed = 0;
    bool more = false;
    visit([&](std::string_view processor, std::int32_t partition, state::PartitionStore& store) {
      if (more) return;
      store.scan(prefix, [&](std::string_view key, std::string_view value) {
        more = listed == options_.limit;
        if (more) return false;
        ++listed;
        print_entry(processor, partition, key, value);
        return true;
      });
    });
    if (listed == 0) return nothing();
    if (more && !session_.json) {
      session_.terminal().error() << "The first " << with_thousands(listed)
                                  << "; there are more: --prefix narrows them, --limit "
                                     "lists more.\n";
    }
    return ExitCode::kYes;
  }

  // So that a name that was misspelt does not look like an empty state.
  ExitCode nothing() {
    return session_.report(Errc::kNotFound,
                           "nothing of that is kept; `voketag state inspect` says what is");
  }

  ExitCode value() {
    const std::string key = (options_.table ? *options_.table + "/" : "") + *options_.key;
    bool found = false;
    visit([&](std::string_view processor, std::int32_t partition, state::PartitionStore& store) {
      const auto stored = store.get(key);
      if (!stored) return;
      found = true;
      print_entry(processor, partition, key, *stored);
    });
    if (found) return ExitCode::kYes;
    return session_.report(Errc::kNotFound,
                           "the state has no key " + shortened(escaped(key), 200) +
                               "; a key is a table's name, '/', and the key in it: "
                               "`voketag state inspect --keys` lists them");
  }

  void visit(
      const std::function<void(std::string_view, std::int32_t, state::PartitionStore&)>& see) {
    // Nothing of it can fail but by an exception.
    (void)for_each_store(database_, options_.selection,
                         [&](std::string_view processor, std::int32_t partition,
                             state::PartitionStore& store) -> Status {
                           see(processor, partition, store);
                           return {};
                         });
  }

  void print_entry(std::string_view processor, std::int32_t partition, std::string_view key,
                   std::string_view value) {
    if (session_.json) {
      session_.print(JsonText()
                         .begin_object()
                         .member("processor", processor)
                         .member("partition", static_cast<std::int64_t>(partition))
                         .member("key", key)
                         .member("value", value)
                         .end_object());
    } else {
      session_.terminal().output() << name_of(processor, partition) << "  " << escaped(key) << "  "
                                   << escaped(value) << '\n';
    }
  }

  Session& session_;
  const Options& options_;
  state::Database& database_;
};

ExitCode inspect(Session& session, const Options& options) {
  if (const auto good = options.selection.check(); !good) return session.report(good.error());
  const auto directory = state_directory(session, options.directory);
  if (!directory) return session.report(directory.error());
  const auto holder = held_by(*directory);
  const auto database = state::Database::open_read_only(*directory);
  if (!database) return session.report(database.error());
  if (holder && !session.json) {
    session.terminal().error() << "Read as it was at " << wall_clock_now().to_string() << ": "
                               << *holder << ".\n";
  }
  return guarded(session, [&] { return Inspection(session, options, **database).run(); });
}

}  // namespace

void add_state_inspect(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "inspect",
      "Say what the local state holds and how far it goes, or list keys and values\n"
      "Also beside a running process: it is read as it is at this moment, and nothing is\n"
      "written. Per partition: the changelog offset up to which it is applied, the next offset\n"
      "of each input (the last commit record), when that was last known to be everything, the\n"
      "next timer, and who has claimed the partition (of those that others own, this is what the\n"
      "standby has); what is wide is shown with --partition, and with --json. The exit code is 1\n"
      "when nothing of what was asked for is kept.");
  auto options = std::make_shared<Options>();
  add_selection_options(*command, options->selection);
  add_text(*command, "--table", options->table, "Only this table, such as batch")
      ->type_name("NAME");
  auto* key = add_text(*command, "--key", options->key,
                       "The value of this key: <table>/<key>, or with --table the key alone");
  key->type_name("KEY");
  auto* keys = command->add_flag("--keys", options->keys, "List keys and values");
  command->add_option("--prefix", options->prefix, "With --keys: only keys that begin so")
      ->type_name("TEXT")
      ->needs(keys);
  add_number(*command, "--limit", options->limit, 1, std::numeric_limits<std::int64_t>::max(),
             "With --keys: how many; default 100");
  keys->excludes(key);
  add_directory_option(*command, options->directory);
  add_json_flag(*command, session);
  examples(*command,
           "  voketag state inspect\n"
           "  voketag state inspect --processor batches --keys --prefix batch/\n"
           "  voketag state inspect --table batch --key 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91");
  command->callback([&session, options] {
    session.action = [&session, options] { return inspect(session, *options); };
  });
}

}  // namespace voketag::cli
