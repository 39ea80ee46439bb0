#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/record.h"
#include "events/timestamp.h"
#include "runtime/clock.h"
#include "runtime/log.h"

namespace voketag::runtime {

// A clock that stands still until it is told otherwise. Not thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(events::Timestamp start = {1'700'000'000'000}) : now_(start) {}
  events::Timestamp now() const override { return now_; }
  Moment moment() const override { return moment_; }
  void advance(std::int64_t ms) {
    now_.ms += ms;
    moment_.ms += ms;
  }
  // Somebody sets the time of day.
  void set(events::Timestamp now) { now_ = now; }

 private:
  events::Timestamp now_;
  Moment moment_{1'000'000'000'000};
};

// The clock of a machine whose time of day is not that of the others.
class DeviatingClock final : public Clock {
 public:
  explicit DeviatingClock(const Clock& right) : right_(right) {}
  events::Timestamp now() const override { return {right_.now().ms + ahead_ms_}; }
  Moment moment() const override { return right_.moment(); }
  void set_ahead(std::int64_t ms) { ahead_ms_ = ms; }

 private:
  const Clock& right_;
  std::int64_t ahead_ms_ = 0;
};

// Thrown out of a commit where a simulated process dies in the middle of it. No std::exception, so
// that nobody between commit and test driver takes it for an error to be handled.
struct SimulatedCrash {};

// What may go wrong, each as the probability that it does on one occasion. All zero: nothing does.
struct MemoryLogFaults {
  double commit_unknown = 0;   // kUnknown; the commit took effect or did not, half and half
  double commit_aborted = 0;   // kAborted
  double commit_fatal = 0;     // kFatal
  double commit_troubled = 0;  // committed, and the producer must be replaced
  double commit_crash = 0;     // SimulatedCrash, before or after the commit was decided
  double commit_fenced = 0;  // kFenced, as if for another partition's sake; with effect or without
  double request_late = 0;   // of commits that are unknown or end in a crash, without effect so
                             // far: the request arrives up to two seconds later all the same
  double paused = 0;         // the process stands still within a call: see MemoryLog::on_pause
  double marker_slow = 0;    // one marker comes late, by up to marker_slow_ms_max
  std::int64_t marker_slow_ms_max = 400;
  double write_failed = 0;       // of a plain producer; the records are there or not
  double call_failed = 0;        // join, open_producer, committed, watermarks: kUnavailable
  double membership_failed = 0;  // Membership::poll
  double fetch_short = 0;        // a poll brings fewer records than there are, or none
};

struct MemoryLogOptions {
  std::uint64_t seed = 1;
  MemoryLogFaults faults;
  std::int64_t session_timeout_ms = 6'000;
  std::int64_t transaction_timeout_ms = 10'000;
};

// A Kafka cluster in memory, for the test driver: the same promises and the same traps, but
// single-threaded, on a clock that the test moves, and the same for the same seed.
//
//  - A topic is there when it is named, with 12 partitions. A transaction's marker takes an offset
//    of its own. A read_committed reader sees nothing at or beyond the first record of a
//    transaction that is not settled in that partition, and no record of an aborted one.
//  - A commit is decided at once; its marker reaches each partition, and the group's offsets, at
//    moments of their own. Until then those group offsets are unstable.
//  - open_producer raises the id's epoch: the older producer is fenced; a transaction that it left
//    is completed if it was decided, else aborted, before the call returns. A transaction that
//    stays open for longer than its timeout is aborted, and its producer fenced. A request to
//    commit that arrives late ends whatever is open of its id and epoch.
//  - A member that is not polled within the session timeout is expelled; it learns so at its next
//    poll (on_lost), and offsets that it commits meanwhile are refused. Assignment is cooperative
//    and sticky: what moves is revoked first, and given to its new owner one generation later.
//  - A group that has had no member for a week has no offsets.
//  - Destroying a client is a crash: nothing is committed, aborted or left.
//
// Not thread-safe. Clients must not outlive the log.
class MemoryLog final : public Log {
 public:
  explicit MemoryLog(const Clock& clock, MemoryLogOptions options = {});
  ~MemoryLog() override;

