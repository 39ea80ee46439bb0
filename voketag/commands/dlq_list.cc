#include <algorithm>
#include <map>
#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/dlq.h"
#include "voketag/escaped_text.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

struct Options {
  DeadLetterFilterOptions filter;
  std::int64_t limit = 20;
};

// The youngest of what passes by, and how much it was.
class Youngest {
 public:
  explicit Youngest(std::size_t limit) : limit_(limit) {}

  void add(DeadLetter letter) {
    ++count_;
    ++by_reason_[letter.reason];
    if (why_not_retryable(letter)) ++not_retryable_;
    letter.headers.clear();
    kept_.emplace(letter.at.ms, std::move(letter));
    if (kept_.size() > limit_) kept_.erase(kept_.begin());
  }
  const std::multimap<std::int64_t, DeadLetter>& kept() const { return kept_; }
  std::int64_t count() const { return count_; }
  std::int64_t not_retryable() const { return not_retryable_; }
  const std::map<std::string, std::int64_t>& by_reason() const { return by_reason_; }

 private:
  std::size_t limit_;
  std::int64_t count_ = 0;
  std::int64_t not_retryable_ = 0;
  std::map<std::string, std::int64_t> by_reason_;
  std::multimap<std::int64_t, DeadLetter> kept_;  // by time
};

void print_table(Session& session, const Youngest& letters) {
  Terminal& terminal = session.terminal();
  const Paint paint = terminal.output_paint();
  if (letters.count() == 0) {
    terminal.output() << "No dead letters.\n";
    return;
  }
  TextTable table({{"ID", TextTable::Align::kRight},
                   {"AT"},
                   {"REASON"},
                   {"REFUSED BY"},
                   {"RETRY"},
                   {"FROM"},
                   {"DETAIL"}});
  const int room = terminal.traits().output_is_terminal ? terminal.traits().width - 100 : 200;
  const auto detail_columns = static_cast<std::size_t>(std::max(30, room));
  for (const auto& [ms, letter] : letters.kept()) {
    table.add({letter.id(), letter.at.to_string(), paint(Style::kYellow, escaped(letter.reason)),
               escaped(letter.processor), why_not_retryable(letter) ? "no" : "yes",
               escaped(letter.topic) + "/" + std::to_string(letter.source_partition) + "/" +
                   std::to_string(letter.source_offset),
               shortened(escaped(letter.detail), detail_columns)});
  }
  table.print(terminal.output(), paint);
  if (letters.not_retryable() > 0) {
    terminal.output() << "\nWhat cannot be retried says why: voketag dlq show ID\n";
  }
  terminal.output() << '\n' << with_thousands(letters.count()) << " in all:";
  for (const auto& [reason, count] : letters.by_reason()) {
    terminal.output() << ' ' << escaped(reason) << ' ' << with_thousands(count);
  }
  terminal.output() << '\n';
}

void print_json(Session& session, const Youngest& letters) {
  JsonText json;
  json.begin_object().member("count", letters.count()).name("by_reason").begin_object();
  for (const auto& [reason, count] : letters.by_reason()) json.member(reason, count);
  json.end_object().name("dead_letters").begin_array();
  for (const auto& [ms, letter] : letters.kept()) write_json(json, letter, false);
  session.print(json.end_array().end_object());
}

ExitCode list(Session& session, const Options& options) {
  const auto filter = options.filter.parse();
  if (!filter) return session.report(filter.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());
  Youngest letters(static_cast<std::size_t>(options.limit));
  const auto scanned = scan_dead_letters(**log, *filter, [&](DeadLetter letter) {
    letter.value.reset();  // a thousand of them may be 8 GB
    letters.add(std::move(letter));
    return true;
  });
  if (!scanned) return session.report(scanned.error());
  if (session.json) {
    print_json(session, letters);
  } else {
    print_table(session, letters);
  }
  return ExitCode::kYes;
}

}  // namespace

void add_dlq_list(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("list",
                                            "List dead letters, the youngest last\n"
                                            "A record that cannot be taken goes to the topic "
                                            "dead-letters with its bytes, the reason, and\n"
                                            "where it came from; its neighbours go on.");
  auto options = std::make_shared<Options>();
  add_filter_options(*command, options->filter);
  add_number(*command, "--limit", options->limit, 1, kListedMax,
             "How many of the youngest; default 20");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag dlq list\n"
           "  voketag dlq list --since 2h --reason malformed\n"
           "  voketag dlq list --json | jq .by_reason");
  command->callback([&session, options] {
    session.action = [&session, options] { return list(session, *options); };
  });
}

}  // namespace voketag::cli
