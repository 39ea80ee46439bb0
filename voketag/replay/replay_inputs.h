#pragma once

#include <span>
#include <vector>

#include "connectors/postgres/view_generations.h"
#include "events/error.h"
#include "processors/projection.h"
#include "runtime/log.h"
#include "voketag/replay/replay_start.h"

namespace voketag::cli {

// All partitions of a projection's inputs.
std::vector<runtime::TopicPartition> input_partitions(const processors::Projection& projection);
// Where they stand.
events::Result<std::vector<ReplayPartition>> survey_partitions(
    runtime::Log& log, postgres::ViewGenerations& generations,
    std::span<const runtime::TopicPartition> partitions);

}  // namespace voketag::cli
