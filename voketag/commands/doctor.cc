#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <ostream>

#include "connectors/postgres/migrations.h"
#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/clock.h"
#include "runtime/held_back.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/finding.h"
#include "voketag/kafka_access.h"
#include "voketag/projections.h"
#include "voketag/state/state_examination.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

// A view that is so far behind is noticed by its readers.
constexpr std::int64_t kLagRecordsMax = 10'000;

std::string_view to_string(Health health) {
  switch (health) {
    case Health::kGood:
      return "ok";
    case Health::kWarning:
      return "warn";
    case Health::kBad:
      return "fail";
  }
  return "fail";
}

// Examines one thing after the other; what depends on something that is not there is left out.
class Examination {
 public:
  explicit Examination(const Configuration& configuration) : configuration_(configuration) {}

  std::vector<Finding> run() {
    examine_configuration();
    examine_keys();
    examine_kafka();
    examine_postgres();
    examine_lag();
    examine_the_state();
    return std::move(findings_);
  }

 private:
  void good(std::string subject, std::string detail) {
    findings_.push_back({Health::kGood, std::move(subject), std::move(detail), ""});
  }
  void warning(std::string subject, std::string detail, std::string cure) {
    findings_.push_back({Health::kWarning, std::move(subject), std::move(detail), std::move(cure)});
  }
  void bad(std::string subject, std::string detail, std::string cure) {
    findings_.push_back({Health::kBad, std::move(subject), std::move(detail), std::move(cure)});
  }

  void examine_configuration() {
    for (const std::string& text : configuration_.warnings()) {
      warning("configuration", text, "docs/configuration.md lists what can be set");
    }
    if (configuration_.warnings().empty()) {
      good("configuration",
           "instance " + configuration_.instance + ", topics " + configuration_.topic_prefix + "*");
    }
    if (configuration_.verification_url_base == "https://verify.example") {
      warning(
          "verification URL", "URLs begin with the placeholder https://verify.example",
          "Set it before anything is printed: VERIFICATION_URL_BASE=https://verify.brand.example");
    }
    warning("blockchain", "mock: anchors are simulated and prove no point in time",
            "This version knows the mock chain only; use it for development and tests");
  }

  void examine_keys() {
    const auto keys = configuration_.token_keys();
    if (!keys) {
      bad("token keys", keys.error().message,
          configuration_.has_token_keys()
              ? "The form is id:base64url,...; ids 0 to 255, at least 32 bytes each"
              : "Make one: echo \"1:$(openssl rand 32 | basenc --base64url -w 0 | tr -d =)\"");
      return;
    }
    good("token keys", std::to_string(keys->size()) + (keys->size() == 1 ? " key" : " keys") +
                           ", key " + std::to_string(int{keys->signing().id()}) + " signs");
  }

  void examine_kafka() {
    auto options = kafka_options(configuration_);
    if (!options) {
      bad("kafka", options.error().message, "docs/configuration.md, Kafka");
      return;
    }
    auto opened = kafka::KafkaLog::open(*std::move(options));
    if (!opened) {
      bad("kafka", opened.error().message, "docs/configuration.md, Kafka");
      return;
    }
    const auto brokers = (*opened)->topics().brokers();
    if (!brokers) {
      bad("kafka", brokers.error().message,
          "Is it up, and is VOKETAG_KAFKA its address? A development stack: ./dev run");
      return;
    }
    good("kafka", *configuration_.kafka() + " answers; " + std::to_string(*brokers) +
                      (*brokers == 1 ? " broker" : " brokers"));
    if (*brokers < 3) {
      warning("kafka replication",
              "with fewer than three brokers, losing one loses service or data",
              "For production: three brokers or more");
    }
    log_ = *std::move(opened);
    examine_topics(*log_);
    examine_transactions(*log_);
  }

  void examine_topics(kafka::KafkaLog& log) {
    const auto reports = log.topics().describe(all_topics());
    if (!reports) {
      bad("topics", reports.error().message, "voketag topics create");
      return;
    }
    std::size_t missing = 0;
    bool sound = true;
    for (const kafka::TopicReport& report : *reports) {
      if (!report.exists) {
        ++missing;
        continue;
      }
      for (const kafka::TopicProblem& problem : report.problems) {
        sound = false;
        findings_.push_back({problem.forbids_work ? Health::kBad : Health::kWarning,
                             "topic " + report.full_name, problem.text, ""});
      }
    }
    if (missing > 0) {
      bad("topics",
          std::to_string(missing) + " of " + std::to_string(reports->size()) + " are missing",
          "voketag topics create (or start voketag run, which does it)");
      return;
    }
    topics_are_there_ = true;
    if (sound) good("topics", std::to_string(reports->size()) + " topics as they should be");
    examine_dead_letters(log);
    examine_open_transactions(log);
  }

