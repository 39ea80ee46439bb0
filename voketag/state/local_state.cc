#include "voketag/state/local_state.h"

#include <algorithm>
#include <charconv>

#include "events/partitioner.h"
#include "runtime/task.h"
#include "voketag/processor_factory.h"

namespace voketag::cli {
namespace {

// docs/formats.md: timer/<due in ms, 20 digits>/<name>
constexpr std::string_view kTimerPrefix = "timer/";
constexpr std::size_t kDueDigits = 20;

}  // namespace

events::Status StateSelection::check() const {
  if (!processor || std::ranges::find(kProcessorNames, *processor) != kProcessorNames.end()) {
    return {};
  }
  return events::fail(events::Errc::kInvalid,
                      "--processor must be ingress, batches, tokens, merkle or anchoring");
}

events::Status for_each_store(state::Database& database, const StateSelection& selection,
                              const StoreVisitor& visit) {
  for (const std::string_view processor : kProcessorNames) {
    if (selection.processor && *selection.processor != processor) continue;
    for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
      if (selection.partition && *selection.partition != partition) continue;
      const auto store = database.open_partition(processor, partition);
      if (auto visited = visit(processor, partition, *store); !visited) return visited;
    }
  }
  return {};
}

std::int64_t PartitionSummary::keys() const {
  std::int64_t sum = 0;
  for (const auto& [name, table] : tables) sum += table.keys;
  return sum;
}

std::int64_t PartitionSummary::bytes() const {
  std::int64_t sum = 0;
  for (const auto& [name, table] : tables) sum += table.bytes;
  return sum;
}

PartitionSummary summarize(const state::PartitionStore& store, std::string_view processor,
                           std::int32_t partition) {
  PartitionSummary summary;
  summary.processor = std::string(processor);
  summary.partition = partition;
  summary.position = runtime::read_store_position(store);
  summary.next_timer = next_timer(store);
  store.scan("", [&](std::string_view key, std::string_view value) {
    auto& table = summary.tables[std::string(key.substr(0, key.find('/')))];
    ++table.keys;
    table.bytes += static_cast<std::int64_t>(key.size() + value.size());
    return true;
  });
  return summary;
}

std::optional<NextTimer> next_timer(const state::PartitionStore& store) {
  const auto key = store.first_key(kTimerPrefix);
  if (!key || key->size() <= kTimerPrefix.size() + kDueDigits) return std::nullopt;
  const std::string_view digits = std::string_view(*key).substr(kTimerPrefix.size(), kDueDigits);
  NextTimer timer;
  const auto [rest, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), timer.due.ms);
  if (error != std::errc() || rest != digits.data() + digits.size()) return std::nullopt;
  timer.name = key->substr(kTimerPrefix.size() + kDueDigits + 1);
  return timer;
}

}  // namespace voketag::cli
