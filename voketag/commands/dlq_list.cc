#include <algorithm>
#include <map>
#include <memory>
#include <ostream>
#include <utility>

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

// The youngest of what passes by and has the reason asked for, and how much it was.
class Youngest {
 public:
  Youngest(std::size_t limit, std::optional<std::string> reason)
      : limit_(limit), reason_(std::move(reason)) {}

  void add(DeadLetter letter) {
    if (reason_ && *reason_ != letter.reason) {
      ++other_reasons_[letter.reason];
      return;
    }
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
  // Of what has another reason than the one asked for.
  const std::map<std::string, std::int64_t>& other_reasons() const { return other_reasons_; }
  const std::optional<std::string>& reason() const { return reason_; }

 private:
  std::size_t limit_;
  const std::optional<std::string> reason_;
  std::map<std::string, std::int64_t> other_reasons_;
  std::int64_t count_ = 0;
  std::int64_t not_retryable_ = 0;
  std::map<std::string, std::int64_t> by_reason_;
  std::multimap<std::int64_t, DeadLetter> kept_;  // by time
};

void print_counts(std::ostream& out, const std::map<std::string, std::int64_t>& by_reason) {
  for (const auto& [reason, count] : by_reason) {
    out << ' ' << escaped(reason) << ' ' << with_thousands(count);
  }
  out << '\n';
}

// Of the reason asked for, that is; the others are no good news.
void print_none(std::ostream& out, const Youngest& letters) {
  if (letters.other_reasons().empty()) {
    out << "No dead letters.\n";
    return;
  }
  out << "No dead letter has the reason " << *letters.reason() << ". There are:";
  print_counts(out, letters.other_reasons());
}

void print_table(Session& session, const Youngest& letters) {
  Terminal& terminal = session.terminal();
  const Paint paint = terminal.output_paint();
  if (letters.count() == 0) {
    print_none(terminal.output(), letters);
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
  print_counts(terminal.output(), letters.by_reason());
}

void write_counts(JsonText& json, std::string_view name,
                  const std::map<std::string, std::int64_t>& by_reason) {
  json.name(name).begin_object();
  for (const auto& [reason, count] : by_reason) json.member(reason, count);
  json.end_object();
}

void print_json(Session& session, const Youngest& letters) {
  JsonText json;
  json.begin_object().member("count", letters.count());
  write_counts(json, "by_reason", letters.by_reason());
  if (letters.reason()) write_counts(json, "other_reasons", letters.other_reasons());
  json.name("dead_letters").begin_array();
  for (const auto& [ms, letter] : letters.kept()) write_json(json, letter, false);
  session.print(json.end_array().end_object());
}

ExitCode list(Session& session, const Options& options) {
  auto filter = options.filter.parse();
  if (!filter) return session.report(filter.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());
  // The other reasons are counted too: that there is none of one is no proof that all is well.
  Youngest letters(static_cast<std::size_t>(options.limit), std::exchange(filter->reason, {}));
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
  return letters.reason() && letters.count() == 0 ? ExitCode::kNo : ExitCode::kYes;
}

}  // namespace

void add_dlq_list(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("list",
                                            "List dead letters, the youngest last\n"
                                            "A record that cannot be taken goes to the topic "
                                            "dead-letters with its bytes, the reason, and\n"
                                            "where it came from; its neighbours go on. With "
                                            "--reason the exit code says\n"
                                            "whether there is one: 0 yes, 1 no.");
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