  // ---- Log
  events::Result<std::unique_ptr<Membership>> join(std::string_view group,
                                                   std::string_view topic) override;
  events::Result<std::unique_ptr<Membership>> resume(std::string_view group,
                                                     std::string_view identity) override;
  events::Result<std::unique_ptr<Fetcher>> open_fetcher(Isolation isolation) override;
  events::Result<std::unique_ptr<TransactionalProducer>> open_producer(
      std::string_view transactional_id) override;
  events::Result<std::unique_ptr<Producer>> open_plain_producer() override;
  events::Result<GroupOffsets> committed(std::string_view group,
                                         std::span<const TopicPartition> partitions) override;
  using Log::watermarks;
  events::Result<std::vector<Watermarks>> watermarks(std::span<const TopicPartition> partitions,
                                                     Isolation isolation) override;
  events::Status commit_hint(const Membership& member,
                             std::span<const TopicPartitionOffset> positions) override;

  // ---- what a test does to it

  // Writes as an outsider would, outside of any transaction; the partition comes from the key where
  // the record names none. `timestamp`: the broker's, now if not given. Returns the offset.
  std::int64_t append(const events::OutputRecord& record,
                      std::optional<events::Timestamp> timestamp = {});

  void set_faults(const MemoryLogFaults& faults);
  const MemoryLogFaults& faults() const;
  // What becomes of the next commit of this transactional id, once. `took_effect` matters for
  // kUnknown, and for kFenced: the answer was lost, somebody initialised the id, and the client's
  // repeated request was refused.
  void script_commit(std::string transactional_id, CommitOutcome outcome, bool took_effect = false);
  // The next commit of this id ends in a SimulatedCrash, before or after it was decided.
  void script_crash(std::string transactional_id, bool after_decision);
  // Called where a process is to stand still in the middle of a call (MemoryLogFaults::paused):
  // between the requests of a commit, or before a producer is opened. Whatever others are to do
  // meanwhile, it does.
  void on_pause(std::function<void()> action);
  // Time has passed (on the test's clock), and whoever is a member has polled meanwhile: nobody has
  // stood still.
  void keep_members();
  // Markers for this topic, or this group's offsets, come so much later from now on.
  void delay_markers(std::string topic_or_group, std::int64_t delay_ms);

  // Compacts as a broker would: of the records that are settled the last of each key stays, if it
  // is no tombstone that has become a week old, and the partition's last record.
  void compact(std::string_view topic);
  // Retention: everything before the offset goes.
  void delete_before(const TopicPartition& partition, std::int64_t offset);
  void set_group_offset(std::string_view group, const TopicPartition& partition,
                        std::int64_t offset);

  // ---- what a test may look at

  struct Record {
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    events::Timestamp timestamp;
    std::optional<std::string> key;
    std::optional<std::string> value;
    events::Headers headers;

    std::optional<std::string> header(std::string_view name) const;
  };
  // What a read_committed reader finds in a topic, by partition and offset.
  std::vector<Record> records(std::string_view topic) const;
  // The offset of the first of them that is not before `from` in its partition; none: no more.
  std::optional<std::int64_t> next_record(const TopicPartition& partition, std::int64_t from) const;
  // The same as records(), without copying them.
  void for_each_record(std::string_view topic,
                       const std::function<void(std::int32_t partition,
                                                const events::OutputRecord& record)>& visit) const;
  std::vector<std::string> topics() const;
  // Whether no transaction is open and every marker is written.
  bool settled() const;
  // How often commits with input offsets ended in which way other than well, for tests that ask
  // whether anything was disturbed.
  const std::map<std::string, int>& disturbed_commits() const;
  // How many generations a group has had.
  std::int32_t generation(std::string_view group) const;
  // How often this id was initialised.
  std::int32_t epoch(std::string_view transactional_id) const;

  class Broker;  // memory_broker.h: for its clients only

 private:
  std::unique_ptr<Broker> broker_;
};

}  // namespace voketag::runtime
