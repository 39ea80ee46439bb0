#include "voketag/commands/batch.h"

#include <charconv>
#include <chrono>
#include <ostream>

#include "voketag/batch_display.h"
#include "voketag/commands/command.h"
#include "voketag/commands/commands.h"

namespace voketag::cli {

using events::Errc;
using events::fail;

events::Result<events::Uuid> parse_batch_id(const std::string& text) {
  const auto id = events::Uuid::parse(text);
  if (!id) {
    return fail(Errc::kInvalid, "'" + text +
                                    "' is no batch id: a UUID of 36 characters is needed, "
                                    "for example 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91");
  }
  return *id;
}

events::Result<std::int64_t> parse_duration_ms(const std::string& text) {
  constexpr std::int64_t kDurationMsMax = std::int64_t{30} * 86'400 * 1'000;
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string unit(rest, end);
  double scale = 0;
  if (unit == "ms") scale = 1;
  if (unit.empty() || unit == "s") scale = 1'000;
  if (unit == "m" || unit == "min") scale = 60'000;
  if (unit == "h") scale = 3'600'000;
  const double milliseconds = number * scale;
  if (error != std::errc() || scale == 0 || !(milliseconds > 0) || milliseconds > kDurationMsMax) {
    return fail(Errc::kInvalid, "'" + text + "' is no time to wait; for example 30s, 5m or 2h");
  }
  return static_cast<std::int64_t>(milliseconds);
}

ExitCode print_state(Session& session, const BatchProgress& progress) {
  if (session.json) {
    session.print(JsonText().raw(batch_json(progress)));
  } else {
    print_batch(session.terminal(), progress);
  }
  const auto stage = progress.stage();
  const bool good = stage != BatchProgress::Stage::kFailed &&
                    stage != BatchProgress::Stage::kRefused &&
                    stage != BatchProgress::Stage::kUnknown;
  return good ? ExitCode::kYes : ExitCode::kNo;
}

ExitCode follow_to_end(Session& session, BatchFollower& follower,
                       std::optional<std::int64_t> timeout_ms) {
  using Clock = std::chrono::steady_clock;
  constexpr int kPollMs = 50;
  const auto started = Clock::now();
  BatchDisplay display(session.terminal());
  while (!follower.progress().ended()) {
    display.update(follower.progress());
    if (const auto polled = follower.poll(kPollMs); !polled) {
      display.finish(follower.progress());
      return session.report(polled.error());
    }
    if (!timeout_ms || Clock::now() - started < std::chrono::milliseconds(*timeout_ms)) continue;
    display.finish(follower.progress());
    const bool unknown = follower.progress().stage() == BatchProgress::Stage::kUnknown;
    return session.report(
        Errc::kTimeout,
        "batch " + follower.progress().batch_id() + " has not ended within " +
            duration_text(*timeout_ms) +
            (unknown ? ": nobody has taken up its request. Is `voketag run` up? voketag doctor"
                     : "; it goes on. Look again: voketag batch wait " +
                           follower.progress().batch_id()));
  }
  display.finish(follower.progress());
  return print_state(session, follower.progress());
}

void add_batch(CLI::App& parent, Session& session) {
  CLI::App* batch = parent.add_subcommand("batch", "Request batches of products and look at them");
  batch->require_subcommand(1);
  add_batch_request(*batch, session);
  add_batch_status(*batch, session);
  add_batch_wait(*batch, session);
  add_batch_list(*batch, session);
  add_batch_export(*batch, session);
}

}  // namespace voketag::cli
