#include "voketag/replay/processor_replay.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "runtime/shadow_replay.h"
#include "state/database.h"
#include "voketag/escaped_text.h"
#include "voketag/kafka_access.h"
#include "voketag/nearest_name.h"
#include "voketag/processor_factory.h"
#include "voketag/progress_line.h"
#include "voketag/state/checkpoint.h"
#include "voketag/stop_signal.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Status;
using runtime::ShadowReport;

class ProcessorReplay {
 public:
  ProcessorReplay(Session& session, const Configuration& configuration,
                  const ProcessorReplayOptions& options)
      : session_(session),
        configuration_(configuration),
        options_(options),
        name_(*options.processor) {}

  ExitCode run() {
    for (const auto step : {&ProcessorReplay::prepare_factory, &ProcessorReplay::open_state,
                            &ProcessorReplay::replay}) {
      if (const Status done = (this->*step)(); !done) return session_.report(done.error());
    }
    if (report_.is_empty()) return session_.report(nothing_to_compare());
    session_.json ? print_json() : print_text();
    return report_.is_equal() ? ExitCode::kYes : ExitCode::kNo;
  }

 private:
  Status prepare_factory() {
    std::optional<processors::TokenKeys> keys;
    auto configured = configuration_.token_keys();
    if (configured) {
      keys = *std::move(configured);
    } else if (ProcessorFactory::needs_keys(name_)) {
      return tl::unexpected(configured.error());
    }
    factory_ = std::make_unique<ProcessorFactory>(configuration_, std::move(keys));
    return {};
  }

  Status open_state() {
    if (!options_.state) return {};
    if (!is_checkpoint(*options_.state)) {
      return fail(Errc::kInvalid, *options_.state + " is no checkpoint: it has no " +
                                      kCheckpointManifest +
                                      "; `voketag state checkpoint --to DIR` makes one");
    }
    const auto manifest = read_manifest(*options_.state);
    if (!manifest) return tl::unexpected(manifest.error());
    if (manifest->topic_prefix != configuration_.topic_prefix) {
      return fail(Errc::kInvalid, "the checkpoint was made of the topics " +
                                      manifest->topic_prefix + "*, and VOKETAG_TOPIC_PREFIX is " +
                                      configuration_.topic_prefix);
    }
    auto database = state::Database::open_read_only(*options_.state);
    if (!database) return tl::unexpected(database.error());
    state_ = *std::move(database);
    return {};
  }