  void examine_dead_letters(kafka::KafkaLog& log) {
    std::int64_t count = 0;
    for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
      const auto marks = log.watermarks({std::string(events::kDeadLetters), partition},
                                        runtime::Isolation::kReadCommitted);
      if (!marks) return;
      count += marks->high - marks->low;
    }
    if (count == 0) {
      good("dead letters", "none");
    } else {
      warning("dead letters", "at most " + with_thousands(count) + " records have been refused",
              "Look at them: voketag dlq list");
    }
  }

  // On changelogs and histories, too: restores and shadow replays wait there, and send people here.
  void examine_open_transactions(kafka::KafkaLog& log) {
    std::vector<runtime::TopicPartition> partitions;
    for (const kafka::TopicSpec& topic : all_topics()) {
      for (std::int32_t partition = 0; partition < topic.partitions; ++partition) {
        partitions.push_back({topic.name, partition});
      }
    }
    const events::Timestamp now = runtime::SystemClock().now();
    auto found = runtime::find_held_back(log, partitions);
    if (found) found = runtime::only_old(log, *std::move(found), now);
    if (!found) {
      warning("open transactions", found.error().message, "voketag doctor, again");
      return;
    }
    const std::string& prefix = configuration_.topic_prefix;
    for (const auto& one : *found) {
      warning("open transactions", runtime::describe(one, prefix, now.ms - one.since.ms),
              runtime::cure(one, prefix));
    }
    if (found->empty()) good("open transactions", "none holds a topic back");
  }

  void examine_transactions(kafka::KafkaLog& log) {
    const std::string id = configuration_.topic_prefix + "doctor." + configuration_.instance;
    const auto producer = log.open_producer(id);
    if (!producer) {
      bad("transactions", producer.error().message,
          "The principal needs Write on transactional ids " + configuration_.topic_prefix +
              "*; of few brokers, transaction.state.log.replication.factor must not exceed their "
              "number");
      return;
    }
    good("transactions", "a transactional producer can be opened: " + id);
  }

  void examine_postgres() {
    auto connection = open_views(configuration_);
    if (!connection) {
      bad("postgres", connection.error().message,
          "Is it up, and is VOKETAG_POSTGRES right? Only projections and views need it");
      return;
    }
    if (auto version = views_result(connection->execute("SHOW server_version")); version) {
      good("postgres", "version " + std::string(version->text(0, 0)) + " answers");
    }
    const auto schema = postgres::schema_version(*connection);
    const int newest = static_cast<int>(postgres::migrations().size());
    if (!schema) {
      bad("views", schema.error().message, "voketag migrate");
    } else if (*schema < newest) {
      bad("views",
          "the schema is at version " + std::to_string(*schema) + " of " + std::to_string(newest),
          "voketag migrate");
    } else if (*schema > newest) {
      bad("views", "the schema is newer than this program", "Use a newer voketag");
    } else {
      good("views", "the schema is at version " + std::to_string(*schema));
      views_.emplace(*std::move(connection));
    }
  }

  // How many offsets each projection has still to pass, all partitions together. The end of a
  // transaction takes one, too, and only reading tells it from a record.
  void examine_lag() {
    if (!topics_are_there_ || !views_) return;
    std::string all;
    std::int64_t largest = 0;
    for (const auto& projection : all_projections()) {
      const auto lag = lag_of(*projection);
      if (!lag) {
        warning("views' lag", lag.error().message, "voketag doctor, again");
        return;
      }
      all +=
          (all.empty() ? "" : ", ") + std::string(projection->name()) + " " + with_thousands(*lag);
      largest = std::max(largest, *lag);
    }
    if (largest < kLagRecordsMax) {
      good("views' lag", "records to read, at most: " + all);
    } else {
      warning("views' lag", "records to read, at most: " + all,
              "Is voketag run up, with the role projections? Its log says what holds it up");
    }
  }

  events::Result<std::int64_t> lag_of(const processors::Projection& projection) {
    std::vector<runtime::TopicPartition> partitions;
    for (const std::string_view topic : projection.inputs()) {
      for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
        partitions.push_back({std::string(topic), partition});
      }
    }
    const auto marks = log_->watermarks(partitions, runtime::Isolation::kReadCommitted);
    if (!marks) return tl::unexpected(marks.error());
    const std::string name(projection.name());
    const std::array<postgres::Parameter, 1> parameters{name};
    const auto rows = views_result(
        views_->query("SELECT topic, partition, next_offset FROM voketag.projection_positions p"
                      " WHERE projection = $1 AND generation = voketag.live_generation($1)",
                      parameters));
    if (!rows) return tl::unexpected(rows.error());
    std::map<runtime::TopicPartition, std::int64_t> next;
    for (int row = 0; row < rows->count(); ++row) {
      const runtime::TopicPartition partition{std::string(rows->text(row, 0)),
                                              static_cast<std::int32_t>(rows->int64(row, 1))};
      next[partition] = rows->int64(row, 2);
    }
    std::int64_t lag = 0;
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      const auto [low, high] = (*marks)[i];
      const std::int64_t left = high - std::max(low, next[partitions[i]]);
      lag += std::max<std::int64_t>(left, 0);
    }
    return lag;
  }

  void examine_the_state() {
    const auto found = examine_state(configuration_.state_directory,
                                     {configuration_.topic_prefix, configuration_.instance},
                                     topics_are_there_ ? log_.get() : nullptr);
    findings_.insert(findings_.end(), found.begin(), found.end());
  }

  const Configuration& configuration_;
  std::vector<Finding> findings_;
  // What answered, for what comes after.
  std::unique_ptr<kafka::KafkaLog> log_;
  bool topics_are_there_ = false;
  std::optional<postgres::Connection> views_;
};

