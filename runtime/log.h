#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/error.h"
#include "events/record.h"

// What the engine needs of a log. connectors/kafka implements it on a Kafka cluster, memory_log.h
// in memory for the test driver. Topic names are without the configurable prefix; the connector
// adds it. Every call that may block is bounded by its implementation's timeouts.
namespace voketag::runtime {

struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

struct TopicPartitionOffset {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  auto operator<=>(const TopicPartitionOffset&) const = default;
};

enum class Isolation { kReadCommitted, kReadUncommitted };

// ---- membership: who owns what --------------------------------------------------------------

// Told what a member of a consumer group gains and loses. Called from within Membership::poll and
// Membership::leave, on their thread. Partition numbers are of the group's topic.
class RebalanceListener {
 public:
  virtual ~RebalanceListener() = default;
  virtual void on_assigned(std::span<const std::int32_t> partitions) = 0;
  // Still the owner while this runs: commit what is open.
  virtual void on_revoked(std::span<const std::int32_t> partitions) = 0;
  // No longer the owner: another may already be at work. Drop what is open.
  virtual void on_lost(std::span<const std::int32_t> partitions) = 0;
  // The group has begun a generation, with or without a change for this member; called last.
  virtual void on_generation() {}
};

// One member of a consumer group that subscribes to one topic, for its assignment alone (it
// fetches nothing; see Fetcher). Keeps its membership by a thread of its own as long as poll is
// called at least every few seconds. Not thread-safe.
class Membership {
 public:
  virtual ~Membership() = default;
  // Serves rebalances; never blocks longer than the listener does. An error is fatal for this
  // member: destroy it and join again.
  virtual events::Status poll(RebalanceListener& listener) = 0;
  // Leaves the group at once, after on_revoked for all that is owned.
  virtual void leave(RebalanceListener& listener) = 0;
  // What Log::resume takes after a crash; empty: this is no member at the moment. It names the
  // group's generation, so it is another one after each rebalance.
  virtual std::string identity() const = 0;
};

// ---- reading --------------------------------------------------------------------------------

// What one poll brought. Views stay valid until the batch is cleared or passed to poll again.
class FetchBatch {
 public:
  std::vector<events::RecordView> records;  // per partition in order of offsets
  // Partitions that were read to their end; the offset is the next one to come. Takes aborted
  // records and transaction markers into account, which a last record's offset does not.
  std::vector<TopicPartitionOffset> ends;
  // Partitions whose position no longer exists in the log (deleted by retention, or beyond its
  // end): nothing more will come of them.
  std::vector<TopicPartitionOffset> out_of_range;

  void clear() {
    records.clear();
    ends.clear();
    out_of_range.clear();
    owner_.reset();
  }

  // For implementations: whatever keeps the views alive.
  void hold(std::shared_ptr<void> owner) { owner_ = std::move(owner); }

 private:
  std::shared_ptr<void> owner_;
};

// Reads partitions that it is told to read, each from a given offset; no group. Buffers a bounded
// number of bytes ahead. Not thread-safe.
class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // Begins (or begins anew) to read a partition at `offset`. Nothing fetched for it before this
  // call is delivered after it.
  virtual events::Status assign(const TopicPartition& partition, std::int64_t offset) = 0;
  virtual void unassign(const TopicPartition& partition) = 0;
  // Waits at most timeout_ms for the first record and returns at most records_max without waiting
  // for more. Passing errors of the connection are retried inside; an error returned is fatal.
  virtual events::Status poll(FetchBatch& batch, int timeout_ms, std::size_t records_max) = 0;
};

// ---- writing --------------------------------------------------------------------------------

enum class CommitOutcome {
  kCommitted,  // everything took effect
  kAborted,    // nothing took effect, and the producer is ready for the next transaction
  kUnknown,    // one or the other; replace the producer (open_producer of the same id settles it),
               // then ask Log::committed
  kFenced,  // this id or this member has been taken over. An earlier, unanswered request may have
            // taken effect all the same: only the log tells
  kFatal,   // nothing took effect; the producer cannot be used again
};

