#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "events/error.h"
#include "events/record.h"
#include "events/timestamp.h"
#include "runtime/log.h"
#include "runtime/position.h"
#include "state/partition_store.h"

namespace voketag::runtime {

// The store of one partition on its way to the end of its changelog: what a Restorer and a Standby
// have in common. It knows which records the store has and since when it can be trusted; which ones
// to read, and until when, its owner decides.
//
// Used by one thread at a time.
class RollForward {
 public:
  // Goes on where the store stands. One that is missing, unreadable, ahead of the changelog, behind
  // its beginning, or so old that it may lack tombstones that the changelog has dropped since, is
  // wiped and begun anew. `name` is for the log, `all` what the changelog has now, committed or
  // not. An error: the disk.
  static events::Result<RollForward> begin(std::unique_ptr<state::PartitionStore> store,
                                           const std::string& name, Watermarks all,
                                           events::Timestamp now);

  // The next committed record of the changelog; one that the store has already changes nothing. An
  // error: it is none that an engine writes.
  events::Status apply(const events::RecordView& record);
  // Up to here there is nothing more: what is left are markers and aborted records.
  void reach(std::int64_t offset);
  // Notes that what was committed at `at` has all been applied.
  void agree(events::Timestamp at);
  std::size_t unwritten_bytes() const { return store_->applied_bytes(); }
  // Puts what was applied and noted into the store, with the position that it leads to. An error:
  // the disk. False: nothing was written, because so much time has passed that tombstones may have
  // been dropped before they were read; begin() must look at the store again.
  events::Result<bool> write(events::Timestamp now);

  const StorePosition& position() const { return position_; }
  std::int64_t began_offset() const { return began_offset_; }
  std::int64_t reached_offset() const { return reached_offset_; }  // the next one to come
  std::int64_t records() const { return records_; }                // applied since begin()
  // Whether the store was close behind its changelog when this began.
  bool began_warm() const { return began_warm_; }
  bool wanted() const { return store_->wanted(); }

  std::unique_ptr<state::PartitionStore> take_store() { return std::move(store_); }

 private:
  explicit RollForward(std::unique_ptr<state::PartitionStore> store) : store_(std::move(store)) {}
  events::Status begin_anew(std::int64_t low_offset, events::Timestamp now);

  std::unique_ptr<state::PartitionStore> store_;
  StorePosition position_;
  // No tombstone was dropped yet at this time that the store has still to read.
  events::Timestamp fresh_at_;
  std::int64_t began_offset_ = 0;
  std::int64_t reached_offset_ = 0;
  std::int64_t records_ = 0;
  bool began_warm_ = false;
  bool unwritten_ = false;
};

}  // namespace voketag::runtime