  Status replay() {
    auto log = open_kafka(configuration_);
    if (!log) return tl::unexpected(log.error());
    catch_stop_signals();
    signal(SIGPIPE, SIG_IGN);
    const auto processor = factory_->make(name_);
    runtime::ShadowOptions options;
    options.partition = options_.partition;
    options.state = state_.get();
    options.scratch = options_.scratch ? std::filesystem::path(*options_.scratch)
                                       : std::filesystem::temp_directory_path();
    options.configuration_version = factory_->configuration_version();
    const auto began_at = std::chrono::steady_clock::now();
    ProgressLine line(session_.terminal());
    auto report = replay_in_shadow(**log, *processor, options, [&](const auto& progress) {
      line.update(name_ + ": " + std::string(progress.stage), progress.done, progress.total,
                  progress.stage == "shadow" ? "transactions" : "offsets");
      return !stop_requested();
    });
    line.clear();
    if (!report) return tl::unexpected(report.error());
    took_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::steady_clock::now() - began_at)
                   .count();
    report_ = *std::move(report);
    return {};
  }

  // ---- what came of it

  events::Error nothing_to_compare() const {
    const std::string why =
        options_.state ? "the checkpoint stands at the end of the history. Begin at an older one "
                         "(--state DIR), or without --state if the history reaches back to the "
                         "beginning; or wait until " +
                             name_ + " has worked on and try again"
                       : name_ +
                             " has done nothing yet since its history began. Try again when "
                             "it has";
    return {Errc::kNotFound, "nothing to compare: " + why};
  }

  void print_text() {
    std::ostream& out = session_.terminal().output();
    out << "Did " << with_thousands(report_.transactions) << " transactions of " << name_ << " on "
        << report_.partitions.size() << " partitions again: " << with_thousands(report_.records)
        << " records and " << with_thousands(report_.timers) << " timers, in "
        << duration_text(took_ms_) << ".\n\n";
    print_counts();
    print_differences();
    print_configurations();
    out << (report_.is_equal()
                ? "Equal to what was emitted, byte by byte.\n"
                : "Not equal to what was emitted. Nothing was emitted now; the live system is as "
                  "it was.\n");
  }

  void print_counts() {
    using Align = TextTable::Align;
    TextTable table({{"OUTPUTS"}, {"COUNT", Align::kRight}, {"MEANING"}});
    table.add({"equal", with_thousands(report_.equal), "emitted then and now, the same bytes"});
    table.add(
        {"different", with_thousands(report_.different), "emitted then and now, other bytes"});
    table.add({"missing", with_thousands(report_.missing), "emitted now, not then"});
    table.add({"extra", report_.extra ? with_thousands(*report_.extra) : "not told",
               report_.extra ? "emitted then, not now"
                             : "only where every partition begins at the beginning"});
    table.print(session_.terminal().output(), session_.terminal().output_paint());
    session_.terminal().output() << '\n';
  }

  void print_differences() {
    std::ostream& out = session_.terminal().output();
    for (const auto& each : report_.differences) {
      out << to_string(each.kind) << "  " << each.topic << " partition " << each.partition;
      if (each.offset) out << " offset " << *each.offset;
      out << "  id " << escaped(each.id);
      if (!each.detail.empty()) out << "\n  " << escaped(each.detail);
      out << '\n';
    }
    for (const auto& each : report_.unset_timers_shown) {
      out << "timer  " << escaped(each.name) << " of partition " << each.partition
          << " fired in transaction " << each.sequence << ", and is not set now\n";
    }
    const auto all = report_.different + report_.missing + report_.extra.value_or(0);
    const auto shown = static_cast<std::int64_t>(report_.differences.size());
    if (all > shown) out << "... and " << with_thousands(all - shown) << " more outputs\n";
    if (all > 0 || report_.unset_timers > 0) out << '\n';
  }

  bool is_current(const std::string& version) const {
    return version == factory_->configuration_version();
  }

  void print_configurations() {
    std::ostream& out = session_.terminal().output();
    bool others = false;
    for (const auto& [version, transactions] : report_.configurations) {
      if (is_current(version)) continue;
      others = true;
      out << with_thousands(transactions) << " transactions were done under the configuration "
          << escaped(version) << '\n';
    }
    if (!others) return;
    out << "The configuration now is " << factory_->configuration_version()
        << ": outputs may differ for that reason.\n\n";
  }

  void print_json() {
    JsonText json;
    json.begin_object()
        .member("processor", name_)
        .member("is_equal", report_.is_equal())
        .member("transactions", report_.transactions)
        .member("records", report_.records)
        .member("timers", report_.timers)
        .member("took_ms", took_ms_)
        .member("equal", report_.equal)
        .member("different", report_.different)
        .member("missing", report_.missing)
        .member("extra", report_.extra)
        .member("unset_timers", report_.unset_timers)
        .name("configurations")
        .begin_array();
    for (const auto& [version, transactions] : report_.configurations) {
      json.begin_object()
          .member("version", version)
          .member("is_current", is_current(version))
          .member("transactions", transactions)
          .end_object();
    }
    json.end_array().name("partitions").begin_array();
    for (const auto& each : report_.partitions) {
      json.begin_object()
          .member("partition", static_cast<std::int64_t>(each.partition))
          .member("from_state", each.from_state)
          .member("from_sequence", each.from_sequence)
          .member("to_sequence", each.to_sequence)
          .end_object();
    }
    json.end_array().name("differences").begin_array();
    for (const auto& each : report_.differences) {
      json.begin_object()
          .member("kind", to_string(each.kind))
          .member("id", each.id)
          .member("topic", each.topic)
          .member("partition", static_cast<std::int64_t>(each.partition))
          .member("offset", each.offset)
          .member("detail", each.detail)
          .end_object();
    }
    json.end_array().name("unset_timers_shown").begin_array();
    for (const auto& each : report_.unset_timers_shown) {
      json.begin_object()
          .member("name", each.name)
          .member("partition", static_cast<std::int64_t>(each.partition))
          .member("sequence", each.sequence)
          .end_object();
    }
    session_.print(json.end_array().end_object());
  }

  Session& session_;
  const Configuration& configuration_;
  const ProcessorReplayOptions& options_;
  const std::string name_;
  std::unique_ptr<ProcessorFactory> factory_;
  std::unique_ptr<state::Database> state_;
  ShadowReport report_;
  std::int64_t took_ms_ = 0;
};

}  // namespace

ExitCode replay_processor(Session& session, const ProcessorReplayOptions& options) {
  const std::string& name = *options.processor;
  if (std::ranges::find(kProcessorNames, name) == kProcessorNames.end()) {
    const std::vector<std::string> names(kProcessorNames.begin(), kProcessorNames.end());
    const auto meant = nearest_name(name, names);
    return session.report(Errc::kInvalid,
                          "there is no processor '" + name + "'" +
                              (meant ? "; did you mean " + *meant + "?" : std::string(".")) +
                              " The processors are: " + processor_names());
  }
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  return ProcessorReplay(session, **configuration, options).run();
}

}  // namespace voketag::cli
