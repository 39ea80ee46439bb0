#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <ostream>

#include "connectors/postgres/postgres_view_sink.h"
#include "runtime/clock.h"
#include "runtime/engine.h"
#include "state/database.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/kafka_access.h"
#include "voketag/logging.h"
#include "voketag/patience.h"
#include "voketag/processor_factory.h"
#include "voketag/projections.h"
#include "voketag/stop_signal.h"
#include "voketag/version.h"
#include "voketag/views_schema.h"

namespace voketag::cli {
namespace {

using events::Status;

// glibc gives every thread an arena of its own, each of which keeps what was ever freed in it. A
// few shared ones cost little contention here, where threads allocate little, and tens of MB less.
void bound_malloc() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

// Without destroying what a thread that was left behind still uses.
[[noreturn]] void exit_now(ExitCode code) {
  spdlog::default_logger()->flush();
  _exit(static_cast<int>(code));
}

// Nothing is written or owned yet that a process which ends would have to hand over.
[[noreturn]] void stop_before_the_start() {
  spdlog::info("stopped as asked, before it was ready");
  exit_now(ExitCode::kYes);
}

// Takes a step of the start, which nothing of the process can go on without.
Status until_done(const std::function<Status()>& step) {
  const auto done = patiently(
      step, [] { return stop_requested().load(); },
      [](const events::Error& error) {
        spdlog::warn("not ready, trying again: {}", error.message);
      });
  if (!done) stop_before_the_start();
  return *done;
}

struct RunOptions {
  std::optional<std::string> roles;
};

// One running instance: what its parts need, in the order in which it must outlive them.
class Instance {
 public:
  Instance(const Configuration& configuration, std::set<Role> roles)
      : configuration_(configuration), roles_(std::move(roles)) {}

  Status prepare() {
    for (const auto step : {&Instance::read_keys, &Instance::check_views, &Instance::open_state}) {
      if (Status done = (this->*step)(); !done) return done;
    }
    if (Status done = until_done([&] { return prepare_log(); }); !done) return done;
    runtime::EngineOptions options;
    options.name_prefix = configuration_.topic_prefix;
    options.instance = configuration_.instance;
    options.configuration_version = factory_->configuration_version();
    options.commit_interval_ms = static_cast<int>(configuration_.commit_interval_ms);
    options.standbys = configuration_.standbys;
    engine_ = std::make_unique<runtime::Engine>(*log_, *database_, clock_, options);
    add_processors();
    if (has(Role::kProjections)) add_projections();
    return {};
  }

  Status run() {
    if (has(Role::kProjections)) schema_ = std::make_unique<ViewsSchema>(configuration_);
    Status status = engine_->run(stop_requested());
    engine_.reset();
    if (Status flushed = database_->flush(); status && !flushed) status = flushed;
    return status;
  }

  // After run(): whether everything has ended that was begun. If not, the process must end by
  // _exit while this object is there.
  bool end() { return !schema_ || schema_->end(); }

 private:
  bool has(Role role) const { return roles_.contains(role); }

  bool has_processor(std::string_view name) const {
    return std::ranges::any_of(roles_, [&](Role role) { return to_string(role) == name; });
  }

  Status read_keys() {
    std::optional<processors::TokenKeys> keys;
    const auto needed = [&](std::string_view name) {
      return has_processor(name) && ProcessorFactory::needs_keys(name);
    };
    if (std::ranges::any_of(kProcessorNames, needed)) {
      auto configured = configuration_.token_keys();
      if (!configured) return tl::unexpected(configured.error());
      keys = *std::move(configured);
    }
    factory_ = std::make_unique<ProcessorFactory>(configuration_, std::move(keys));
    return {};
  }

  // Whether PostgreSQL is there shows later; what is wrong with its URL, now.
  Status check_views() {
    if (!has(Role::kProjections)) return {};
    if (const auto url = configuration_.postgres(); !url) return tl::unexpected(url.error());
    return {};
  }

  Status prepare_log() {
    auto log = open_kafka(configuration_);
    if (!log) return tl::unexpected(log.error());
    log_ = *std::move(log);
    const auto created = log_->topics().ensure_topics(all_topics());
    if (!created) return tl::unexpected(created.error());
    if (*created > 0) spdlog::info("created {} topics", *created);
    return {};
  }

