#include "runtime/memory_broker.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "events/partitioner.h"

namespace voketag::runtime {

using Broker = MemoryLog::Broker;

namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
// As long as Kafka keeps the offsets of a group without members, unless it is told otherwise.
constexpr std::int64_t kOffsetsRetentionMs = 7LL * 24 * 3600 * 1000;

}  // namespace

MemoryLog::Broker::Broker(const Clock& clock, MemoryLogOptions options_in)
    : options(options_in), clock_(clock), random_(options_in.seed) {}

// ---- records ------------------------------------------------------------------------------------

std::int64_t Broker::Partition::stable() const {
  std::int64_t first = high;
  for (const auto& [transaction, offset] : open) first = std::min(first, offset);
  return first;
}

std::size_t Broker::Partition::index_of(std::int64_t offset) const {
  const auto found = std::lower_bound(
      entries.begin(), entries.end(), offset,
      [](const Entry& entry, std::int64_t wanted) { return entry.offset < wanted; });
  return static_cast<std::size_t>(found - entries.begin());
}

MemoryLog::Broker::Partition& MemoryLog::Broker::partition(const TopicPartition& name) {
  const auto [topic, is_new] = topics.try_emplace(name.topic);
  if (is_new) topic->second.resize(events::kPartitionCount);
  return topic->second.at(static_cast<std::size_t>(name.partition));
}

std::int64_t Broker::append(const TopicPartition& name, const events::OutputRecord& record,
                            std::int64_t transaction, events::Timestamp timestamp) {
  Partition& to = partition(name);
  const std::int64_t offset = to.high++;
  auto stored = std::make_shared<Stored>(Stored{record, timestamp});
  to.entries.push_back({offset, transaction, std::move(stored)});
  if (transaction != 0) {
    to.open.try_emplace(transaction, offset);
    transactions.at(transaction).partitions.insert(name);
  }
  return offset;
}

// ---- transactions -------------------------------------------------------------------------------

std::int32_t Broker::initialise(const std::string& id) {
  Identity& identity = identities[id];
  if (identity.transaction != 0) {
    const auto left = transactions.find(identity.transaction);
    if (left != transactions.end() && left->second.decision == Decision::kOpen) {
      decide(identity.transaction, Decision::kAborted);
    }
    settle_now(identity.transaction);
  }
  identity.late_commit_ms.reset();
  return ++identity.epoch;
}

