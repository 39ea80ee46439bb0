#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/connection.h"
#include "events/error.h"
#include "runtime/log.h"

namespace voketag::postgres {

// A generation of a projection's views that is being built, or was, as its row tells.
struct Generation {
  std::int32_t number = 0;
  std::string state;         // building, live, retired, dropped
  std::string phase;         // loading, indexing, built
  std::string started_from;  // as it was asked for
  bool is_partial = false;   // it lacks rows of records before those it began with
  std::string wish;          // pause, abort, or nothing
  std::string begun_at;      // RFC 3339
  std::string changed_at;
};

// What a generation that is to be built begins with.
struct GenerationPlan {
  std::string started_from;
  bool is_partial = false;
  std::string program;
  std::vector<runtime::TopicPartitionOffset> from;
};

// Where a partition begins in a new generation, and how far it is.
struct GenerationPosition {
  runtime::TopicPartition partition;
  std::int64_t first_offset = 0;
  std::int64_t next_offset = 0;
};

// What the database says of the generations of one projection: the rows of
// voketag.projection_generations and voketag.projection_positions. Lives no longer than the
// connection and the name that it is given.
class GenerationRows {
 public:
  GenerationRows(Connection& connection, std::string_view projection)
      : connection_(connection), projection_(projection) {}

  events::Result<std::int32_t> live();
  events::Result<std::optional<Generation>> unfinished();
  // Retired ones that are not kept (or all): their numbers.
  events::Result<std::vector<std::int32_t>> retired(bool kept_too);
  // Positions of the live generation, 0 where it has not begun.
  events::Result<std::vector<std::int64_t>> live_positions(
      std::span<const runtime::TopicPartition> partitions);
  events::Result<std::vector<GenerationPosition>> positions(std::int32_t generation);

  events::Status set_phase(std::int32_t generation, std::string_view phase);
  // Asks the process that builds it to "pause" or to "abort".
  events::Status wish(std::int32_t generation, std::string_view wish);
  events::Result<std::string> wish_of(std::int32_t generation);
  // A wish that is older than this process is not meant for it.
  events::Status forget_old_wish(std::int32_t generation);

  // ---- parts of a transaction that is open on the connection

  // The row and the positions of a new generation.
  Outcome<Generation> insert(const GenerationPlan& plan);
  // Locks the rows of the live positions, so that nobody moves them, and reads them.
  struct LivePositions {
    std::int32_t generation = 0;
    std::vector<std::int64_t> offsets;
  };
  Outcome<LivePositions> lock_live_positions(std::span<const runtime::TopicPartition> partitions);
  // Whether it stands where the live one, `live`, does.
  Outcome<bool> stands_at_live_positions(std::int32_t live, std::int32_t generation);
  // kFenced: it is no longer being built.
  Outcome<void> make_live(std::int32_t generation, std::int32_t retired, bool keep_retired);
  // kFatal: it is neither being built nor retired.
  Outcome<void> make_dropped(std::int32_t generation);

 private:
  Outcome<Generation> insert_generation(const GenerationPlan& plan);

  Connection& connection_;
  const std::string_view projection_;
};

}  // namespace voketag::postgres
