#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "runtime/log.h"
#include "state/partition_store.h"

namespace voketag::cli {

enum class DifferenceKind {
  kMissing,    // the changelog has the key, the state lacks it
  kExtra,      // the state has the key, the changelog lacks it or says that it was erased
  kDifferent,  // both have it, with other values
};
std::string_view to_string(DifferenceKind kind);

struct StateDifference {
  DifferenceKind kind = DifferenceKind::kDifferent;
  std::string key;
  // Of the changelog's last record of the key; none: it has none.
  std::optional<std::int64_t> changelog_offset;
};

struct PartitionVerdict {
  std::string processor;
  std::int32_t partition = 0;
  std::int64_t changelog_offset = 0;  // how far the state goes
  std::int64_t changelog_end = 0;     // how far the changelog went when it was looked at
  // What is wrong with the state as a whole, so that its keys were not compared.
  std::optional<std::string> fault;
  std::int64_t keys = 0;  // found equal
  std::int64_t missing = 0;
  std::int64_t extra = 0;
  std::int64_t different = 0;
  // Keys that were written again behind the state's position, and are not as they were before: a
  // compacted log no longer says what they were at that position. A restore overwrites them.
  std::int64_t left_out = 0;
  std::vector<StateDifference> examples;  // the first of them, kDifferenceExamplesMax at most

  bool equal() const { return !fault && missing == 0 && extra == 0 && different == 0; }
};

inline constexpr std::size_t kDifferenceExamplesMax = 20;

// Told how many of how many changelog offsets are read; false: end.
using VerifyProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

// Holds the state of a partition against its changelog, key by key. The changelog's last values are
// gathered in a RocksDB database of their own below `scratch` (hash and offset, about 50 bytes and
// the key's for each key), so that memory stays bounded; it is removed afterwards.
//
// The state may be that of a running process, opened to be read: what is committed behind its
// position meanwhile is told apart. May throw state::Failure when the state cannot be read.
class ChangelogVerifier {
 public:
  ChangelogVerifier(runtime::Log& log, std::filesystem::path scratch)
      : log_(log), scratch_(std::move(scratch)) {}

  // nullopt: nothing is kept of this partition. kUnavailable: the changelog cannot be read;
  // kTimeout: progress said that it shall end.
  events::Result<std::optional<PartitionVerdict>> verify(const state::PartitionStore& store,
                                                         std::string_view processor,
                                                         std::int32_t partition,
                                                         const VerifyProgress& progress);

 private:
  runtime::Log& log_;
  const std::filesystem::path scratch_;
};

}  // namespace voketag::cli