void Broker::commit_later(const std::string& id) {
  const std::int64_t arrives_ms = moment().ms + 1 + below(2'000);
  identities.at(id).late_commit_ms = arrives_ms;
  due_at(arrives_ms);
}

// It ends whatever is open of the id: the transaction that it was meant for, or the next one.
void Broker::take_late_commits() {
  for (auto& [id, identity] : identities) {
    if (!identity.late_commit_ms || *identity.late_commit_ms > moment().ms) continue;
    identity.late_commit_ms.reset();
    const auto open = transactions.find(identity.transaction);
    if (open == transactions.end() || open->second.decision != Decision::kOpen) continue;
    ++disturbed_commits["commit that arrived late"];
    decide(identity.transaction, Decision::kCommitted);
  }
}

bool Broker::is_current(const std::string& id, std::int32_t epoch) const {
  const auto found = identities.find(id);
  return found != identities.end() && found->second.epoch == epoch;
}

// The coordinator takes no partition into the next transaction before the last one is complete.
std::int64_t Broker::begin(const std::string& id) {
  Identity& identity = identities.at(id);
  if (identity.transaction != 0) settle_now(identity.transaction);
  identity.transaction = ++last_transaction_;
  Transaction& transaction = transactions[identity.transaction];
  transaction.id = id;
  transaction.began_ms = moment().ms;
  due_at(transaction.began_ms + options.transaction_timeout_ms + 1);
  return identity.transaction;
}

void Broker::add_offsets(std::int64_t number, const std::string& group_name,
                         std::span<const TopicPartitionOffset> positions) {
  Transaction& transaction = transactions.at(number);
  for (const auto& position : positions) {
    const TopicPartition name{position.topic, position.partition};
    transaction.offsets[group_name][name] = position.offset;
    group(group_name).pending[name].insert(number);
  }
}

std::int64_t Broker::marker_delay_ms(const std::string& name) {
  const auto scripted = marker_delays.find(name);
  std::int64_t delay_ms = scripted == marker_delays.end() ? 0 : scripted->second;
  if (chance(options.faults.marker_slow)) {
    delay_ms += 1 + below(options.faults.marker_slow_ms_max);
  }
  return delay_ms;
}

void Broker::decide(std::int64_t number, Decision decision) {
  Transaction& transaction = transactions.at(number);
  assert(transaction.decision == Decision::kOpen && decision != Decision::kOpen);
  transaction.decision = decision;
  if (decision == Decision::kAborted) aborted_.insert(number);
  for (const auto& name : transaction.partitions) {
    transaction.markers.push_back({moment().ms + marker_delay_ms(name.topic), name, {}});
  }
  for (const auto& [group_name, offsets] : transaction.offsets) {
    transaction.markers.push_back({moment().ms + marker_delay_ms(group_name), {}, group_name});
  }
  for (const auto& marker : transaction.markers) due_at(marker.due_ms);
  write_due_markers();
}

void Broker::write_marker(std::int64_t number, Transaction& transaction, const Marker& marker) {
  if (marker.partition) {
    Partition& to = partition(*marker.partition);
    to.entries.push_back({to.high++, number, nullptr});
    to.open.erase(number);
    return;
  }
  Group& owner = group(marker.group);
  for (const auto& [name, offset] : transaction.offsets[marker.group]) {
    if (transaction.decision == Decision::kCommitted) owner.offsets[name] = offset;
    owner.pending[name].erase(number);
  }
}

void Broker::settle_now(std::int64_t number) {
  const auto found = transactions.find(number);
  if (found == transactions.end()) return;
  for (const auto& marker : found->second.markers) write_marker(number, found->second, marker);
  transactions.erase(found);
}

void Broker::write_due_markers() {
  for (auto next = transactions.begin(); next != transactions.end();) {
    const auto current = next++;
    auto& [number, transaction] = *current;
    if (transaction.decision == Decision::kOpen) continue;
    std::erase_if(transaction.markers, [&, number = number, &owner = transaction](const Marker& m) {
      if (m.due_ms > moment().ms) return false;
      write_marker(number, owner, m);
      return true;
    });
    if (transaction.markers.empty()) transactions.erase(current);
  }
}

void Broker::expire_transactions() {
  std::vector<std::int64_t> overdue;
  for (const auto& [number, transaction] : transactions) {
    if (transaction.decision == Decision::kOpen &&
        moment().ms - transaction.began_ms > options.transaction_timeout_ms) {
      overdue.push_back(number);
    }
  }
  for (const auto number : overdue) {
    Identity& identity = identities.at(transactions.at(number).id);
    ++identity.epoch;
    identity.late_commit_ms.reset();
    decide(number, Decision::kAborted);
  }
}

std::optional<MemoryLog::Broker::Script> MemoryLog::Broker::take_script(const std::string& id) {
  if (auto scripted = scripts.extract(id)) return scripted.mapped();
  const MemoryLogFaults& faults = options.faults;
  const bool coin = below(2) == 0;
  if (chance(faults.commit_unknown)) return Script{CommitOutcome::kUnknown, coin, false};
  if (chance(faults.commit_aborted)) return Script{CommitOutcome::kAborted, false, false};
  if (chance(faults.commit_fatal)) return Script{CommitOutcome::kFatal, false, false};
  if (chance(faults.commit_crash)) return Script{CommitOutcome::kCommitted, coin, true};
  if (chance(faults.commit_fenced)) return Script{CommitOutcome::kFenced, coin, false};
  return std::nullopt;
}

// ---- groups -------------------------------------------------------------------------------------

std::string Broker::add_member(const std::string& group_name, const std::set<std::int32_t>& owned) {
  const std::string id = group_name + "-" + std::to_string(++last_member_);
  Member member;
  member.owned = owned;
  member.polled_at_ms = moment().ms;
  due_at(member.polled_at_ms + options.session_timeout_ms + 1);
  Group& to = group(group_name);
  to.empty_since_ms.reset();
  to.members[id] = member;
  rebalance(to);
  return id;
}

// Everyone has to join again; the round is complete when everyone has.
void Broker::rebalance(Group& group) {
  if (group.preparing) return;
  group.preparing = true;
  for (auto& [id, member] : group.members) member.joined = false;
}

void Broker::complete_rebalance(Group& group) {
  if (!group.preparing || group.members.empty()) return;
  for (const auto& [id, member] : group.members) {
    if (!member.joined) return;
  }
  group.preparing = false;
  ++group.generation;
  const std::int32_t count = static_cast<std::int32_t>(group.members.size());
  std::set<std::int32_t> free;
  for (std::int32_t i = 0; i < events::kPartitionCount; ++i) free.insert(i);
  std::set<std::int32_t> owned_by_anyone;
  std::int32_t extra = events::kPartitionCount % count;
  std::map<std::string, std::size_t> room;
  // Sticky: each keeps what it has, up to its share.
  for (auto& [id, member] : group.members) {
    const std::int32_t share = events::kPartitionCount / count + (extra-- > 0 ? 1 : 0);
    member.target.clear();
    for (const auto partition : member.owned) {
      owned_by_anyone.insert(partition);
      if (static_cast<std::int32_t>(member.target.size()) == share) continue;
      member.target.insert(partition);
      free.erase(partition);
    }
    room[id] = static_cast<std::size_t>(share) - member.target.size();
  }
  // Cooperative: what another member still owns is revoked in this generation, given in the next.
  for (auto& [id, member] : group.members) {
    for (; room[id] > 0 && !free.empty(); --room[id]) {
      const std::int32_t partition = *free.begin();
      free.erase(free.begin());
      if (!owned_by_anyone.contains(partition)) member.target.insert(partition);
    }
    member.target_pending = true;
    member.joined = false;
  }
}

void Broker::expire_members() {
  for (auto& [name, group] : groups_) {
    const auto expelled = std::erase_if(group.members, [&](const auto& entry) {
      return moment().ms - entry.second.polled_at_ms > options.session_timeout_ms;
    });
    if (expelled == 0) continue;
    rebalance(group);
    complete_rebalance(group);
  }
}

void Broker::keep_members() {
  for (auto& [name, group] : groups_) {
    for (auto& [id, member] : group.members) {
      if (!member.is_dead) member.polled_at_ms = moment().ms;
    }
  }
}

void Broker::forget_offsets() {
  for (auto& [name, group] : groups_) {
    if (!group.members.empty()) continue;
    if (!group.empty_since_ms) group.empty_since_ms = moment().ms;
    if (moment().ms - *group.empty_since_ms < kOffsetsRetentionMs) continue;
    std::erase_if(group.offsets, [&owner = group](const auto& offset) {
      const auto pending = owner.pending.find(offset.first);
      return pending == owner.pending.end() || pending->second.empty();
    });
  }
}

// ---- time and chance ----------------------------------------------------------------------------

void Broker::do_due() {
  take_late_commits();
  expire_transactions();
  write_due_markers();
  expire_members();
  forget_offsets();
  due_ms_ = kNever;
  for (const auto& [id, identity] : identities) due_at(identity.late_commit_ms.value_or(kNever));
  for (const auto& [number, transaction] : transactions) {
    if (transaction.decision == Decision::kOpen) {
      due_at(transaction.began_ms + options.transaction_timeout_ms + 1);
    }
    for (const auto& marker : transaction.markers) due_at(marker.due_ms);
  }
  for (const auto& [name, group] : groups_) {
    for (const auto& [id, member] : group.members) {
      due_at(member.polled_at_ms + options.session_timeout_ms + 1);
    }
    if (group.members.empty() && !group.offsets.empty()) {
      due_at(*group.empty_since_ms + kOffsetsRetentionMs);
    }
  }
}

// Draws nothing where nothing can happen, so that an undisturbed run does not depend on the seed.
bool Broker::chance(double probability) {
  if (probability <= 0) return false;
  return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability;
}

std::int64_t Broker::below(std::int64_t bound) {
  return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(bound));
}

}  // namespace voketag::runtime
