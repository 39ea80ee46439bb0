#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/clock.h"
#include "runtime/log.h"

// A log in memory for one projector at a time, whose faults a test decides.
namespace voketag::runtime {

class FakeClock final : public Clock {
 public:
  events::Timestamp now() const override { return now_; }
  Moment moment() const override { return moment_; }
  void advance(std::int64_t ms) {
    now_.ms += ms;
    moment_.ms += ms;
  }
  // Somebody sets the time of day.
  void set(events::Timestamp now) { now_ = now; }

 private:
  events::Timestamp now_{1'000'000};
  Moment moment_{1'000'000};
};

class FakeLog final : public Log {
 public:
  // One rebalance: delivered by the next poll.
  enum class Change { kAssign, kRevoke, kLose };
  struct Rebalance {
    Change change;
    std::vector<std::int32_t> partitions;
  };

  // Appends a record; its offset. Without a value: a transaction marker, which nobody is given.
  std::int64_t append(const std::string& topic, std::int32_t partition,
                      std::optional<std::string> value) {
    auto& records = topics_[{topic, partition}].records;
    records.push_back(std::move(value));
    return static_cast<std::int64_t>(records.size()) - 1;
  }
  void delete_before(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    topics_[{topic, partition}].low = offset;
  }

  std::deque<Rebalance> rebalances;
  std::vector<events::OutputRecord> written;  // by plain producers
  events::Status write_status;
  events::Status join_status;
  events::Status membership_status;
  std::vector<TopicPartitionOffset> hints;
  std::string former_identity;  // whom resume() knows
  int joins = 0;
  bool left = false;
  std::set<TopicPartition> fetched;  // what is being read now
  std::function<void()> before_write;

  events::Result<std::unique_ptr<Membership>> join(std::string_view group,
                                                   std::string_view topic) override {
    if (!join_status) return tl::unexpected(join_status.error());
    ++joins;
    group_ = group;
    group_topic_ = topic;
    return std::make_unique<Member>(*this);
  }
  events::Result<std::unique_ptr<Membership>> resume(std::string_view,
                                                     std::string_view identity) override {
    if (identity != former_identity) return nullptr;
    return std::make_unique<Member>(*this);
  }
  events::Result<std::unique_ptr<Fetcher>> open_fetcher(Isolation) override {
    return std::make_unique<Reader>(*this);
  }
  events::Result<std::unique_ptr<TransactionalProducer>> open_producer(std::string_view) override {
    return events::fail(events::Errc::kInternal, "a projector needs no transactions");
  }
  events::Result<std::unique_ptr<Producer>> open_plain_producer() override {
    return std::make_unique<Writer>(*this);
  }
  events::Result<GroupOffsets> committed(std::string_view,
                                         std::span<const TopicPartition>) override {
    return events::fail(events::Errc::kInternal, "a projector asks its sink");
  }
  events::Result<std::vector<Watermarks>> watermarks(std::span<const TopicPartition>,
                                                     Isolation) override {
    return events::fail(events::Errc::kInternal, "not needed");
  }
  events::Status commit_hint(const Membership&,
                             std::span<const TopicPartitionOffset> positions) override {
    hints.assign(positions.begin(), positions.end());
    return {};
  }

  const std::string& group() const { return group_; }
  const std::string& group_topic() const { return group_topic_; }

 private:
  struct Partition {
    std::int64_t low = 0;
    std::deque<std::optional<std::string>> records;  // a deque: views stay valid while it grows
  };

  class Member final : public Membership {
   public:
    explicit Member(FakeLog& log) : log_(log) {}
    events::Status poll(RebalanceListener& listener) override {
      while (!log_.rebalances.empty()) {
        const Rebalance rebalance = log_.rebalances.front();
        log_.rebalances.pop_front();
        deliver(rebalance, listener);
      }
      return log_.membership_status;
    }
    std::string identity() const override { return "1 member"; }
    void leave(RebalanceListener& listener) override {
      listener.on_revoked(std::vector<std::int32_t>(owned_.begin(), owned_.end()));
      log_.left = true;
    }

   private:
    void deliver(const Rebalance& rebalance, RebalanceListener& listener) {
      switch (rebalance.change) {
        case Change::kAssign:
          owned_.insert(rebalance.partitions.begin(), rebalance.partitions.end());
          listener.on_assigned(rebalance.partitions);
          return listener.on_generation();
        case Change::kRevoke:
          listener.on_revoked(rebalance.partitions);
          break;
        case Change::kLose:
          listener.on_lost(rebalance.partitions);
          break;
      }
      for (const auto partition : rebalance.partitions) owned_.erase(partition);
    }
    FakeLog& log_;
    std::set<std::int32_t> owned_;
  };

  class Reader final : public Fetcher {
   public:
    explicit Reader(FakeLog& log) : log_(log) {}
    ~Reader() override { log_.fetched.clear(); }
    events::Status assign(const TopicPartition& partition, std::int64_t offset) override {
      positions_[partition] = offset;
      log_.fetched.insert(partition);
      return {};
    }
    void unassign(const TopicPartition& partition) override {
      positions_.erase(partition);
      log_.fetched.erase(partition);
    }
    events::Status poll(FetchBatch& batch, int, std::size_t records_max) override {
      batch.clear();
      for (auto& [partition, next] : positions_) read(partition, next, batch, records_max);
      return {};
    }

   private:
    void read(const TopicPartition& partition, std::int64_t& next, FetchBatch& batch,
              std::size_t records_max) {
      // Records name the log's own copy of the topic, which outlives this reader's positions.
      auto& [name, source] = *log_.topics_.try_emplace(partition).first;
      const auto end = static_cast<std::int64_t>(source.records.size());
      if (next < source.low || next > end) {
        batch.out_of_range.push_back({partition.topic, partition.partition, next});
        return;
      }
      while (next < end && batch.records.size() < records_max) {
        const auto& value = source.records[static_cast<std::size_t>(next)];
        if (value) {
          events::RecordView record;
          record.topic = name.topic;
          record.partition = partition.partition;
          record.offset = next;
          record.key = "key";
          record.value = *value;
          batch.records.push_back(record);
        }
        ++next;
      }
      if (next == end) batch.ends.push_back({partition.topic, partition.partition, next});
    }
    FakeLog& log_;
    std::map<TopicPartition, std::int64_t> positions_;
  };

  class Writer final : public Producer {
   public:
    explicit Writer(FakeLog& log) : log_(log) {}
    events::Status write(std::span<const events::OutputRecord> records) override {
      if (log_.before_write) log_.before_write();
      if (!log_.write_status) return log_.write_status;
      log_.written.insert(log_.written.end(), records.begin(), records.end());
      return {};
    }

   private:
    FakeLog& log_;
  };

  std::map<TopicPartition, Partition> topics_;
  std::string group_;
  std::string group_topic_;
};

}  // namespace voketag::runtime
