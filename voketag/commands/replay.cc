#include <signal.h>
#include <unistd.h>

#include <memory>
#include <ostream>
#include <thread>

#include "connectors/postgres/migrations.h"
#include "connectors/postgres/view_generations.h"
#include "events/partitioner.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"
#include "voketag/kafka_access.h"
#include "voketag/nearest_name.h"
#include "voketag/processor_factory.h"
#include "voketag/projections.h"
#include "voketag/replay/dry_run.h"
#include "voketag/replay/processor_replay.h"
#include "voketag/replay/replay_display.h"
#include "voketag/replay/replay_report.h"
#include "voketag/replay/view_replay.h"
#include "voketag/stop_signal.h"
#include "voketag/version.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Status;
using postgres::ViewGenerations;

// What somebody asked of a replay at work is answered within this.
constexpr int kWishTimeoutMs = 60'000;
constexpr auto kWishPoll = std::chrono::milliseconds(100);

struct Options {
  ProcessorReplayOptions processor;
  std::string view;
  ViewReplayOptions replay;
  bool no_swap = false;
  bool dry_run = false;
  bool resume = false;
  bool pause = false;
  bool abort = false;
  bool status = false;
  bool drop_old = false;
};

using ProjectionPointer = std::shared_ptr<processors::Projection>;

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

// A projection's view is known by its first table.
std::string view_name(const processors::Projection& projection) {
  return std::string(projection.views().front()->name);
}

std::vector<std::string> view_names() {
  std::vector<std::string> names;
  for (const auto& projection : all_projections()) names.push_back(view_name(*projection));
  return names;
}

// By the projection's name, or that of any of its tables.
Result<ProjectionPointer> find_view(const std::string& name) {
  const std::vector<std::string> names = view_names();
  for (const auto& projection : all_projections()) {
    if (projection->name() == name) return projection;
    for (const auto* view : projection->views()) {
      if (view->name == name) return projection;
    }
  }
  const auto meant = nearest_name(name, names);
  return fail(Errc::kInvalid, "there is no view '" + name + "'" +
                                  (meant ? "; did you mean " + *meant + "?" : std::string(".")) +
                                  " The views are: " + list_of(names));
}

postgres::ConnectionOptions connection_options(const std::string& url) {
  postgres::ConnectionOptions options;
  options.url = url;
  return options;
}

// One view, and what stands around it.
class ReplayCommand {
 public:
  ReplayCommand(Session& session, const Configuration& configuration, const Options& options,
                ProjectionPointer projection)
      : session_(session),
        configuration_(configuration),
        options_(options),
        projection_(std::move(projection)),
        view_(view_name(*projection_)) {}

  ExitCode run() {
    if (const auto opened = open(); !opened) return session_.report(opened.error());
    if (options_.status) return status();
    if (options_.pause) return wish("pause");
    if (options_.abort) return abort();
    return replay();
  }

 private:
  Status open() {
    auto url = configuration_.postgres();
    if (!url) return tl::unexpected(url.error());
    connection_ = connection_options(*url);
    auto plain = open_views(configuration_);
    if (!plain) return tl::unexpected(plain.error());
    const auto version = postgres::schema_version(*plain);
    if (!version) return tl::unexpected(version.error());
    const int newest = static_cast<int>(postgres::migrations().size());
    if (*version != newest) {
      return fail(Errc::kConflict, "the views' schema is at version " + std::to_string(*version) +
                                       ", this program needs " + std::to_string(newest) +
                                       ": voketag migrate");
    }
    auto opened =
        ViewGenerations::open(connection_, std::string(projection_->name()), projection_->views());
    if (!opened) return tl::unexpected(opened.error());
    generations_ = std::make_unique<ViewGenerations>(*std::move(opened));
    return {};
  }

  // ---- what is asked about a replay, or of one ----

  ExitCode status() {
    const auto report = read_status();
    if (!report) return session_.report(report.error());
    print_status(session_, *report);
    return ExitCode::kYes;
  }

