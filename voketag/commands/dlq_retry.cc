#include <pwd.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "voketag/commands/command.h"
#include "voketag/commands/dlq.h"
#include "voketag/escaped_text.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

using events::Errc;

// What is written at once, and acknowledged before more is.
constexpr std::size_t kWriteRecordsMax = 500;
constexpr std::size_t kWriteBytesMax = 4U << 20;
// As events/events.h has them for audit-recorded.
constexpr std::size_t kWhyBytesMax = 2000;
constexpr std::size_t kWhoBytesMax = 256;

struct Options {
  std::vector<std::string> ids;
  DeadLetterFilterOptions filter;
  bool all = false;
  bool yes = false;
  bool dry_run = false;
  std::string why;
  std::string who;
};

// The dead letters that were asked for.
struct Selection {
  std::vector<DeadLetterRange> named;  // each once; none: those that match
  DeadLetterFilter filter;
};

// user@host
std::string default_actor() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const passwd* user = getpwuid(getuid());
  return (user != nullptr ? std::string(user->pw_name) : std::to_string(getuid())) + "@" +
         host.data();
}

// What goes into headers and into an event must be text of a sensible length.
events::Status check_text(const char* option, const std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max && is_utf8(text)) return {};
  return events::fail(Errc::kInvalid, std::string(option) + " must be UTF-8 of at most " +
                                          std::to_string(bytes_max) + " bytes");
}

events::Status check(const Options& options) {
  if (options.ids.empty() && !options.filter.any() && !options.all) {
    return events::fail(
        Errc::kInvalid,
        "which dead letters? Name them (3/120 4/17-90), filter them (--reason malformed "
        "--since 2h), or say --all");
  }
  if (!options.ids.empty() && (options.filter.any() || options.all)) {
    return events::fail(Errc::kInvalid, "name dead letters, or filter them; not both");
  }
  if (options.yes && options.why.empty()) {
    return events::fail(Errc::kInvalid,
                        "--yes needs --why: the reason goes along with each record, for those who "
                        "find it later; for example --why 'schema fixed in 1.4'");
  }
  if (auto good = check_text("--why", options.why, kWhyBytesMax); !good) return good;
  return check_text("--who", options.who, kWhoBytesMax);
}

// All of it before the first is sent.
events::Result<Selection> parse_selection(const Options& options) {
  Selection selection;
  for (const std::string& id : options.ids) {
    const auto range = parse_dead_letter_range(id);
    if (!range) return tl::unexpected(range.error());
    selection.named.push_back(*range);
  }
  selection.named = merged(std::move(selection.named));
  auto filter = options.filter.parse();
  if (!filter) return tl::unexpected(filter.error());
  selection.filter = *std::move(filter);
  return selection;
}

std::string selection_text(const Options& options) {
  if (options.all && !options.filter.any()) return "--all";
  std::string text = options.filter.text();
  for (const std::string& id : options.ids) text += (text.empty() ? "" : " ") + id;
  return text;
}

// Sends again, or says what would be sent.
class Retry {
 public:
  Retry(Session& session, const Options& options)
      : session_(session),
        options_(options),
        run_{options.who.empty() ? default_actor() : options.who, options.why,
             selection_text(options), wall_clock_now()} {}

  ExitCode run(runtime::Log& log, const Selection& selection) {
    if (options_.yes) {
      auto producer = log.open_plain_producer();
      if (!producer) return session_.report(producer.error());
      producer_ = *std::move(producer);
    }
    events::Status done = selection.named.empty() ? retry_all_of(log, selection.filter)
                                                  : retry_named(log, selection.named);
    if (done) done = write_pending();
    if (done) done = end();
    if (!done) return fail(done.error());
    summarize();
    return sent_ > 0 && skipped_ == 0 ? ExitCode::kYes : ExitCode::kNo;
  }

 private:
  // What was listed as sent may not have been.
  ExitCode fail(const events::Error& error) {
    if (!options_.yes) return session_.report(error);
    return session_.report(error.code, error.message + "; " + with_thousands(written_) +
                                           " had been sent again by then");
  }

  events::Status retry_named(runtime::Log& log, const std::vector<DeadLetterRange>& ranges) {
    for (const DeadLetterRange& range : ranges) {
      if (auto done = range.is_one() ? retry_one(log, range) : retry_range(log, range); !done) {
        return done;
      }
    }
    return {};
  }

  events::Status retry_one(runtime::Log& log, const DeadLetterRange& range) {
    const auto letter = fetch_dead_letter(log, {range.partition, range.first_offset});
    if (!letter) return tl::unexpected(letter.error());
    return retry(*letter);
  }

  events::Status retry_range(runtime::Log& log, const DeadLetterRange& range) {
    DeadLetterFilter filter;
    filter.range = range;
    return retry_all_of(log, std::move(filter));
  }

  events::Status retry_all_of(runtime::Log& log, DeadLetterFilter filter) {
    // What comes back as a dead letter again must not be sent in a circle.
    if (!filter.until || run_.at < *filter.until) filter.until = run_.at;
    events::Status status;
    const auto scanned = scan_dead_letters(log, filter, [&](const DeadLetter& letter) {
      status = retry(letter);
      return status.has_value();
    });
    return scanned ? status : scanned;
  }

