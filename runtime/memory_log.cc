#include "runtime/memory_log.h"

#include <algorithm>
#include <set>
#include <utility>

#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/memory_broker.h"

namespace voketag::runtime {
namespace {

events::Error unavailable(const std::string& doing) {
  return {events::Errc::kUnavailable, doing + ": the simulated broker did not answer"};
}

// Room for key and headers beside the largest value.
constexpr std::int64_t kEnvelopeBytesMax = 256 * 1024;
// delete.retention.ms of the changelogs (connectors/kafka/topic_admin.cc).
constexpr std::int64_t kTombstoneRetentionMs = 7LL * 24 * 3600 * 1000;

std::int64_t record_bytes_max(std::string_view topic) {
  for (const auto& known : events::topic_catalogue()) {
    if (known.name == topic) return known.message_bytes_max + kEnvelopeBytesMax;
  }
  return events::kDeadLetterBytesMax + kEnvelopeBytesMax;  // changelogs
}

std::int64_t bytes_of(const events::OutputRecord& record) {
  std::size_t bytes = record.key.value_or("").size() + record.value.value_or("").size();
  for (const auto& [name, value] : record.headers) bytes += name.size() + value.size();
  return static_cast<std::int64_t>(bytes);
}

TopicPartition destination(const events::OutputRecord& record) {
  const std::int32_t partition =
      record.partition >= 0 ? record.partition : events::partition_for(record.key.value_or(""));
  return {record.topic, partition};
}

}  // namespace

// ---- membership ---------------------------------------------------------------------------------

// What a transaction's offsets are proved with.
class MemoryMember : public Membership {
 public:
  MemoryMember(MemoryLog::Broker& broker, std::string group)
      : broker_(broker), group_(std::move(group)), owner_(broker.group(group_)) {}

  enum class Standing { kCurrent, kBehind, kExpelled };
  virtual Standing standing() const = 0;
  const std::string& group() const { return group_; }

 protected:
  const MemoryLog::Broker::Member* find(const std::string& id) const {
    const auto found = owner_.members.find(id);
    return found == owner_.members.end() ? nullptr : &found->second;
  }

  MemoryLog::Broker& broker_;
  const std::string group_;
  MemoryLog::Broker::Group& owner_;
};

// One that died without leaving. Its identity: "<generation> <member id>".
class MemoryFormerMember final : public MemoryMember {
 public:
  MemoryFormerMember(MemoryLog::Broker& broker, std::string group, std::string_view identity)
      : MemoryMember(broker, std::move(group)), identity_(identity) {}

  events::Status poll(RebalanceListener&) override { return {}; }
  void leave(RebalanceListener&) override {}
  std::string identity() const override { return identity_; }
  Standing standing() const override {
    const std::size_t space = identity_.find(' ');
    if (find(identity_.substr(space + 1)) == nullptr) return Standing::kExpelled;
    // It cannot have joined another generation: behind is as good as expelled.
    return identity_.substr(0, space) == std::to_string(owner_.generation) ? Standing::kCurrent
                                                                           : Standing::kExpelled;
  }

 private:
  const std::string identity_;
};

class MemoryMembership final : public MemoryMember {
 public:
  MemoryMembership(MemoryLog::Broker& broker, std::string group)
      : MemoryMember(broker, std::move(group)), id_(broker.add_member(group_, {})) {}
  ~MemoryMembership() override {
    if (auto* const member = self()) member->is_dead = true;
  }

  std::string identity() const override {
    const auto* member = find(id_);
    return member == nullptr ? "" : std::to_string(member->generation) + " " + id_;
  }