  Result<ReplayStatus> read_status() { return read_replay_status(*generations_, view_); }

  // Asks the process at work, and waits until it has let go.
  ExitCode wish(const std::string& wished) {
    const auto unfinished = generations_->rows().unfinished();
    if (!unfinished) return session_.report(unfinished.error());
    if (!*unfinished) return session_.report(nothing_unfinished());
    if (auto asked = generations_->rows().wish((*unfinished)->number, wished); !asked) {
      return session_.report(asked.error());
    }
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(kWishTimeoutMs);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto locked = generations_->try_lock();
      if (!locked) return session_.report(locked.error());
      if (*locked) return heard(wished, (*unfinished)->number);
      std::this_thread::sleep_for(kWishPoll);
    }
    return session_.report(Errc::kTimeout, "the process that replays " + view_ +
                                               " has not answered within " +
                                               std::to_string(kWishTimeoutMs / 1'000) +
                                               " s. It may be killed: "
                                               "what it has done is kept");
  }

  // The lock is ours: what did the other one do?
  ExitCode heard(const std::string& wished, std::int32_t generation) {
    const auto left = is_unfinished(generation);
    if (!left) return session_.report(left.error());
    if (!*left) return session_.report(ended_before(wished));
    return say(wished, generation);
  }

  Result<bool> is_unfinished(std::int32_t generation) {
    const auto left = generations_->rows().unfinished();
    if (!left) return tl::unexpected(left.error());
    return *left && (*left)->number == generation;
  }

  events::Error ended_before(const std::string& wished) const {
    return {Errc::kConflict, "the replay came to its end before it heard that it should " + wished +
                                 ", and its result stands: voketag replay --view " + view_ +
                                 " --status"};
  }

  ExitCode say(const std::string& wished, std::int32_t generation) {
    if (session_.json) {
      session_.print(JsonText()
                         .begin_object()
                         .member("view", view_)
                         .member("generation", static_cast<std::int64_t>(generation))
                         .member("state", wished == "pause" ? "paused" : "aborted")
                         .end_object());
    } else if (wished == "pause") {
      session_.terminal().output()
          << "Paused. Go on with: voketag replay --view " << view_ << " --resume\n";
    } else {
      session_.terminal().output() << "Aborted: generation " << generation << " of " << view_
                                   << " is dropped. The live view was not touched.\n";
    }
    return ExitCode::kYes;
  }

  ExitCode abort() {
    const auto unfinished = generations_->rows().unfinished();
    if (!unfinished) return session_.report(unfinished.error());
    if (!*unfinished) return session_.report(nothing_unfinished());
    const std::int32_t number = (*unfinished)->number;
    auto locked = generations_->try_lock();
    if (!locked) return session_.report(locked.error());
    if (!*locked) {
      // The one at work pauses; the lock is ours then.
      std::ostream& error = session_.terminal().error();
      error << "A replay is at work: it is asked to end.\n";
      if (auto asked = generations_->rows().wish(number, "abort"); !asked) {
        return session_.report(asked.error());
      }
      const auto deadline =
          std::chrono::steady_clock::now() + std::chrono::milliseconds(kWishTimeoutMs);
      while (locked && !*locked && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(kWishPoll);
        locked = generations_->try_lock();
      }
      if (!locked) return session_.report(locked.error());
      if (!*locked) {
        return session_.report(Errc::kTimeout, "the process that replays " + view_ +
                                                   " has not ended. Kill it and try again");
      }
    }
    // What was at work may have come to its end meanwhile.
    const auto left = is_unfinished(number);
    if (!left) return session_.report(left.error());
    if (!*left) return session_.report(ended_before("abort"));
    if (auto ended = generations_->end_leftovers(); !ended) return session_.report(ended.error());
    if (auto dropped = generations_->drop(number); !dropped) {
      return session_.report(dropped.error());
    }
    return say("abort", number);
  }

  events::Error nothing_unfinished() const {
    return {Errc::kNotFound, "no replay of " + view_ + " is unfinished: voketag replay --status"};
  }

