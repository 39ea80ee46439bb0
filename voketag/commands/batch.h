#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "events/error.h"
#include "events/uuid.h"
#include "voketag/batch_follower.h"
#include "voketag/session.h"

namespace CLI {
class App;
}

// The commands under `voketag batch`, and what they share.
namespace voketag::cli {

void add_batch_request(CLI::App& parent, Session& session);
void add_batch_status(CLI::App& parent, Session& session);
void add_batch_wait(CLI::App& parent, Session& session);
void add_batch_list(CLI::App& parent, Session& session);
void add_batch_export(CLI::App& parent, Session& session);

events::Result<events::Uuid> parse_batch_id(const std::string& text);

// "90", "90s", "5m", "2h": a time in milliseconds.
events::Result<std::int64_t> parse_duration_ms(const std::string& text);

// Follows a batch to its end, showing how it comes on, and says how it ended.
ExitCode follow_to_end(Session& session, BatchFollower& follower,
                       std::optional<std::int64_t> timeout_ms);

// Says where a batch is; the exit code is kNo where it failed or was refused.
ExitCode print_state(Session& session, const BatchProgress& progress);

}  // namespace voketag::cli