  events::Status poll(RebalanceListener& listener) override {
    broker_.tick();
    if (broker_.chance(broker_.options.faults.membership_failed)) {
      return tl::unexpected(unavailable("polling as a member of " + group_));
    }
    if (self() == nullptr) rejoin_after_expulsion(listener);
    if (self() == nullptr) return {};
    self()->polled_at_ms = broker_.moment().ms;
    // Before it joins the next round: what it says it owns must be what it owns.
    if (self()->target_pending) take_assignment(listener);
    if (self() == nullptr) return {};
    if (owner_.preparing && !self()->joined) {
      self()->joined = true;
      self()->owned = owned_;
    }
    broker_.complete_rebalance(owner_);
    if (self()->target_pending) take_assignment(listener);
    return {};
  }

  void leave(RebalanceListener& listener) override {
    broker_.tick();
    if (self() == nullptr) {
      if (!owned_.empty()) listener.on_lost(take_owned());
      return;
    }
    if (!owned_.empty()) {
      const std::vector<std::int32_t> all(owned_.begin(), owned_.end());
      listener.on_revoked(all);
      owned_.clear();
    }
    owner_.members.erase(id_);
    broker_.rebalance(owner_);
    broker_.complete_rebalance(owner_);
  }

  Standing standing() const override {
    const auto* member = find(id_);
    if (member == nullptr) return Standing::kExpelled;
    return member->generation == owner_.generation ? Standing::kCurrent : Standing::kBehind;
  }

 private:
  MemoryLog::Broker::Member* self() {
    const auto found = owner_.members.find(id_);
    return found == owner_.members.end() ? nullptr : &found->second;
  }

  std::vector<std::int32_t> take_owned() {
    const auto owned = std::exchange(owned_, {});
    return {owned.begin(), owned.end()};
  }

  void rejoin_after_expulsion(RebalanceListener& listener) {
    const auto lost = take_owned();
    if (!lost.empty()) listener.on_lost(lost);
    id_ = broker_.add_member(group_, {});
  }

  // As a cooperative client does: give up first, then take, then join again if anything was given
  // up.
  void take_assignment(RebalanceListener& listener) {
    auto& member = *self();
    member.target_pending = false;
    member.generation = owner_.generation;
    const std::set<std::int32_t> target = member.target;
    std::vector<std::int32_t> revoked;
    std::vector<std::int32_t> added;
    std::set_difference(owned_.begin(), owned_.end(), target.begin(), target.end(),
                        std::back_inserter(revoked));
    std::set_difference(target.begin(), target.end(), owned_.begin(), owned_.end(),
                        std::back_inserter(added));
    if (!revoked.empty()) listener.on_revoked(revoked);
    for (const auto partition : revoked) owned_.erase(partition);
    if (self() == nullptr) return;  // expelled meanwhile; it learns so at its next poll
    owned_ = target;
    if (!added.empty()) listener.on_assigned(added);
    listener.on_generation();
    if (!revoked.empty()) broker_.rebalance(owner_);
  }

  std::string id_;
  std::set<std::int32_t> owned_;
};

// ---- reading ------------------------------------------------------------------------------------

class MemoryFetcher final : public Fetcher {
 public:
  MemoryFetcher(MemoryLog::Broker& broker, Isolation isolation)
      : broker_(broker), isolation_(isolation) {}

  events::Status assign(const TopicPartition& partition, std::int64_t offset) override {
    positions_[partition] = Position{&broker_.partition(partition), offset, -1};
    return {};
  }

  void unassign(const TopicPartition& partition) override { positions_.erase(partition); }

  events::Status poll(FetchBatch& batch, int, std::size_t records_max) override {
    batch.clear();
    broker_.tick();
    std::size_t limit = records_max;
    if (broker_.chance(broker_.options.faults.fetch_short)) {
      limit = static_cast<std::size_t>(broker_.below(4));
      if (limit == 0) return {};
    }
    auto held = std::make_shared<Held>();
    std::vector<TopicPartition> gone;
    // Begins each time with another partition, as a broker's answers do.
    auto next = positions_.begin();
    if (!positions_.empty()) std::advance(next, turn_ % positions_.size());
    for (std::size_t i = 0; i < positions_.size(); ++i, ++next) {
      if (next == positions_.end()) next = positions_.begin();
      if (!read(next->first, next->second, batch, *held, limit)) gone.push_back(next->first);
    }
    ++turn_;
    for (const auto& name : gone) positions_.erase(name);
    batch.hold(std::move(held));
    return {};
  }