  // ---- the replay itself ----

  ExitCode replay() {
    auto log = open_kafka(configuration_);
    if (!log) return session_.report(log.error());
    catch_stop_signals();
    signal(SIGPIPE, SIG_IGN);
    if (options_.dry_run) return dry_run(**log);
    if (auto taken = take_over(); !taken) return session_.report(taken.error());
    if (options_.drop_old) return drop_old();
    ReplayDisplay display(session_.terminal(), view_);
    ViewReplay replay(**log, *projection_, *generations_, connection_, options_.replay,
                      stop_requested(),
                      [&](const ReplayProgress& progress) { display.update(progress); });
    auto result = begin(replay);
    display.finish();
    if (!result) return report_failure(result.error(), replay.is_swap_unknown());
    return finish(*result);
  }

  // Alone, and nothing of a dead one at work any more.
  Status take_over() {
    const auto locked = generations_->try_lock();
    if (!locked) return tl::unexpected(locked.error());
    if (!*locked) {
      const auto holder = generations_->lock_holder();
      return fail(Errc::kConflict, "a replay of " + view_ + " is at work already (" +
                                       (holder ? *holder : std::string("unknown")) +
                                       "). See how far it is: voketag replay --view " + view_ +
                                       " --status");
    }
    if (auto ended = generations_->end_leftovers(); !ended) return ended;
    const auto left = generations_->rows().retired(options_.drop_old);
    if (!left) return tl::unexpected(left.error());
    for (const auto number : *left) {
      if (auto dropped = generations_->drop(number); !dropped) return dropped;
      session_.terminal().error() << "Dropped generation " << number << " of " << view_
                                  << ", which was replaced before.\n";
    }
    return {};
  }

  ExitCode drop_old() {
    if (session_.json) session_.print(JsonText().begin_object().member("view", view_).end_object());
    return ExitCode::kYes;
  }

  Result<ReplayResult> begin(ViewReplay& replay) {
    auto unfinished = generations_->rows().unfinished();
    if (!unfinished) return tl::unexpected(unfinished.error());
    const std::string command = "voketag replay --view " + view_;
    if (options_.resume) {
      if (!*unfinished) return tl::unexpected(nothing_unfinished());
      return replay.resume(**unfinished);
    }
    if (*unfinished) {
      return fail(Errc::kConflict, "a replay of " + view_ + ", begun at " +
                                       (*unfinished)->begun_at + ", is unfinished. Go on: " +
                                       command + " --resume; or drop it: " + command + " --abort");
    }
    const auto reason = generations_->why_not_replaceable();
    if (!reason) return tl::unexpected(reason.error());
    if (!reason->empty()) return fail(Errc::kConflict, *reason);
    return replay.start(std::string(kVersion));
  }

  // The live projector needs the room at once.
  events::Error full_disk(const events::Error& error, const postgres::Generation* unfinished) {
    events::Error told{Errc::kExhausted, error.message + ". The disk of PostgreSQL is full: "};
    if (unfinished == nullptr) {
      told.message += "nothing was built, and the live view is untouched. Make room for a second " +
                      view_ + ", and begin anew";
    } else if (generations_->drop(unfinished->number)) {
      told.message +=
          "the new generation is dropped, its room is free again, and the live view is untouched. "
          "Make room for a second " +
          view_ + ", and begin anew";
    } else {
      told.message +=
          "make room, and drop the new generation: voketag replay --view " + view_ + " --abort";
    }
    return told;
  }

  ExitCode report_failure(const events::Error& error, bool is_swap_unknown) {
    events::Error told = error;
    if (is_swap_unknown) {
      told.message += ". See whether it is unfinished: voketag replay --view " + view_ +
                      " --status. If so, the live view is untouched, and it goes on with --resume; "
                      "if not, the view is swapped";
      return session_.report(told);
    }
    const auto unfinished = generations_->rows().unfinished();
    if (error.message.find("SQLSTATE 53100") != std::string::npos) {
      told = full_disk(error, unfinished && *unfinished ? &**unfinished : nullptr);
    } else if (error.code != Errc::kConflict && (!unfinished || *unfinished)) {
      told.message +=
          ". The live view is untouched; what is built is kept: voketag replay --view " + view_ +
          " --resume";
    }
    return session_.report(told);
  }