  Status open_state() {
    state::DatabaseOptions options;
    options.block_cache_bytes = static_cast<std::size_t>(configuration_.block_cache_mib) << 20U;
    options.write_buffer_bytes = static_cast<std::size_t>(configuration_.write_buffer_mib) << 20U;
    auto database = state::Database::open(configuration_.state_directory, options);
    if (!database) return tl::unexpected(database.error());
    database_ = *std::move(database);
    if (database_->began_anew()) {
      spdlog::warn("the local state was corrupt and has been moved aside; it is being rebuilt");
    }
    return {};
  }

  void add_processors() {
    for (const std::string_view name : kProcessorNames) {
      if (!has_processor(name)) continue;
      // Where the work of a batch lies.
      const bool many = name == "batches" || name == "tokens";
      engine_->add_processor(factory_->make(name),
                             many ? static_cast<int>(configuration_.workers) : 1);
    }
  }

  void add_projection(std::shared_ptr<processors::Projection> projection, int slots) {
    postgres::PostgresViewSinkOptions options;
    options.connection.url = *configuration_.postgres();
    options.projection = std::string(projection->name());
    const auto views = projection->views();
    using Sink = events::Result<std::unique_ptr<runtime::ViewSink>>;
    engine_->add_projection(std::move(projection), slots, [this, options, views]() -> Sink {
      if (const Status ready = schema_->ready(); !ready) return tl::unexpected(ready.error());
      return std::make_unique<postgres::PostgresViewSink>(options, views);
    });
  }

  void add_projections() {
    for (auto& projection : all_projections()) {
      // Only products are many.
      const bool many = projection->name() == "products";
      add_projection(std::move(projection), many ? static_cast<int>(configuration_.workers) : 1);
    }
  }

  const Configuration& configuration_;
  const std::set<Role> roles_;
  runtime::SystemClock clock_;
  std::unique_ptr<ProcessorFactory> factory_;
  std::unique_ptr<kafka::KafkaLog> log_;
  std::unique_ptr<state::Database> database_;
  std::unique_ptr<ViewsSchema> schema_;
  std::unique_ptr<runtime::Engine> engine_;
};

std::string names_of(const std::set<Role>& roles) {
  std::string names;
  for (const Role role : roles) names += (names.empty() ? "" : ",") + std::string(to_string(role));
  return names;
}

ExitCode run(Session& session, const RunOptions& options) {
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  std::set<Role> roles = (*configuration)->roles;
  if (options.roles) {
    auto parsed = parse_roles(*options.roles);
    if (!parsed) {
      return session.report(events::Errc::kInvalid, "--roles: " + parsed.error().message);
    }
    roles = *std::move(parsed);
  }
  bound_malloc();
  catch_stop_signals();
  signal(SIGPIPE, SIG_IGN);
  start_logging(**configuration, session.terminal().traits().error_is_terminal);
  spdlog::info("voketag {} starts as {} with roles {}", kVersion, (*configuration)->instance,
               names_of(roles));

  Instance instance(**configuration, roles);
  if (const Status prepared = instance.prepare(); !prepared) {
    spdlog::error("cannot start: {}", prepared.error().message);
    return exit_code_of(prepared.error().code);
  }
  const Status ran = instance.run();
  if (ran) {
    spdlog::info("stopped as asked; everything is committed");
  } else {
    spdlog::error("stopped: {}", ran.error().message);
  }
  const ExitCode code = ran ? ExitCode::kYes : exit_code_of(ran.error().code);
  if (!instance.end()) exit_now(code);
  return code;
}

}  // namespace

void add_run(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "run",
      "Run VokeTag, until SIGTERM or Ctrl-C\n"
      "Creates missing topics, and works; the views' schema is brought up to date, and rows\n"
      "follow, as soon as PostgreSQL answers. Several instances share the work, each with a\n"
      "state directory and a name (VOKETAG_INSTANCE) of its own. A first SIGTERM commits,\n"
      "flushes and leaves; a second ends it at once, which loses nothing either.");
  auto options = std::make_shared<RunOptions>();
  add_text(*command, "--roles", options->roles,
           "Which parts to run, separated by commas: ingress, batches, tokens, merkle, "
           "anchoring, projections. Default: VOKETAG_ROLES, or all")
      ->type_name("ROLES");
  examples(*command,
           "  voketag run\n"
           "  voketag run --roles projections            only fill the views\n"
           "  VOKETAG_LOG_FORMAT=json voketag run 2>>voketag.log");
  command->callback([&session, options] {
    session.action = [&session, options] { return run(session, *options); };
  });
}

}  // namespace voketag::cli