 private:
  struct Position {
    const MemoryLog::Broker::Partition* partition = nullptr;
    std::int64_t next = 0;
    std::int64_t reported_end = -1;
  };
  using Held = std::vector<std::shared_ptr<const MemoryLog::Broker::Stored>>;

  // false: the position is out of range.
  bool read(const TopicPartition& name, Position& position, FetchBatch& batch, Held& held,
            std::size_t limit) {
    const auto& from = *position.partition;
    if (position.next < from.low || position.next > from.high) {
      batch.out_of_range.push_back({name.topic, name.partition, position.next});
      return false;
    }
    const std::int64_t end = isolation_ == Isolation::kReadCommitted ? from.stable() : from.high;
    if (position.next == end && position.reported_end == end) return true;
    for (std::size_t i = from.index_of(position.next); i < from.entries.size(); ++i) {
      const auto& entry = from.entries[i];
      if (entry.offset >= end) break;
      const bool shown = isolation_ == Isolation::kReadCommitted ? broker_.is_visible(entry)
                                                                 : entry.stored != nullptr;
      if (shown) {
        if (batch.records.size() >= limit) return true;
        deliver(entry, name.partition, batch, held);
      }
      position.next = entry.offset + 1;
    }
    position.next = std::max(position.next, end);
    if (position.next != position.reported_end) {
      position.reported_end = position.next;
      batch.ends.push_back({name.topic, name.partition, position.next});
    }
    return true;
  }

  static void deliver(const MemoryLog::Broker::Entry& entry, std::int32_t partition,
                      FetchBatch& batch, Held& held) {
    held.push_back(entry.stored);
    const auto& record = entry.stored->record;
    events::RecordView view;
    view.topic = record.topic;
    view.partition = partition;
    view.offset = entry.offset;
    view.timestamp = entry.stored->timestamp;
    if (record.key) view.key = *record.key;
    if (record.value) view.value = *record.value;
    for (const auto& [header, value] : record.headers) view.headers.emplace_back(header, value);
    batch.records.push_back(std::move(view));
  }

  MemoryLog::Broker& broker_;
  const Isolation isolation_;
  std::map<TopicPartition, Position> positions_;
  std::size_t turn_ = 0;
};

// ---- writing ------------------------------------------------------------------------------------

class MemoryTransactionalProducer final : public TransactionalProducer {
 public:
  MemoryTransactionalProducer(MemoryLog::Broker& broker, std::string id)
      : broker_(broker), id_(std::move(id)), epoch_(broker.initialise(id_)) {}

  events::Status begin() override {
    broker_.tick();
    if (begun_ || dead_) {
      return events::fail(events::Errc::kInternal,
                          dead_ ? "the producer was to be replaced" : "a transaction is open");
    }
    begun_ = true;
    sent_ = 0;
    acknowledged_.clear();
    return {};
  }

  events::Status send(events::OutputRecord record) override {
    broker_.tick();
    if (!begun_) return events::fail(events::Errc::kInternal, "no transaction is open");
    if (bytes_of(record) > record_bytes_max(record.topic)) {
      return events::fail(events::Errc::kInvalid, "the record is larger than its topic takes");
    }
    if (!is_current()) {
      // A client learns of it from an answer: with this record, or only when it commits.
      if (broker_.below(2) == 0) return {};
      return events::fail(events::Errc::kFenced, id_ + " has been taken over");
    }
    end_early_if_haunted();
    if (transaction_ == 0) transaction_ = broker_.begin(id_);
    const auto to = destination(record);
    const auto now = broker_.now();
    acknowledged_[to] = {broker_.append(to, record, transaction_, now), now};
    ++sent_;
    return {};
  }