  ExitCode finish(ReplayResult& result) {
    if (result.end == ReplayEnd::kAborted) {
      // Who asked for it drops what was built.
      return session_.report(Errc::kConflict, "the replay was aborted: the live view is untouched");
    }
    if (result.end == ReplayEnd::kSwapped && !options_.replay.keep_retired) {
      if (const auto dropped = generations_->drop(result.retired); !dropped) {
        session_.warn("the old generation could not be dropped yet (" + dropped.error().message +
                      "): voketag replay --view " + view_ + " --drop-old");
      }
    }
    const auto rejects = generations_->rejects_of(result.generation).list(kRejectsShown);
    const auto count = generations_->rejects_of(result.generation).count();
    print_result(session_, view_, result, rejects.value_or(std::vector<postgres::ListedReject>()),
                 count.value_or(0));
    const bool done = result.end == ReplayEnd::kSwapped || result.end == ReplayEnd::kBuilt;
    return done ? ExitCode::kYes : ExitCode::kNo;
  }

  ExitCode dry_run(runtime::Log& log) {
    ReplayDisplay display(session_.terminal(), view_);
    const auto report =
        run_dry(log, *projection_, *generations_, options_.replay.start, stop_requested(),
                [&](const ReplayProgress& progress) { display.update(progress); });
    display.finish();
    if (!report) return session_.report(report.error());
    print_dry_run(session_, view_, *report);
    return report->complete ? ExitCode::kYes : ExitCode::kNo;
  }

  Session& session_;
  const Configuration& configuration_;
  const Options& options_;
  const ProjectionPointer projection_;
  const std::string view_;
  postgres::ConnectionOptions connection_;
  std::unique_ptr<ViewGenerations> generations_;
};

ExitCode replay(Session& session, Options& options) {
  if (options.processor.processor) return replay_processor(session, options.processor);
  const auto start = parse_replay_start(options.replay.started_from);
  if (!start) return session.report(Errc::kInvalid, "--from: " + start.error().message);
  options.replay.start = *start;
  options.replay.swap = !options.no_swap;
  if (options.replay.lock_timeout_ms < 1 || options.replay.lock_timeout_ms > 8'000) {
    return session.report(Errc::kInvalid, "--lock-timeout-ms must be between 1 and 8000");
  }
  if (options.view.empty() && !options.status) {
    return session.report(
        Errc::kInvalid,
        "which view? --view NAME. The views are: " + list_of(view_names()) +
            ". Or which processor? --processor NAME. The processors are: " + processor_names());
  }
  std::vector<ProjectionPointer> views = all_projections();
  if (!options.view.empty()) {
    const auto found = find_view(options.view);
    if (!found) return session.report(found.error());
    views = {*found};
  }
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  for (auto& view : views) {
    const ExitCode code = ReplayCommand(session, **configuration, options, view).run();
    if (code != ExitCode::kYes) return code;
  }
  return ExitCode::kYes;
}

}  // namespace

// The options of a processor's replay; none of them goes with one of a view's.
void add_processor_options(CLI::App& command, ProcessorReplayOptions& options) {
  const std::vector<CLI::Option*> of_views =
      command.get_options([](const CLI::Option* option) { return !option->check_name("--help"); });
  auto* processor =
      add_text(command, "--processor", options.processor,
               "Run this processor over its old traffic in a shadow: " + processor_names())
          ->type_name("NAME");
  auto* partition = add_number(command, "--partition", options.partition, 0,
                               events::kPartitionCount - 1, "Only this partition, 0 to 11");
  auto* state = add_text(command, "--state", options.state,
                         "Begin at this checkpoint of the state (`voketag state checkpoint`), not "
                         "at the beginning");
  auto* scratch = add_text(command, "--scratch", options.scratch,
                           "Where there is room for the state and some 150 bytes per output; "
                           "default: TMPDIR");
  state->type_name("DIR");
  scratch->type_name("DIR");
  for (auto* option : {partition, state, scratch}) option->needs(processor);
  for (auto* option : of_views) processor->excludes(option);
}

