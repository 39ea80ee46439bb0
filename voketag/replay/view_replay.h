#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/postgres/postgres_view_sink.h"
#include "connectors/postgres/view_generations.h"
#include "events/error.h"
#include "processors/projection.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/replayer.h"
#include "voketag/replay/replay_start.h"

namespace voketag::cli {

struct ViewReplayOptions {
  std::string started_from = "beginning";
  ReplayStart start;
  bool swap = true;
  bool accept_differences = false;
  bool accept_loss = false;  // of the rows before a partial replay's beginning
  bool keep_retired = false;
  int lock_timeout_ms = 500;
};

// How far a replay is, for who watches.
struct ReplayProgress {
  std::string stage;  // loading, indexing, comparing, swapping
  std::int64_t done = 0;
  std::int64_t total = 0;  // offsets, up to where the live view stands
  std::int64_t records = 0;
  std::int64_t rejects = 0;
  double offsets_per_second = 0;
  std::int64_t left_ms = -1;   // of loading; -1: not known yet
  double index_fraction = -1;  // of the index that is being made, 0 to 1; -1: not known
};

enum class ReplayEnd {
  kSwapped,
  kBuilt,        // equal, or accepted; and no swap was wanted
  kRefused,      // built; `why` tells why it was not swapped
  kInterrupted,  // by a signal, or by somebody's wish to pause: goes on with --resume
  kAborted,      // by somebody's wish
};

struct ReplayResult {
  ReplayEnd end = ReplayEnd::kInterrupted;
  std::string why;
  std::int32_t generation = 0;
  std::int32_t retired = 0;
  ReplayProgress progress;
  bool is_partial = false;
  std::vector<postgres::TableComparison> comparison;
  std::int64_t load_ms = 0;
  std::int64_t index_ms = 0;
  std::int64_t compare_ms = 0;
  std::int64_t frozen_ms = 0;  // how long the live projector stood still for the swap
};

// Builds a generation of one view from the topics, beside the live one: loads, makes the indexes,
// follows the live projector, compares at equal offsets, swaps. Every step can be ended at any
// moment and gone on with: what is committed stands in the database.
class ViewReplay {
 public:
  using Watch = std::function<void(const ReplayProgress&)>;

  // Under the lock of `generations`. `stop`: ends with kInterrupted.
  ViewReplay(runtime::Log& log, processors::Projection& projection,
             postgres::ViewGenerations& generations, const postgres::ConnectionOptions& views,
             ViewReplayOptions options, const std::atomic<bool>& stop, Watch watch);

  // Makes a new generation. An error leaves it as it is, and the live view untouched.
  events::Result<ReplayResult> start(const std::string& program);
  // Goes on with the unfinished one.
  events::Result<ReplayResult> resume(const postgres::Generation& generation);
  // Whether the last error leaves open if the swap was done.
  bool is_swap_unknown() const { return is_swap_unknown_; }

 private:
  events::Result<ReplayResult> build();
  events::Result<bool> load();
  events::Result<bool> make_indexes();
  events::Result<bool> compare();
  events::Result<ReplayResult> swap();
  events::Result<bool> meet();
  events::Status place();
  // Whether to go on; tells the watcher.
  bool go_on();
  void ask();
  void measure(std::span<const std::int64_t> positions);
  events::Result<ReplayResult> interrupted();
  std::string why_not_swapped() const;

  runtime::Log& log_;
  processors::Projection& projection_;
  postgres::ViewGenerations& generations_;
  const postgres::ConnectionOptions views_;
  const ViewReplayOptions options_;
  const std::atomic<bool>& stop_;
  const Watch watch_;

  runtime::SystemClock clock_;
  std::vector<runtime::TopicPartition> partitions_;
  std::vector<std::int64_t> first_;    // offsets
  std::vector<std::int64_t> targets_;  // of the run under way
  std::unique_ptr<postgres::PostgresViewSink> sink_;
  std::optional<postgres::ReplayRejects> rejects_;
  std::unique_ptr<runtime::Replayer> replayer_;
  std::string phase_;
  std::string wish_;
  std::optional<events::Error> lost_;  // why this process is no longer the one to build it
  std::int64_t asked_at_ms_ = 0;
  std::int64_t began_at_ms_ = 0;  // of the rate
  std::int64_t began_done_ = 0;
  std::int64_t frozen_at_ms_ = 0;
  bool is_swap_unknown_ = false;
  ReplayResult result_;
};

}  // namespace voketag::cli
