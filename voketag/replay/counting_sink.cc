#include "voketag/replay/counting_sink.h"

#include <algorithm>

namespace voketag::cli {

events::Result<std::vector<std::int64_t>> CountingSink::positions(
    std::span<const runtime::TopicPartition> partitions) {
  std::vector<std::int64_t> offsets;
  for (const auto& partition : partitions) {
    const auto found = std::find_if(first_.begin(), first_.end(), [&](const auto& first) {
      return first.topic == partition.topic && first.partition == partition.partition;
    });
    offsets.push_back(found == first_.end() ? 0 : found->offset);
  }
  return offsets;
}

void CountingSink::begin_record(const runtime::TopicPartition&, std::int64_t) {
  end_record();
}

void CountingSink::drop_record() {
  record_rows_.clear();
  record_bytes_ = 0;
}

void CountingSink::abandon() {
  drop_record();
}

events::Status CountingSink::commit(std::span<const Advance>, RejectHandler&) {
  end_record();
  return {};
}

void CountingSink::begin_row(const processors::View& view) {
  record_bytes_ += 2;
  if (record_rows_.empty() || record_rows_.back().first != &view)
    record_rows_.push_back({&view, 0});
  ++record_rows_.back().second;
}

void CountingSink::end_record() {
  for (const auto& [view, count] : record_rows_) rows_of_[std::string(view->name)] += count;
  bytes_ += record_bytes_;
  drop_record();
}

}  // namespace voketag::cli