  CommitResult commit(std::span<const TopicPartitionOffset> positions,
                      const Membership& member) override {
    broker_.may_pause();
    broker_.tick();
    if (!begun_) return {CommitOutcome::kFatal, "no transaction is open"};
    if (!is_current()) return fenced();
    if (!positions.empty()) {
      if (auto refused = add_offsets(positions, static_cast<const MemoryMember&>(member))) {
        return *refused;
      }
    }
    broker_.may_pause();
    broker_.tick();
    if (!is_current()) return fenced();
    if (const auto script = broker_.take_script(id_)) {
      if (!positions.empty()) ++broker_.disturbed_commits[name_of(*script)];
      return follow(*script);
    }
    finish(MemoryLog::Broker::Decision::kCommitted);
    broker_.may_pause();
    // The answer was lost while nobody looked, and the repeated request comes too late.
    if (!is_current() && broker_.below(2) == 0) {
      ++broker_.disturbed_commits["fenced commit, took effect"];
      return fenced();
    }
    haunted_ = broker_.chance(broker_.options.faults.commit_troubled);
    return {CommitOutcome::kCommitted, {}, haunted_};
  }

  CommitResult abort() override {
    broker_.tick();
    if (!begun_) return {CommitOutcome::kAborted, {}};
    if (!is_current()) return fenced();
    finish(MemoryLog::Broker::Decision::kAborted);
    return {CommitOutcome::kAborted, {}};
  }

  std::optional<std::int64_t> last_offset(const TopicPartition& partition) const override {
    const auto found = acknowledged_.find(partition);
    if (found == acknowledged_.end()) return std::nullopt;
    return found->second.offset;
  }
  std::optional<events::Timestamp> last_time(const TopicPartition& partition) const override {
    const auto found = acknowledged_.find(partition);
    if (found == acknowledged_.end()) return std::nullopt;
    return found->second.time;
  }

 private:
  bool is_current() const { return broker_.is_current(id_, epoch_); }

  CommitResult fenced() {
    begun_ = false;
    dead_ = true;
    return {CommitOutcome::kFenced, id_ + " has been taken over"};
  }

  // Whoever is no member any more must not move its group's offsets.
  std::optional<CommitResult> add_offsets(std::span<const TopicPartitionOffset> positions,
                                          const MemoryMember& member) {
    using Standing = MemoryMember::Standing;
    const Standing standing = member.standing();
    // Behind by a generation: the client's own thread has learned of the new one, or has not.
    const bool refused =
        standing == Standing::kExpelled || (standing == Standing::kBehind && broker_.below(2) == 0);
    if (refused) {
      finish(MemoryLog::Broker::Decision::kAborted);
      if (standing == Standing::kExpelled) {
        return CommitResult{.outcome = CommitOutcome::kFenced,
                            .detail = "the group has expelled this member",
                            .expelled = true};
      }
      return CommitResult{CommitOutcome::kAborted, "the group has begun another generation"};
    }
    if (transaction_ == 0) transaction_ = broker_.begin(id_);
    broker_.add_offsets(transaction_, member.group(), positions);
    return std::nullopt;
  }

  static std::string name_of(const MemoryLog::Broker::Script& script) {
    const std::string truth = script.took_effect ? ", took effect" : ", took no effect";
    if (script.crash) return "crash in a commit" + truth;
    switch (script.outcome) {
      case CommitOutcome::kUnknown:
        return "unknown commit" + truth;
      case CommitOutcome::kAborted:
        return "aborted commit";
      case CommitOutcome::kFenced:
        return "fenced commit" + truth;
      default:
        return "fatal commit";
    }
  }