void print_text(Session& session, const std::vector<Finding>& findings) {
  const Paint paint = session.terminal().output_paint();
  std::ostream& out = session.terminal().output();
  for (const Finding& finding : findings) {
    std::string label(to_string(finding.health));
    label.resize(4, ' ');
    Style style = Style::kGreen;
    if (finding.health == Health::kWarning) style = Style::kYellow;
    if (finding.health == Health::kBad) style = Style::kRed;
    std::string subject = finding.subject;
    subject.resize(std::max<std::size_t>(subject.size(), 18), ' ');
    out << paint(style, label) << "  " << paint(Style::kBold, subject) << "  " << finding.detail
        << '\n';
    if (!finding.cure.empty()) {
      out << std::string(26, ' ') << paint(Style::kDim, "-> " + finding.cure) << '\n';
    }
  }
}

void print_json(Session& session, const std::vector<Finding>& findings, bool healthy) {
  JsonText json;
  json.begin_object().member("healthy", healthy).name("findings").begin_array();
  for (const Finding& finding : findings) {
    json.begin_object()
        .member("state", to_string(finding.health))
        .member("subject", finding.subject)
        .member("detail", finding.detail)
        .member("cure", finding.cure)
        .end_object();
  }
  session.print(json.end_array().end_object());
}

ExitCode examine(Session& session) {
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  const auto findings = Examination(**configuration).run();
  const auto failures = std::count_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.health == Health::kBad;
  });
  if (session.json) {
    print_json(session, findings, failures == 0);
  } else {
    print_text(session, findings);
    session.terminal().output() << (failures == 0 ? "\nReady to run.\n"
                                                  : "\nNot ready: " + std::to_string(failures) +
                                                        (failures == 1 ? " thing" : " things") +
                                                        " to mend.\n");
  }
  return failures == 0 ? ExitCode::kYes : ExitCode::kNo;
}

}  // namespace

void add_doctor(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "doctor",
      "Check that everything is in place, and say what to do where it is not\n"
      "Configuration, token keys, Kafka, topics, transactions, PostgreSQL, views, local state.\n"
      "Reads only, also beside a running process, but for one thing: that transactions work is\n"
      "tried by opening a producer, which leaves its transactional id, <prefix>doctor.<instance>,\n"
      "with the brokers until they forget it. Exit code 0: ready; 1: something fails; 2: the\n"
      "configuration cannot be read.");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag doctor\n"
           "  voketag doctor --json | jq -r '.findings[] | select(.state == \"fail\") | .cure'");
  command->callback([&session] { session.action = [&session] { return examine(session); }; });
}

}  // namespace voketag::cli
