#include "runtime/roll_forward.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "events/codec.h"
#include "runtime/task.h"

namespace voketag::runtime {
namespace {

// A changelog keeps a tombstone for seven days after it was first compacted. A store to which a
// tombstone is new may be a day younger than that.
constexpr std::int64_t kStoreAgeMsMax = 6LL * 24 * 3600 * 1000;
// A store that is stamped with a time so far ahead was written when the clock of this machine was
// wrong, or is read when it is: its age cannot be known. Less than that the day above makes good.
constexpr std::int64_t kStoreAheadMsMax = 12LL * 3600 * 1000;
// A store that is followed was known to be whole a minute ago.
constexpr std::int64_t kWarmAgeMsMax = 120'000;

bool may_be_too_old(events::Timestamp fresh_at, events::Timestamp now) {
  return now.ms - fresh_at.ms > kStoreAgeMsMax || fresh_at.ms - now.ms > kStoreAheadMsMax;
}

// A key that the store has was in the changelog when it was read, so a tombstone behind it was not
// compacted away then: a store that is still being rebuilt is as fresh as the beginning of that.
events::Timestamp fresh_at(const StorePosition& position) {
  return {std::max(position.agreed_at_ms, position.rebuilt_from_ms.value_or(0))};
}

// Why the store cannot be rolled forward; empty: it can.
std::string obstacle(const std::optional<StorePosition>& stored, Watermarks all,
                     events::Timestamp now) {
  if (!stored) return "there is none";
  if (stored->changelog_offset > all.high) {
    return "it is ahead of the changelog, so it belongs to another log";
  }
  if (stored->changelog_offset < all.low) return "the changelog no longer reaches back to it";
  if (stored->changelog_offset < all.high && may_be_too_old(fresh_at(*stored), now)) {
    return now < fresh_at(*stored)
               ? "it was written at a time that has not come yet, so its age is not known"
               : "it is older than the changelog keeps its tombstones";
  }
  return {};
}

}  // namespace

events::Result<RollForward> RollForward::begin(std::unique_ptr<state::PartitionStore> store,
                                               const std::string& name, Watermarks all,
                                               events::Timestamp now) {
  RollForward result(std::move(store));
  const auto stored = read_store_position(*result.store_);
  if (const auto reason = obstacle(stored, all, now); !reason.empty()) {
    if (stored) spdlog::warn("the state of {} is rebuilt: {}", name, reason);
    if (const auto wiped = result.begin_anew(all.low, now); !wiped) {
      return tl::unexpected(wiped.error());
    }
  } else {
    result.position_ = *stored;
    // Where nothing is missing, not even of open transactions, nothing can be dropped before it is
    // read.
    result.fresh_at_ = stored->changelog_offset == all.high ? now : fresh_at(*stored);
    result.began_warm_ = now.ms - stored->agreed_at_ms <= kWarmAgeMsMax;
  }
  result.began_offset_ = result.reached_offset_ = result.position_.changelog_offset;
  return result;
}

events::Status RollForward::begin_anew(std::int64_t low_offset, events::Timestamp now) {
  position_ = StorePosition{};
  position_.changelog_offset = low_offset;
  position_.rebuilt_from_ms = now.ms;
  fresh_at_ = now;
  return store_->wipe();
}

events::Status RollForward::apply(const events::RecordView& record) {
  if (!record.key || record.offset < position_.changelog_offset) return {};
  if (*record.key == kClaimKey) {
    position_.claim.reset();
    if (record.value) {
      auto claim = events::decode<Claim>(*record.value);
      if (!claim) return tl::unexpected(claim.error());
      position_.claim = *std::move(claim);
    }
  } else if (*record.key == kCommitKey) {
    if (record.value) {
      auto commit = events::decode<CommitRecord>(*record.value);
      if (!commit) return tl::unexpected(commit.error());
      commit->work.clear();
      position_.commit = *std::move(commit);
    }
  } else {
    store_->apply(*record.key, record.value);
  }
  ++records_;
  unwritten_ = true;
  position_.changelog_offset = record.offset + 1;
  reach(record.offset + 1);
  return {};
}

void RollForward::reach(std::int64_t offset) {
  reached_offset_ = std::max(reached_offset_, offset);
}

void RollForward::agree(events::Timestamp at) {
  position_.agreed_at_ms = at.ms;
  position_.rebuilt_from_ms.reset();
  unwritten_ = true;
}

// A store never gets past a gap: its position would hide that there was one.
events::Result<bool> RollForward::write(events::Timestamp now) {
  if (!unwritten_) return true;
  if (may_be_too_old(fresh_at_, now)) return false;
  const auto written = store_->write_applied(events::encode(position_));
  if (!written) return tl::unexpected(written.error());
  unwritten_ = false;
  fresh_at_ = std::max(fresh_at_, events::Timestamp{position_.agreed_at_ms});
  return true;
}

}  // namespace voketag::runtime