  CommitResult follow(const MemoryLog::Broker::Script& script) {
    using Decision = MemoryLog::Broker::Decision;
    if (script.crash) {
      if (script.took_effect) {
        finish(Decision::kCommitted);
      } else {
        may_arrive_late();
      }
      throw SimulatedCrash{};
    }
    switch (script.outcome) {
      case CommitOutcome::kCommitted:
        finish(Decision::kCommitted);
        return {script.outcome, {}};
      case CommitOutcome::kAborted:
        finish(Decision::kAborted);
        return {script.outcome, "the simulated broker asked for an abort"};
      case CommitOutcome::kUnknown:
        if (script.took_effect) {
          finish(Decision::kCommitted);
        } else {
          may_arrive_late();
        }
        break;
      case CommitOutcome::kFenced:
        finish(script.took_effect ? Decision::kCommitted : Decision::kAborted);
        broker_.initialise(id_);
        return fenced();
      case CommitOutcome::kFatal:
        break;  // it stays open until its timeout or its successor
    }
    begun_ = false;
    dead_ = true;
    return {script.outcome, "the simulated broker did not answer the commit"};
  }

  void finish(MemoryLog::Broker::Decision decision) {
    if (transaction_ != 0) broker_.decide(transaction_, decision);
    transaction_ = 0;
    begun_ = false;
  }

  void may_arrive_late() {
    if (broker_.chance(broker_.options.faults.request_late)) broker_.commit_later(id_);
  }

  // A repeated request of the last commit arrives late and ends this transaction.
  void end_early_if_haunted() {
    if (!haunted_ || sent_ == 0) return;
    haunted_ = false;
    ++broker_.disturbed_commits["transaction ended early"];
    broker_.decide(transaction_, MemoryLog::Broker::Decision::kCommitted);
    transaction_ = 0;
  }

  MemoryLog::Broker& broker_;
  const std::string id_;
  const std::int32_t epoch_;
  bool begun_ = false;
  bool dead_ = false;
  bool haunted_ = false;
  std::int64_t transaction_ = 0;  // none before the first record
  std::int64_t sent_ = 0;
  struct Acknowledged {
    std::int64_t offset = 0;
    events::Timestamp time;
  };
  std::map<TopicPartition, Acknowledged> acknowledged_;  // the last of each
};

class MemoryProducer final : public Producer {
 public:
  explicit MemoryProducer(MemoryLog::Broker& broker) : broker_(broker) {}

  events::Status write(std::span<const events::OutputRecord> records) override {
    broker_.tick();
    const bool fails = broker_.chance(broker_.options.faults.write_failed);
    const bool written = !fails || broker_.below(2) == 0;
    for (const auto& record : records) {
      if (written) broker_.append(destination(record), record, 0, broker_.now());
    }
    if (fails) return tl::unexpected(unavailable("writing"));
    return {};
  }

