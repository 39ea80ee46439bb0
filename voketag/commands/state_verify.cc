#include <unistd.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/state.h"
#include "voketag/escaped_text.h"
#include "voketag/kafka_access.h"
#include "voketag/progress_line.h"
#include "voketag/state/changelog_verifier.h"
#include "voketag/state/checkpoint.h"
#include "voketag/stop_signal.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::Result;
using events::Status;

struct Options {
  StateSelection selection;
  std::optional<std::string> directory;
  std::optional<std::string> scratch;
  bool files_only = false;
};

class Verification {
 public:
  Verification(Session& session, const Options& options, std::filesystem::path directory,
               std::filesystem::path scratch)
      : session_(session),
        options_(options),
        directory_(std::move(directory)),
        scratch_(std::move(scratch)) {}

  ExitCode run() {
    if (is_checkpoint(directory_)) {
      if (auto checked = check_checkpoint(); !checked) return session_.report(checked.error());
    } else if (options_.files_only) {
      return session_.report(Errc::kInvalid, directory_.string() + " is no checkpoint: it has no " +
                                                 kCheckpointManifest + "; leave --files-only out");
    }
    // A database whose files are not what they were is not worth a comparison.
    if (!options_.files_only && faults_.empty()) {
      if (auto compared = compare(); !compared) return session_.report(compared.error());
    }
    session_.json ? print_json() : print_text();
    return equal() ? ExitCode::kYes : ExitCode::kNo;
  }

 private:
  Status check_checkpoint() {
    auto manifest = read_manifest(directory_);
    if (!manifest) return tl::unexpected(manifest.error());
    auto faults = check_files(directory_, *manifest);
    if (!faults) return tl::unexpected(faults.error());
    manifest_ = *std::move(manifest);
    faults_ = *std::move(faults);
    return {};
  }

  Status compare() {
    auto database = state::Database::open_read_only(directory_);
    if (!database) return tl::unexpected(database.error());
    const auto configuration = session_.configuration();
    if (!configuration) return tl::unexpected(configuration.error());
    if (manifest_ && manifest_->topic_prefix != (*configuration)->topic_prefix) {
      session_.warn("the checkpoint was made of the topics " + manifest_->topic_prefix +
                    "*, and it is held against " + (*configuration)->topic_prefix + "*");
    }
    auto log = open_kafka(**configuration);
    if (!log) return tl::unexpected(log.error());
    catch_stop_signals();
    ChangelogVerifier verifier(**log, scratch_);
    ProgressLine progress(session_.terminal());
    const auto verify = [&](std::string_view processor, std::int32_t partition,
                            state::PartitionStore& store) -> Status {
      const std::string name = std::string(processor) + "/" + std::to_string(partition);
      auto verdict =
          verifier.verify(store, processor, partition, [&](std::int64_t done, std::int64_t total) {
            progress.update(name, done, total, "changelog offsets");
            return !stop_requested();
          });
      if (!verdict) return tl::unexpected(verdict.error());
      if (*verdict) verdicts_.push_back(**std::move(verdict));
      return {};
    };
    auto done = for_each_store(**database, options_.selection, verify);
    progress.clear();
    if (done && verdicts_.empty()) {
      return events::fail(Errc::kNotFound, "nothing of that is kept in " + directory_.string() +
                                               ": `voketag state inspect` says what is");
    }
    return done;
  }

  bool equal() const {
    return faults_.empty() && std::ranges::all_of(verdicts_, &PartitionVerdict::equal);
  }

  void print_text() {
    std::ostream& out = session_.terminal().output();
    if (manifest_) {
      for (const std::string& fault : faults_) out << escaped(fault) << '\n';
      out << "Checkpoint of " << manifest_->created_at.to_string() << ": "
          << (faults_.empty() ? "all " : "") << with_thousands(std::ssize(manifest_->files))
          << " files, " << bytes_text(static_cast<unsigned long long>(manifest_->size_bytes()))
          << ", " << (faults_.empty() ? "as they were written" : "are not as they were written")
          << ".\n";
    }
    if (verdicts_.empty()) return;
    print_verdicts();
    print_examples();
    out << (equal() ? "Equal to the changelogs.\n"
                    : "Not equal to the changelogs. To have it restored from them: stop the "
                      "process, `voketag state rebuild --yes`, start it again.\n");
  }

  static std::string name_of(const PartitionVerdict& verdict) {
    return verdict.processor + "/" + std::to_string(verdict.partition);
  }

  void print_verdicts() {
    using Align = TextTable::Align;
    TextTable table({{"PARTITION"},
                     {"RESULT"},
                     {"UP TO", Align::kRight},
                     {"EQUAL", Align::kRight},
                     {"MISSING", Align::kRight},
                     {"EXTRA", Align::kRight},
                     {"DIFFERENT", Align::kRight},
                     {"LEFT OUT", Align::kRight}});
    const Paint paint = session_.terminal().output_paint();
    for (const auto& verdict : verdicts_) {
      table.add({name_of(verdict),
                 verdict.equal() ? paint(Style::kGreen, "equal") : paint(Style::kRed, "different"),
                 with_thousands(verdict.changelog_offset), with_thousands(verdict.keys),
                 with_thousands(verdict.missing), with_thousands(verdict.extra),
                 with_thousands(verdict.different), with_thousands(verdict.left_out)});
    }
    table.print(session_.terminal().output(), paint);
    session_.terminal().output() << '\n';
  }

