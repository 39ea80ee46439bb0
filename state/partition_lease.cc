#include "state/partition_lease.h"

namespace voketag::state {

PartitionLease::PartitionLease(PartitionLeases& leases, Partition partition)
    : leases_(leases), partition_(std::move(partition)) {}

PartitionLease::~PartitionLease() {
  const std::lock_guard lock(leases_.mutex_);
  const auto line = leases_.lines_.find(partition_);
  std::erase(line->second, this);
  if (line->second.empty()) leases_.lines_.erase(line);
}

bool PartitionLease::granted() const {
  const std::lock_guard lock(leases_.mutex_);
  return leases_.lines_.at(partition_).front() == this;
}

bool PartitionLease::wanted() const {
  const std::lock_guard lock(leases_.mutex_);
  return leases_.lines_.at(partition_).back() != this;
}

std::unique_ptr<PartitionLease> PartitionLeases::request(std::string_view processor,
                                                         std::int32_t partition) {
  std::unique_ptr<PartitionLease> lease(
      new PartitionLease(*this, {std::string(processor), partition}));
  const std::lock_guard lock(mutex_);
  lines_[lease->partition_].push_back(lease.get());
  return lease;
}

std::unique_ptr<PartitionLease> PartitionLeases::request_if_free(std::string_view processor,
                                                                 std::int32_t partition) {
  const std::lock_guard lock(mutex_);
  auto& line = lines_[{std::string(processor), partition}];
  if (!line.empty()) return nullptr;
  std::unique_ptr<PartitionLease> lease(
      new PartitionLease(*this, {std::string(processor), partition}));
  line.push_back(lease.get());
  return lease;
}

}  // namespace voketag::state