 private:
  MemoryLog::Broker& broker_;
};

// ---- the log ------------------------------------------------------------------------------------

MemoryLog::MemoryLog(const Clock& clock, MemoryLogOptions options)
    : broker_(std::make_unique<Broker>(clock, options)) {}

MemoryLog::~MemoryLog() = default;

events::Result<std::unique_ptr<Membership>> MemoryLog::join(std::string_view group,
                                                            std::string_view) {
  broker_->tick();
  if (broker_->call_fails()) return tl::unexpected(unavailable("joining"));
  return std::make_unique<MemoryMembership>(*broker_, std::string(group));
}

events::Result<std::unique_ptr<Membership>> MemoryLog::resume(std::string_view group,
                                                              std::string_view identity) {
  broker_->tick();
  if (broker_->call_fails()) return tl::unexpected(unavailable("asking for a member"));
  auto member = std::make_unique<MemoryFormerMember>(*broker_, std::string(group), identity);
  if (member->standing() != MemoryMember::Standing::kCurrent) return nullptr;
  return member;
}

events::Result<std::unique_ptr<Fetcher>> MemoryLog::open_fetcher(Isolation isolation) {
  return std::make_unique<MemoryFetcher>(*broker_, isolation);
}

events::Result<std::unique_ptr<TransactionalProducer>> MemoryLog::open_producer(
    std::string_view transactional_id) {
  broker_->may_pause();
  broker_->tick();
  if (broker_->call_fails()) return tl::unexpected(unavailable("opening a producer"));
  return std::make_unique<MemoryTransactionalProducer>(*broker_, std::string(transactional_id));
}

events::Result<std::unique_ptr<Producer>> MemoryLog::open_plain_producer() {
  return std::make_unique<MemoryProducer>(*broker_);
}

events::Result<GroupOffsets> MemoryLog::committed(std::string_view group,
                                                  std::span<const TopicPartition> partitions) {
  broker_->may_pause();
  broker_->tick();
  if (broker_->call_fails()) return tl::unexpected(unavailable("reading group offsets"));
  const auto& owner = broker_->group(std::string(group));
  GroupOffsets result;
  for (const auto& name : partitions) {
    const auto pending = owner.pending.find(name);
    if (pending != owner.pending.end() && !pending->second.empty()) result.unstable = true;
    const auto found = owner.offsets.find(name);
    result.offsets.push_back(found == owner.offsets.end() ? std::nullopt
                                                          : std::optional(found->second));
  }
  return result;
}

events::Result<std::vector<Watermarks>> MemoryLog::watermarks(
    std::span<const TopicPartition> partitions, Isolation isolation) {
  broker_->tick();
  if (broker_->call_fails()) return tl::unexpected(unavailable("reading watermarks"));
  std::vector<Watermarks> marks;
  for (const auto& name : partitions) {
    const auto& of = broker_->partition(name);
    marks.push_back({of.low, isolation == Isolation::kReadCommitted ? of.stable() : of.high});
  }
  return marks;
}

events::Status MemoryLog::commit_hint(const Membership& member,
                                      std::span<const TopicPartitionOffset> positions) {
  broker_->tick();
  const auto& memory_member = static_cast<const MemoryMember&>(member);
  if (memory_member.standing() != MemoryMember::Standing::kCurrent) {
    return events::fail(events::Errc::kFenced, "not a member of this generation");
  }
  auto& group = broker_->group(memory_member.group());
  for (const auto& position : positions) {
    group.offsets[{position.topic, position.partition}] = position.offset;
  }
  return {};
}

// ---- what a test does to it ---------------------------------------------------------------------

std::int64_t MemoryLog::append(const events::OutputRecord& record,
                               std::optional<events::Timestamp> timestamp) {
  return broker_->append(destination(record), record, 0, timestamp.value_or(broker_->now()));
}

void MemoryLog::set_faults(const MemoryLogFaults& faults) {
  broker_->options.faults = faults;
}

const MemoryLogFaults& MemoryLog::faults() const {
  return broker_->options.faults;
}

void MemoryLog::script_commit(std::string transactional_id, CommitOutcome outcome,
                              bool took_effect) {
  broker_->scripts[std::move(transactional_id)] = {outcome, took_effect, false};
}

void MemoryLog::script_crash(std::string transactional_id, bool after_decision) {
  broker_->scripts[std::move(transactional_id)] = {CommitOutcome::kCommitted, after_decision, true};
}

void MemoryLog::on_pause(std::function<void()> action) {
  broker_->pause = std::move(action);
}

void MemoryLog::keep_members() {
  broker_->keep_members();
}

void MemoryLog::delay_markers(std::string topic_or_group, std::int64_t delay_ms) {
  broker_->marker_delays[std::move(topic_or_group)] = delay_ms;
}

void MemoryLog::compact(std::string_view topic) {
  broker_->tick();
  const auto found = broker_->topics.find(topic);
  if (found == broker_->topics.end()) return;
  const std::int64_t tombstones_until_ms = broker_->now().ms - kTombstoneRetentionMs;
  for (auto& partition : found->second) {
    const std::int64_t end = partition.stable();
    std::map<std::string, std::int64_t> last;
    for (const auto& entry : partition.entries) {
      if (entry.offset >= end || !broker_->is_visible(entry)) continue;
      last[entry.stored->record.key.value_or("")] = entry.offset;
    }
    std::erase_if(partition.entries, [&](const Broker::Entry& entry) {
      if (entry.offset >= end || entry.offset + 1 == partition.high) return false;
      if (entry.stored == nullptr) return false;
      if (!broker_->is_visible(entry) ||
          last.at(entry.stored->record.key.value_or("")) != entry.offset)
        return true;
      return !entry.stored->record.value && entry.stored->timestamp.ms <= tombstones_until_ms;
    });
  }
}

void MemoryLog::delete_before(const TopicPartition& name, std::int64_t offset) {
  auto& partition = broker_->partition(name);
  partition.low = std::clamp(offset, partition.low, partition.high);
  std::erase_if(partition.entries,
                [&](const Broker::Entry& entry) { return entry.offset < partition.low; });
}

void MemoryLog::set_group_offset(std::string_view group, const TopicPartition& partition,
                                 std::int64_t offset) {
  broker_->group(std::string(group)).offsets[partition] = offset;
}

// ---- what a test may look at --------------------------------------------------------------------

namespace {

// What a read_committed reader finds: visit(partition, entry).
template <class Visit>
void for_each_entry(MemoryLog::Broker& broker, std::string_view topic, const Visit& visit) {
  broker.tick();
  const auto found = broker.topics.find(topic);
  if (found == broker.topics.end()) return;
  for (std::size_t number = 0; number < found->second.size(); ++number) {
    const auto& partition = found->second[number];
    const std::int64_t end = partition.stable();
    for (const auto& entry : partition.entries) {
      if (entry.offset >= end) break;
      if (broker.is_visible(entry)) visit(static_cast<std::int32_t>(number), entry);
    }
  }
}

}  // namespace

std::optional<std::string> MemoryLog::Record::header(std::string_view name) const {
  for (const auto& [header, text] : headers) {
    if (header == name) return text;
  }
  return std::nullopt;
}

std::vector<MemoryLog::Record> MemoryLog::records(std::string_view topic) const {
  std::vector<Record> result;
  for_each_entry(*broker_, topic, [&](std::int32_t partition, const Broker::Entry& entry) {
    const auto& stored = *entry.stored;
    result.push_back({partition, entry.offset, stored.timestamp, stored.record.key,
                      stored.record.value, stored.record.headers});
  });
  return result;
}

void MemoryLog::for_each_record(
    std::string_view topic,
    const std::function<void(std::int32_t partition, const events::OutputRecord& record)>& visit)
    const {
  for_each_entry(*broker_, topic, [&](std::int32_t partition, const Broker::Entry& entry) {
    visit(partition, entry.stored->record);
  });
}

std::optional<std::int64_t> MemoryLog::next_record(const TopicPartition& name,
                                                   std::int64_t from) const {
  broker_->tick();
  const auto& partition = broker_->partition(name);
  const std::int64_t end = partition.stable();
  for (std::size_t i = partition.index_of(from); i < partition.entries.size(); ++i) {
    const auto& entry = partition.entries[i];
    if (entry.offset >= end) break;
    if (broker_->is_visible(entry)) return entry.offset;
  }
  return std::nullopt;
}

std::vector<std::string> MemoryLog::topics() const {
  std::vector<std::string> names;
  for (const auto& [name, partitions] : broker_->topics) names.push_back(name);
  return names;
}

bool MemoryLog::settled() const {
  broker_->tick();
  return broker_->transactions.empty();
}

const std::map<std::string, int>& MemoryLog::disturbed_commits() const {
  return broker_->disturbed_commits;
}

std::int32_t MemoryLog::generation(std::string_view group) const {
  return broker_->group(std::string(group)).generation;
}

std::int32_t MemoryLog::epoch(std::string_view transactional_id) const {
  const auto found = broker_->identities.find(std::string(transactional_id));
  return found == broker_->identities.end() ? 0 : found->second.epoch;
}

}  // namespace voketag::runtime
