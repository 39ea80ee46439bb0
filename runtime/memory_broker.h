#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/record.h"
#include "runtime/memory_log.h"

// What lies behind MemoryLog: the cluster that its clients share. memory_log.h says what it does.
namespace voketag::runtime {

class MemoryLog::Broker {
 public:
  Broker(const Clock& clock, MemoryLogOptions options);

  // ---- records

  struct Stored {
    events::OutputRecord record;
    events::Timestamp timestamp;
  };
  struct Entry {
    std::int64_t offset = 0;
    std::int64_t transaction = 0;          // 0: none
    std::shared_ptr<const Stored> stored;  // null: a marker
  };
  struct Partition {
    std::vector<Entry> entries;
    std::int64_t low = 0;
    std::int64_t high = 0;
    std::map<std::int64_t, std::int64_t> open;  // transaction -> its first offset here

    std::int64_t stable() const;
    std::size_t index_of(std::int64_t offset) const;
  };
  using Topic = std::vector<Partition>;  // all partitions from the first moment on: they stay put
  Partition& partition(const TopicPartition& name);
  std::int64_t append(const TopicPartition& name, const events::OutputRecord& record,
                      std::int64_t transaction, events::Timestamp timestamp);
  bool is_visible(const Entry& entry) const {
    return entry.stored != nullptr && !aborted_.contains(entry.transaction);
  }

  // ---- transactions

  struct Marker {
    std::int64_t due_ms = 0;
    std::optional<TopicPartition> partition;  // none: the offsets of `group`
    std::string group;
  };
  enum class Decision { kOpen, kCommitted, kAborted };
  struct Transaction {
    Decision decision = Decision::kOpen;
    std::string id;
    std::int64_t began_ms = 0;
    std::set<TopicPartition> partitions;
    std::map<std::string, std::map<TopicPartition, std::int64_t>> offsets;  // by group
    std::vector<Marker> markers;                                            // still to be written
  };
  struct Identity {
    std::int32_t epoch = 0;
    std::int64_t transaction = 0;  // the open one, or the last whose markers are not all written
    std::optional<std::int64_t> late_commit_ms;  // when the request on its way arrives
  };
  struct Script {
    CommitOutcome outcome = CommitOutcome::kCommitted;
    bool took_effect = false;
    bool crash = false;
  };

  // Raises the epoch and settles what the predecessor left; returns the new epoch.
  std::int32_t initialise(const std::string& id);
  bool is_current(const std::string& id, std::int32_t epoch) const;
  // A request to commit that is still on its way; a new epoch of the id makes it void.
  void commit_later(const std::string& id);
  std::int64_t begin(const std::string& id);
  void add_offsets(std::int64_t transaction, const std::string& group,
                   std::span<const TopicPartitionOffset> positions);
  void decide(std::int64_t transaction, Decision decision);
  std::optional<Script> take_script(const std::string& id);

  // ---- groups

  struct Member {
    std::set<std::int32_t> owned;  // as it said when it joined this generation
    std::set<std::int32_t> target;
    bool target_pending = false;
    bool joined = false;
    std::int32_t generation = 0;
    std::int64_t polled_at_ms = 0;
    bool is_dead = false;  // its client is gone, and the group does not know it
  };
  struct Group {
    std::int32_t generation = 0;
    std::optional<std::int64_t> empty_since_ms;
    bool preparing = false;
    std::map<std::string, Member> members;
    std::map<TopicPartition, std::int64_t> offsets;
    std::map<TopicPartition, std::set<std::int64_t>> pending;  // transactions that move them
  };
  Group& group(const std::string& name) { return groups_[name]; }  // stays put
  std::string add_member(const std::string& group, const std::set<std::int32_t>& owned);
  void rebalance(Group& group);
  void complete_rebalance(Group& group);
  // Every member whose client is there has polled just now.
  void keep_members();

  // ---- time and chance

  // Whatever is due: markers, timeouts of transactions and sessions, offsets of empty groups.
  void tick() {
    if (moment().ms >= due_ms_) do_due();
  }
  bool chance(double probability);
  std::int64_t below(std::int64_t bound);
  events::Timestamp now() const { return clock_.now(); }  // what records are stamped with
  Moment moment() const { return clock_.moment(); }
  bool call_fails() { return chance(options.faults.call_failed); }
  // The calling process stands still, perhaps, and others go on.
  void may_pause() {
    if (pause && chance(options.faults.paused)) pause();
  }

  MemoryLogOptions options;
  std::function<void()> pause;
  std::map<std::string, std::int64_t> marker_delays;
  std::map<std::string, Script> scripts;
  std::map<std::string, int> disturbed_commits;
  std::map<std::string, Topic, std::less<>> topics;
  std::map<std::int64_t, Transaction> transactions;  // not yet wholly settled
  std::map<std::string, Identity> identities;

 private:
  void write_marker(std::int64_t number, Transaction& transaction, const Marker& marker);
  void settle_now(std::int64_t number);
  void write_due_markers();
  void expire_transactions();
  void take_late_commits();
  void expire_members();
  void forget_offsets();
  void do_due();
  void due_at(std::int64_t ms) { due_ms_ = std::min(due_ms_, ms); }
  std::int64_t marker_delay_ms(const std::string& name);

  const Clock& clock_;
  std::mt19937_64 random_;
  std::map<std::string, Group> groups_;
  std::set<std::int64_t> aborted_;
  std::int64_t last_transaction_ = 0;
  std::int64_t last_member_ = 0;
  std::int64_t due_ms_ = 0;  // nothing is due before
};

}  // namespace voketag::runtime