  void print_examples() {
    std::ostream& out = session_.terminal().output();
    for (const auto& verdict : verdicts_) {
      const std::string name = name_of(verdict);
      if (verdict.fault) out << name << ": " << escaped(*verdict.fault) << '\n';
      for (const auto& each : verdict.examples) {
        out << name << ": " << to_string(each.kind) << "  " << escaped(each.key);
        if (each.changelog_offset) out << "  changelog offset " << *each.changelog_offset;
        out << '\n';
      }
    }
  }

  void print_json() {
    JsonText json;
    json.begin_object().member("equal", equal());
    json.name("checkpoint");
    if (manifest_) {
      json.begin_object()
          .member("created_at", manifest_->created_at.to_string())
          .member("files", static_cast<std::int64_t>(manifest_->files.size()))
          .member("bytes", manifest_->size_bytes())
          .name("faults")
          .begin_array();
      for (const auto& fault : faults_) json.value(fault);
      json.end_array().end_object();
    } else {
      json.null();
    }
    json.name("partitions").begin_array();
    for (const auto& verdict : verdicts_) write(json, verdict);
    session_.print(json.end_array().end_object());
  }

  static void write(JsonText& json, const PartitionVerdict& verdict) {
    json.begin_object()
        .member("processor", verdict.processor)
        .member("partition", static_cast<std::int64_t>(verdict.partition))
        .member("equal", verdict.equal())
        .member("fault", verdict.fault)
        .member("changelog_offset", verdict.changelog_offset)
        .member("changelog_end", verdict.changelog_end)
        .member("keys", verdict.keys)
        .member("missing", verdict.missing)
        .member("extra", verdict.extra)
        .member("different", verdict.different)
        .member("left_out", verdict.left_out)
        .name("examples")
        .begin_array();
    for (const auto& each : verdict.examples) {
      json.begin_object()
          .member("kind", to_string(each.kind))
          .member("key", each.key)
          .member("changelog_offset", each.changelog_offset)
          .end_object();
    }
    json.end_array().end_object();
  }

  Session& session_;
  const Options& options_;
  const std::filesystem::path directory_;
  const std::filesystem::path scratch_;
  std::optional<CheckpointManifest> manifest_;
  std::vector<std::string> faults_;  // of the checkpoint's files
  std::vector<PartitionVerdict> verdicts_;
};

// Empty where only files are looked at.
Result<std::filesystem::path> scratch_directory(const Options& options) {
  if (options.files_only) return std::filesystem::path();
  std::error_code ignored;
  std::filesystem::path directory = options.scratch ? std::filesystem::path(*options.scratch)
                                                    : std::filesystem::temp_directory_path(ignored);
  if (std::filesystem::is_directory(directory, ignored)) return directory;
  return events::fail(Errc::kInvalid, "there is no directory " + directory.string() +
                                          " to gather keys in: --scratch, or TMPDIR, names one");
}

ExitCode verify(Session& session, const Options& options) {
  if (const auto good = options.selection.check(); !good) return session.report(good.error());
  auto directory = state_directory(session, options.directory);
  if (!directory) return session.report(directory.error());
  auto scratch = scratch_directory(options);
  if (!scratch) return session.report(scratch.error());
  return guarded(session, [&] {
    return Verification(session, options, *std::move(directory), *std::move(scratch)).run();
  });
}

}  // namespace

void add_state_verify(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "verify",
      "Hold the local state against the changelogs, key by key\n"
      "Reads each partition's changelog from its beginning to where the state stands, and says\n"
      "which keys are missing, extra or different. Writes nothing; works on a stopped process's\n"
      "state, on a checkpoint (whose files are checked first), and beside a running process:\n"
      "what is written again behind the state's position is left out. Memory stays bounded; the\n"
      "keys are gathered in a database of their own in --scratch. Exit code 0: equal; 1:\n"
      "different; 3: Kafka does not answer; 4: ended by Ctrl-C or SIGTERM before all was\n"
      "compared.");
  auto options = std::make_shared<Options>();
  add_selection_options(*command, options->selection);
  add_directory_option(*command, options->directory);
  auto* files_only = command->add_flag("--files-only", options->files_only,
                                       "Of a checkpoint: its files alone, without Kafka");
  add_text(*command, "--scratch", options->scratch,
           "Where there is room for the keys of one partition; default: TMPDIR")
      ->type_name("DIR")
      ->excludes(files_only);
  add_json_flag(*command, session);
  examples(*command,
           "  voketag state verify\n"
           "  voketag state verify --processor batches --partition 3 --json\n"
           "  voketag state verify --directory /backup/voketag-state");
  command->callback([&session, options] {
    session.action = [&session, options] { return verify(session, *options); };
  });
}

}  // namespace voketag::cli