void add_replay(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "replay",
      "Rebuild a view from the topics, or run a processor over old traffic in a shadow\n"
      "--view: reads the topics from the beginning into new tables while the live view goes on, "
      "compares "
      "both\n"
      "when they stand at equal offsets, and puts the new one in the old one's place in one\n"
      "transaction. Emits no event: what it refuses is listed. Can be ended at any moment "
      "(Ctrl-C,\n"
      "kill -9) and gone on with. Exit code 0: done as asked; 1: not swapped, and why.\n"
      "--processor: does the processor's transactions again with this program's code, in the order "
      "of\n"
      "their history, with the records and timers that each had, over a state that is thrown away; "
      "and\n"
      "compares what it emits with what was emitted then, byte by byte. So a change is tried on "
      "last\n"
      "month's traffic before it runs. Emits nothing, joins no group, touches nothing that is "
      "live. "
      "Exit\n"
      "code 0: equal; 1: different; 2: the history does not reach back far enough; 3: Kafka does "
      "not answer.");
  auto options = std::make_shared<Options>();
  command->add_option("--view", options->view, "batches, products, merkle_subtrees or anchors")
      ->type_name("NAME");
  auto* from =
      command
          ->add_option(
              "--from", options->replay.started_from,
              "beginning (default), available (what is left of each partition after records were "
              "deleted), offset:N (of every partition) or time:RFC3339. Rows of earlier records "
              "are "
              "then missing in the new generation")
          ->type_name("PLACE");
  auto* dry = command->add_flag("--dry-run", options->dry_run,
                                "Read and project everything, write nothing; say what came of it");
  command->add_flag("--no-swap", options->no_swap, "Build and compare, and leave it at that");
  command->add_flag("--accept-differences", options->replay.accept_differences,
                    "Swap also where the comparison finds differences");
  command->add_flag("--accept-loss", options->replay.accept_loss,
                    "Swap also where --from left rows out");
  command->add_flag("--keep-old", options->replay.keep_retired,
                    "Do not drop the old generation after the swap (tables NAME_g1, ...)");
  command
      ->add_option("--lock-timeout-ms", options->replay.lock_timeout_ms,
                   "How long the swap waits for readers of the view; default 500")
      ->type_name("N");
  auto* resume = command->add_flag("--resume", options->resume, "Go on with an unfinished replay");
  auto* pause = command->add_flag("--pause", options->pause, "Let the replay at work pause");
  auto* abort = command->add_flag("--abort", options->abort, "Drop an unfinished replay");
  auto* status = command->add_flag("--status", options->status, "Say how far replays are");
  auto* drop =
      command->add_flag("--drop-old", options->drop_old, "Drop old generations that were kept");
  resume->excludes(from);
  const std::vector<CLI::Option*> verbs = {dry, resume, pause, abort, status, drop};
  for (auto* verb : verbs) {
    for (auto* other : verbs) {
      if (verb != other) verb->excludes(other);
    }
  }
  add_processor_options(*command, options->processor);
  add_json_flag(*command, session);
  examples(*command,
           "  voketag replay --view products --dry-run\n"
           "  voketag replay --view products\n"
           "  voketag replay --view products --no-swap && voketag replay --view products --resume\n"
           "  voketag replay --status\n"
           "  voketag replay --processor batches\n"
           "  voketag replay --processor batches --state /backup/voketag-state --json");
  command->callback([&session, options] {
    session.action = [&session, options] { return replay(session, *options); };
  });
}

}  // namespace voketag::cli
