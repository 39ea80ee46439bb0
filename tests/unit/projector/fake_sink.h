#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/view_sink.h"

// A database in memory: one column of text. A test decides which rows it refuses and how a commit
// ends. Several sinks may share one.
namespace voketag::runtime {

struct FakeDatabase {
  std::map<TopicPartition, std::int64_t> positions;
  std::vector<std::string> rows;
};

class FakeSink final : public ViewSink, private processors::RowWriter {
 public:
  enum class Outcome { kDone, kAway, kAwayButDone, kFatal };

  explicit FakeSink(FakeDatabase& database) : database_(database) {}

  std::set<std::string> refused;
  Outcome next_outcome = Outcome::kDone;
  events::Status positions_status;
  int positions_asked = 0;
  std::vector<std::size_t> committed_rows;  // per commit
  std::function<void()> before_commit;

  events::Result<std::vector<std::int64_t>> positions(
      std::span<const TopicPartition> partitions) override {
    ++positions_asked;
    if (!positions_status) return tl::unexpected(positions_status.error());
    std::vector<std::int64_t> offsets;
    for (const auto& partition : partitions) offsets.push_back(database_.positions[partition]);
    return offsets;
  }

  RowWriter& rows() override { return *this; }
  void begin_record(const TopicPartition& partition, std::int64_t offset) override {
    records_.push_back({partition, offset, {}});
  }
  void drop_record() override { records_.back().rows.clear(); }
  void abandon() override { records_.clear(); }
  std::size_t gathered_bytes() const override {
    std::size_t bytes = 0;
    for (const auto& record : records_) {
      for (const auto& row : record.rows) bytes += row.size();
    }
    return bytes;
  }

  events::Status commit(std::span<const Advance> advances, RejectHandler& rejects) override {
    const auto records = std::exchange(records_, {});
    if (before_commit) before_commit();
    std::vector<Rejected> rejected;
    std::vector<std::string> accepted;
    for (const auto& record : records) {
      const bool is_refused = std::any_of(record.rows.begin(), record.rows.end(),
                                          [&](const auto& row) { return refused.contains(row); });
      if (is_refused) {
        rejected.push_back({record.partition, record.offset, "refused"});
      } else {
        accepted.insert(accepted.end(), record.rows.begin(), record.rows.end());
      }
    }
    if (!rejected.empty()) {
      if (auto handled = rejects.on_rejected(rejected); !handled) return handled;
    }
    return finish(advances, accepted);
  }

 private:
  struct Record {
    TopicPartition partition;
    std::int64_t offset = 0;
    std::vector<std::string> rows;
  };

  events::Status finish(std::span<const Advance> advances, const std::vector<std::string>& rows) {
    const Outcome outcome = std::exchange(next_outcome, Outcome::kDone);
    if (outcome == Outcome::kAway) return events::fail(events::Errc::kUnavailable, "away");
    if (outcome == Outcome::kFatal) return events::fail(events::Errc::kInternal, "no such table");
    for (const auto& advance : advances) {
      if (database_.positions[advance.partition] != advance.from) {
        return events::fail(events::Errc::kFenced, "moved by another");
      }
    }
    for (const auto& advance : advances) database_.positions[advance.partition] = advance.to;
    database_.rows.insert(database_.rows.end(), rows.begin(), rows.end());
    committed_rows.push_back(rows.size());
    if (outcome == Outcome::kAwayButDone) return events::fail(events::Errc::kUnavailable, "cut");
    return {};
  }

  void begin_row(const processors::View&) override {}
  void null() override {}
  void uuid(const events::Uuid&) override {}
  void int64(std::int64_t) override {}
  void text(std::string_view value) override { records_.back().rows.emplace_back(value); }
  void timestamp(events::Timestamp) override {}
  void hash(const events::Hash&) override {}
  void numeric(std::string_view) override {}
  void enumeration(std::string_view) override {}

  FakeDatabase& database_;
  std::vector<Record> records_;
};

}  // namespace voketag::runtime
