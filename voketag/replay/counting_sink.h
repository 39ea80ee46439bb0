#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/view_sink.h"

namespace voketag::cli {

// A sink that keeps nothing but counts: what a dry run writes into. Begins where it is told.
class CountingSink final : public runtime::ViewSink, private processors::RowWriter {
 public:
  explicit CountingSink(std::vector<runtime::TopicPartitionOffset> first)
      : first_(std::move(first)) {}

  // Rows by view.
  const std::map<std::string, std::int64_t, std::less<>>& rows_of() const { return rows_of_; }
  // Of all values, as the database would get them.
  std::int64_t bytes() const { return bytes_; }

  events::Result<std::vector<std::int64_t>> positions(
      std::span<const runtime::TopicPartition> partitions) override;
  processors::RowWriter& rows() override { return *this; }
  void begin_record(const runtime::TopicPartition& partition, std::int64_t offset) override;
  void drop_record() override;
  void abandon() override;
  std::size_t gathered_bytes() const override { return 0; }
  events::Status commit(std::span<const Advance> advances, RejectHandler& rejects) override;

 private:
  void begin_row(const processors::View& view) override;
  void null() override { count(0); }
  void uuid(const events::Uuid&) override { count(16); }
  void int64(std::int64_t) override { count(8); }
  void text(std::string_view value) override { count(value.size()); }
  void timestamp(events::Timestamp) override { count(8); }
  void hash(const events::Hash&) override { count(64); }
  void numeric(std::string_view decimal) override { count(decimal.size()); }
  void enumeration(std::string_view label) override { count(label.size()); }
  void count(std::size_t bytes) { record_bytes_ += static_cast<std::int64_t>(bytes) + 4; }
  void end_record();

  const std::vector<runtime::TopicPartitionOffset> first_;
  std::map<std::string, std::int64_t, std::less<>> rows_of_;
  std::int64_t bytes_ = 0;
  // Of the record that was begun last.
  std::vector<std::pair<const processors::View*, std::int64_t>> record_rows_;
  std::int64_t record_bytes_ = 0;
};

}  // namespace voketag::cli
