#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "events/error.h"
#include "events/timestamp.h"
#include "runtime/position.h"
#include "state/database.h"
#include "state/partition_store.h"

// What an instance keeps on its own disk, for those who look into it.
namespace voketag::cli {

// Which partitions of which processors; none given: all.
struct StateSelection {
  std::optional<std::string> processor;
  std::optional<std::int32_t> partition;

  bool is_all() const { return !processor && !partition; }
  // kInvalid: there is no such processor.
  events::Status check() const;
};

// Calls `visit` for each selected partition, by processor in the order of the main job, then by
// number, until it fails. Partitions of which nothing is kept are among them.
using StoreVisitor = std::function<events::Status(
    std::string_view processor, std::int32_t partition, state::PartitionStore& store)>;
events::Status for_each_store(state::Database& database, const StateSelection& selection,
                              const StoreVisitor& visit);

struct NextTimer {
  events::Timestamp due;
  std::string name;
};

// What is kept of one partition.
struct PartitionSummary {
  struct Table {
    std::int64_t keys = 0;
    std::int64_t bytes = 0;  // of keys and values; RocksDB takes more or less
  };

  std::string processor;
  std::int32_t partition = 0;
  std::optional<runtime::StorePosition> position;  // none: absent or damaged
  std::optional<NextTimer> next_timer;
  std::map<std::string, Table> tables;

  std::int64_t keys() const;
  std::int64_t bytes() const;
  bool empty() const { return !position && tables.empty(); }
};

// Reads all of the partition. May throw state::Failure.
PartitionSummary summarize(const state::PartitionStore& store, std::string_view processor,
                           std::int32_t partition);

// The next timer that is set; none: none is.
std::optional<NextTimer> next_timer(const state::PartitionStore& store);

}  // namespace voketag::cli
