#include <pwd.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/dlq.h"
#include "voketag/escaped_text.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

using events::Errc;

struct Options {
  std::vector<std::string> ids;
  DeadLetterFilterOptions filter;
  bool all = false;
  bool yes = false;
  std::string why;
  std::string who;
};

// user@host
std::string default_actor() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  const passwd* user = getpwuid(getuid());
  return (user != nullptr ? std::string(user->pw_name) : std::to_string(getuid())) + "@" +
         host.data();
}

events::Status check(const Options& options) {
  if (options.ids.empty() && !options.filter.any() && !options.all) {
    return events::fail(
        Errc::kInvalid,
        "which dead letters? Name them (3/120 4/17), filter them (--reason malformed "
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
  return {};
}

// Sends again, or says what would be sent.
class Retry {
 public:
  Retry(Session& session, const Options& options)
      : session_(session),
        options_(options),
        actor_(options.who.empty() ? default_actor() : options.who),
        now_(wall_clock_now()) {}

  ExitCode run(runtime::Log& log) {
    if (options_.yes) {
      auto producer = log.open_plain_producer();
      if (!producer) return session_.report(producer.error());
      producer_ = *std::move(producer);
    }
    if (const auto done = options_.ids.empty() ? retry_matching(log) : retry_named(log); !done) {
      return session_.report(done.error());
    }
    summarize();
    return skipped_ == 0 ? ExitCode::kYes : ExitCode::kNo;
  }

 private:
  events::Status retry_named(runtime::Log& log) {
    for (const std::string& text : options_.ids) {
      const auto id = parse_dead_letter_id(text);
      if (!id) return tl::unexpected(id.error());
      const auto letter = fetch_dead_letter(log, *id);
      if (!letter) return tl::unexpected(letter.error());
      if (auto done = retry(*letter); !done) return done;
    }
    return {};
  }

  events::Status retry_matching(runtime::Log& log) {
    auto filter = options_.filter.parse();
    if (!filter) return tl::unexpected(filter.error());
    // What comes back as a dead letter again must not be sent in a circle.
    if (!filter->until || now_ < *filter->until) filter->until = now_;
    events::Status status;
    const auto scanned = scan_dead_letters(log, *filter, [&](const DeadLetter& letter) {
      status = retry(letter);
      return status.has_value();
    });
    return scanned ? status : scanned;
  }

  events::Status retry(const DeadLetter& letter) {
    const auto record = retry_record(letter, actor_, options_.why, now_);
    if (!record) {
      ++skipped_;
      session_.warn("not retryable: " + record.error().message);
      return {};
    }
    if (producer_) {
      if (auto written = producer_->write({&*record, 1}); !written) return written;
    }
    ++sent_;
    if (!session_.json) {
      session_.terminal().output() << letter.id() << " -> " << escaped(record->topic) << '/'
                                   << record->partition << "  " << escaped(letter.reason) << '\n';
    }
    return {};
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
    if (options_.yes) {
      error << "Sent " << with_thousands(sent_) << " again, as " << escaped(actor_) << ".\n";
    } else {
      error << "Would send " << with_thousands(sent_)
            << " again. To do it, add: --yes --why 'what has been mended'\n";
    }
  }

  Session& session_;
  const Options& options_;
  const std::string actor_;
  const events::Timestamp now_;
  std::unique_ptr<runtime::Producer> producer_;
  std::int64_t sent_ = 0;
  std::int64_t skipped_ = 0;
};

ExitCode retry(Session& session, const Options& options) {
  if (const auto good = check(options); !good) return session.report(good.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());
  return Retry(session, options).run(**log);
}

}  // namespace

void add_dlq_retry(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "retry",
      "Send dead letters again to where they came from\n"
      "With their own key, value and headers, and headers that say who sent them again and why\n"
      "(retry_of, retry_by, retry_reason, retry_at). Without --yes it only says what it would do. "
      "The\n"
      "dead letter stays where it is: the topic is a record of what happened. Passed over, with "
      "the "
      "reason\n"
      "(exit code 1): what a view refused, and what was too large to be kept whole.");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->ids, "partition/offset, as `voketag dlq list` shows it");
  add_filter_options(*command, options->filter);
  command->add_flag("--all", options->all, "All that there are");
  command->add_flag("--yes", options->yes, "Do it");
  command->add_option("--why", options->why, "The reason, kept with the records")
      ->type_name("TEXT");
  command->add_option("--who", options->who, "Who does it; default: user@host")->type_name("NAME");
  add_json_flag(*command, session);
  examples(
      *command,
      "  voketag dlq retry 3/120\n"
      "  voketag dlq retry 3/120 4/17 --yes --why 'token key 2 was missing'\n"
      "  voketag dlq retry --reason unknown_key --since 2h --yes --why 'token key 2 was missing'");
  command->callback([&session, options] {
    session.action = [&session, options] { return retry(session, *options); };
  });
}

}  // namespace voketag::cli
