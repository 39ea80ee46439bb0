#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "connectors/postgres/view_generations.h"
#include "voketag/replay/dry_run.h"
#include "voketag/replay/view_replay.h"
#include "voketag/session.h"

// What `voketag replay` prints, as text or as JSON.
namespace voketag::cli {

inline constexpr std::int64_t kRejectsShown = 20;

struct ReplayStatus {
  std::string view;
  std::int32_t live = 1;
  std::optional<postgres::Generation> unfinished;
  std::string at_work;  // who builds it; empty: nobody
  std::int64_t done = 0;
  std::int64_t total = 0;          // offsets
  std::vector<std::int32_t> kept;  // retired generations whose tables are there
  std::int64_t reject_count = 0;   // of the unfinished or, without one, the live generation
  std::vector<postgres::ListedReject> rejects;  // the first of them
};

events::Result<ReplayStatus> read_replay_status(postgres::ViewGenerations& generations,
                                                const std::string& view);
void print_status(Session& session, const ReplayStatus& status);

void print_result(Session& session, const std::string& view, const ReplayResult& result,
                  const std::vector<postgres::ListedReject>& rejects, std::int64_t reject_count);

void print_dry_run(Session& session, const std::string& view, const DryRunReport& report);

}  // namespace voketag::cli
