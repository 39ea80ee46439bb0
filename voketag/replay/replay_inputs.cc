#include "voketag/replay/replay_inputs.h"

#include <string>

#include "events/partitioner.h"

namespace voketag::cli {

using events::Result;

std::vector<runtime::TopicPartition> input_partitions(const processors::Projection& projection) {
  std::vector<runtime::TopicPartition> partitions;
  for (const std::string_view topic : projection.inputs()) {
    for (std::int32_t number = 0; number < events::kPartitionCount; ++number) {
      partitions.push_back({std::string(topic), number});
    }
  }
  return partitions;
}

Result<std::vector<ReplayPartition>> survey_partitions(
    runtime::Log& log, postgres::ViewGenerations& generations,
    std::span<const runtime::TopicPartition> partitions) {
  const auto marks = log.watermarks(partitions, runtime::Isolation::kReadCommitted);
  if (!marks) return tl::unexpected(marks.error());
  const auto live = generations.rows().live_positions(partitions);
  if (!live) return tl::unexpected(live.error());
  std::vector<ReplayPartition> survey;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    survey.push_back({partitions[i], (*marks)[i], (*live)[i]});
  }
  return survey;
}

}  // namespace voketag::cli