struct CommitResult {
  CommitOutcome outcome = CommitOutcome::kFatal;
  std::string detail;  // what went wrong, for the log; empty when committed
  // Committed or aborted, but with trouble on the way (slow, or a connection broke): a repeated
  // request may still be on its way and would end the *next* transaction of this producer. Open
  // another of the same id before the next begin.
  bool replace_producer = false;
  // With kFenced: the group knows this member no more, a bad network being enough for that; nobody
  // need have taken the id.
  bool expelled = false;
};

// A producer with a transactional id. One transaction at a time. Not thread-safe.
class TransactionalProducer {
 public:
  virtual ~TransactionalProducer() = default;

  virtual events::Status begin() = 0;
  // Queues a record for the open transaction; waits, bounded, while the queue is full. The caller
  // gives topic and partition. An error means that the transaction can only be aborted, except
  // kInvalid: this record was refused (too large) and nothing else changed. Taken by value, so that
  // the value of a record that is moved here is not copied on its way.
  virtual events::Status send(events::OutputRecord record) = 0;
  // Adds the input offsets (the next to be read, of the member's group) and commits.
  virtual CommitResult commit(std::span<const TopicPartitionOffset> positions,
                              const Membership& member) = 0;
  // Aborts the open transaction. kAborted: ready for the next one.
  virtual CommitResult abort() = 0;
  // The offset of the last record that was acknowledged for this partition since begin().
  virtual std::optional<std::int64_t> last_offset(const TopicPartition& partition) const = 0;
  // The time that the broker gave the last such record, if it gave any (topics use LogAppendTime).
  virtual std::optional<events::Timestamp> last_time(const TopicPartition& partition) const = 0;
};

// A producer without transactions, idempotent, acks=all. Thread-safe.
class Producer {
 public:
  virtual ~Producer() = default;
  // Writes the records and waits until all are acknowledged; on an error any of them may be there.
  virtual events::Status write(std::span<const events::OutputRecord> records) = 0;
};

// ---- the log --------------------------------------------------------------------------------

struct GroupOffsets {
  // A transaction that moves these offsets has not been settled: ask again, or fence its owner.
  bool unstable = false;
  // In the order asked; none: the group has no offset there.
  std::vector<std::optional<std::int64_t>> offsets;
};

struct Watermarks {
  std::int64_t low = 0;   // the first offset that is still there
  std::int64_t high = 0;  // read_committed: the last stable offset; else the high watermark
};

// Thread-safe.
class Log {
 public:
  virtual ~Log() = default;

  virtual events::Result<std::unique_ptr<Membership>> join(std::string_view group,
                                                           std::string_view topic) = 0;
  // A member that died without leaving, as long as its group has not noticed: it proves offsets of
  // transactions, and that is all (poll and leave do nothing). Null: its group counts it no more.
  virtual events::Result<std::unique_ptr<Membership>> resume(std::string_view group,
                                                             std::string_view identity) = 0;
  virtual events::Result<std::unique_ptr<Fetcher>> open_fetcher(Isolation isolation) = 0;
  // Initialises the id: ends its previous owner, and settles the transaction it left (a committing
  // one is completed, any other aborted) before it returns.
  virtual events::Result<std::unique_ptr<TransactionalProducer>> open_producer(
      std::string_view transactional_id) = 0;
  virtual events::Result<std::unique_ptr<Producer>> open_plain_producer() = 0;

  virtual events::Result<GroupOffsets> committed(std::string_view group,
                                                 std::span<const TopicPartition> partitions) = 0;
  // In the order asked.
  virtual events::Result<std::vector<Watermarks>> watermarks(
      std::span<const TopicPartition> partitions, Isolation isolation) = 0;
  events::Result<Watermarks> watermarks(const TopicPartition& partition, Isolation isolation) {
    auto marks = watermarks(std::span(&partition, 1), isolation);
    if (!marks) return tl::unexpected(std::move(marks).error());
    return marks->front();
  }
  // Commits group offsets outside of any transaction, as a hint for lag monitors only.
  virtual events::Status commit_hint(const Membership& member,
                                     std::span<const TopicPartitionOffset> positions) = 0;
};

}  // namespace voketag::runtime