  events::Status retry(const DeadLetter& letter) {
    auto record = retry_record(letter, run_.actor, run_.reason, run_.at);
    if (!record) {
      ++skipped_;
      session_.warn("not retryable: " + record.error().message);
      return {};
    }
    ++sent_;
    if (!session_.json) {
      session_.terminal().output() << letter.id() << " -> " << escaped(record->topic) << '/'
                                   << record->partition << "  " << escaped(letter.reason) << '\n';
    }
    if (!producer_) return {};
    pending_bytes_ += record->value.value_or("").size();
    pending_.push_back(*std::move(record));
    const bool full = pending_.size() >= kWriteRecordsMax || pending_bytes_ >= kWriteBytesMax;
    return full ? write_pending() : events::Status();
  }

  events::Status write_pending() {
    if (pending_.empty()) return {};
    // Who and why stand in Kafka before the first record does.
    if (!std::exchange(begun_, true)) {
      const events::OutputRecord begun = retry_begun(run_);
      if (auto written = producer_->write({&begun, 1}); !written) return written;
    }
    if (auto written = producer_->write(pending_); !written) return written;
    written_ += std::ssize(pending_);
    pending_.clear();
    pending_bytes_ = 0;
    return {};
  }

  events::Status end() {
    if (!begun_) return {};
    const events::OutputRecord ended = retry_ended(run_, sent_, skipped_);
    return producer_->write({&ended, 1});
  }

  void summarize() {
    if (session_.json) {
      session_.print(JsonText()
                         .begin_object()
                         .member("dry_run", !options_.yes)
                         .member("retried", sent_)
                         .member("skipped", skipped_)
                         .end_object());
      return;
    }
    std::ostream& error = session_.terminal().error();
    if (skipped_ > 0) error << "Not retryable: " << with_thousands(skipped_) << ", see above.\n";
    if (sent_ == 0) {
      if (skipped_ == 0) error << "There is no such dead letter; see: voketag dlq list\n";
    } else if (options_.yes) {
      error << "Sent " << with_thousands(sent_) << " again, as " << escaped(run_.actor)
            << "; the topic audit-recorded keeps who and why.\n";
    } else {
      error << "Would send " << with_thousands(sent_)
            << " again. To do it, add: --yes --why 'what has been mended'\n";
    }
  }

  Session& session_;
  const Options& options_;
  const RetryRun run_;
  std::unique_ptr<runtime::Producer> producer_;
  std::vector<events::OutputRecord> pending_;
  std::size_t pending_bytes_ = 0;
  bool begun_ = false;
  std::int64_t sent_ = 0;     // or would be
  std::int64_t written_ = 0;  // Kafka has acknowledged them
  std::int64_t skipped_ = 0;
};

ExitCode retry(Session& session, const Options& options) {
  if (const auto good = check(options); !good) return session.report(good.error());
  const auto selection = parse_selection(options);
  if (!selection) return session.report(selection.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());
  return Retry(session, options).run(**log, *selection);
}

}  // namespace

void add_dlq_retry(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "retry",
      "Send dead letters again to where they came from\n"
      "With their own key, value and headers, and headers that say who sent them again and\n"
      "why (retry_of, retry_by, retry_reason, retry_at); the topic audit-recorded gets an event\n"
      "when it begins and one when it has ended. Without --yes it only says what it would do.\n"
      "The dead letter stays where it is: the topic is a record of what happened. Passed over,\n"
      "with the reason: what a view refused, and what was too large to be kept whole. Exit code\n"
      "0: all were sent, or would be; 1: something was passed over, or there is no such letter.");
  auto options = std::make_shared<Options>();
  command->add_option(
      "ID", options->ids,
      "partition/offset, as `voketag dlq list` shows it, or a range: 3/120-180, 3/120-");
  add_filter_options(*command, options->filter);
  command->add_flag("--all", options->all, "All that there are");
  auto* yes = command->add_flag("--yes", options->yes, "Do it");
  command->add_flag("--dry-run", options->dry_run, "Say what it would do, as it does without --yes")
      ->excludes(yes);
  command->add_option("--why", options->why, "The reason, kept with the records")
      ->type_name("TEXT");
  command->add_option("--who", options->who, "Who does it; default: user@host")->type_name("NAME");
  add_json_flag(*command, session);
  examples(
      *command,
      "  voketag dlq retry 3/120\n"
      "  voketag dlq retry 3/120 4/17 --yes --why 'token key 2 was missing'\n"
      "  voketag dlq retry 3/120-180 --dry-run\n"
      "  voketag dlq retry --topic batch-requested --partition 5 --offsets 70-90\n"
      "  voketag dlq retry --reason unknown_key --since 2h --yes --why 'token key 2 was missing'");
  command->callback([&session, options] {
    session.action = [&session, options] { return retry(session, *options); };
  });
}

}  // namespace voketag::cli
