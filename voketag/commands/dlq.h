#pragma once

#include <optional>
#include <string>

#include "events/error.h"
#include "voketag/dead_letters.h"
#include "voketag/session.h"

namespace CLI {
class App;
}

// The commands under `voketag dlq`, and what they share.
namespace voketag::cli {

void add_dlq_list(CLI::App& parent, Session& session);
void add_dlq_show(CLI::App& parent, Session& session);
void add_dlq_retry(CLI::App& parent, Session& session);

// The filters as they stand on the command line.
struct DeadLetterFilterOptions {
  std::optional<std::string> topic;
  std::optional<std::string> processor;
  std::optional<std::string> reason;
  std::optional<std::string> since;
  std::optional<std::string> until;
  std::optional<std::int32_t> partition;
  std::optional<std::string> offsets;

  bool any() const {
    return topic || processor || reason || since || until || partition || offsets;
  }
  // kInvalid: one of them is no topic, processor, reason, time or range.
  events::Result<DeadLetterFilter> parse() const;
  // As it was written: "--topic batch-requested --since 2h"; empty: nothing was.
  std::string text() const;

 private:
  events::Status check_names() const;
};
void add_filter_options(CLI::App& command, DeadLetterFilterOptions& options);

// "2026-11-22T14:00:00Z", "2026-11-22", or how long ago: "2h".
events::Result<events::Timestamp> parse_moment(const std::string& text);
events::Timestamp wall_clock_now();

// A dead letter as a JSON object; with its bytes, or without.
void write_json(JsonText& json, const DeadLetter& letter, bool with_bytes);

}  // namespace voketag::cli
