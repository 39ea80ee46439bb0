#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "connectors/postgres/view_generations.h"
#include "events/error.h"
#include "processors/projection.h"
#include "runtime/log.h"
#include "runtime/replayer.h"
#include "voketag/replay/replay_start.h"
#include "voketag/replay/view_replay.h"

namespace voketag::cli {

struct DryRunReport {
  bool complete = false;  // false: a signal ended it
  bool is_partial = false;
  std::string obstacle;  // why a replay would be refused; empty: it would not
  std::int64_t records = 0;
  std::map<std::string, std::int64_t, std::less<>> rows;  // by table
  std::int64_t bytes = 0;                                 // of the rows
  std::int64_t live_bytes = 0;  // of the live tables with their indexes, on disk
  std::int64_t elapsed_ms = 0;
  std::int64_t estimated_ms = 0;  // of a replay
  std::int64_t reject_count = 0;
  std::vector<runtime::ReplayReject> rejects;  // the first of them
};

// Reads and projects what a replay would, up to where the live view stands, and writes nothing
// anywhere.
events::Result<DryRunReport> run_dry(runtime::Log& log, processors::Projection& projection,
                                     postgres::ViewGenerations& generations,
                                     const ReplayStart& start, const std::atomic<bool>& stop,
                                     const ViewReplay::Watch& watch);

}  // namespace voketag::cli
