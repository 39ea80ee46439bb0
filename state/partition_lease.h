#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace voketag::state {

class PartitionLeases;

// The right to work on the store of one partition. One in the process has it at a time: whoever
// asks while somebody else has it stands in line, and has it once all before have destroyed theirs.
//
// Thread-safe, but for its destruction. Must not outlive its PartitionLeases.
class PartitionLease {
 public:
  ~PartitionLease();
  PartitionLease(const PartitionLease&) = delete;
  PartitionLease& operator=(const PartitionLease&) = delete;

  // Whether nobody is before this one in the line.
  bool granted() const;
  // Whether somebody stands behind this one.
  bool wanted() const;

  const std::string& processor() const { return partition_.first; }
  std::int32_t partition() const { return partition_.second; }

 private:
  friend class PartitionLeases;
  using Partition = std::pair<std::string, std::int32_t>;
  PartitionLease(PartitionLeases& leases, Partition partition);

  PartitionLeases& leases_;
  const Partition partition_;
};

// The lines of all partitions of one database. Thread-safe.
class PartitionLeases {
 public:
  // Stands in line, behind whoever does already.
  std::unique_ptr<PartitionLease> request(std::string_view processor, std::int32_t partition);
  // Null where the line is not empty.
  std::unique_ptr<PartitionLease> request_if_free(std::string_view processor,
                                                  std::int32_t partition);

 private:
  friend class PartitionLease;
  mutable std::mutex mutex_;
  std::map<PartitionLease::Partition, std::deque<const PartitionLease*>> lines_;
};

}  // namespace voketag::state
