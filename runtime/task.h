#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/envelope.h"
#include "events/error.h"
#include "events/record.h"
#include "processors/processor.h"
#include "runtime/history.h"
#include "runtime/position.h"
#include "state/partition_store.h"

namespace voketag::runtime {

// How often a handler that throws is run on one event before the event becomes a dead letter.
inline constexpr int kHandlerAttempts = 3;
// Until a timer whose handler failed that often is tried again.
inline constexpr std::int64_t kFailedTimerDelayMs = 60'000;

// Where a restored partition stands.
struct RestoredPartition {
  std::unique_ptr<state::PartitionStore> store;
  StorePosition position;                      // of the changelog
  std::map<std::string, std::int64_t> inputs;  // next offset per input topic
};

// One partition of one processor at work: runs handlers over records and timers, keeps what they
// write in the store's overlay and what they emit in a list, and knows the positions reached. It
// takes no part in transactions itself: its worker does, and tells it how they ended.
//
// Used by one thread at a time.
class Task final : private processors::Context {
 public:
  Task(processors::Processor& processor, std::int32_t partition, RestoredPartition restored,
       std::string configuration_version);

  std::int32_t partition() const { return partition_; }
  // The next offset to be read of an input topic, counting the open transaction; none: not an
  // input.
  std::optional<std::int64_t> next_offset(std::string_view topic) const;
  // The same as of the last commit.
  const std::map<std::string, std::int64_t>& committed_inputs() const { return committed_inputs_; }
  const std::map<std::string, std::int64_t>& open_inputs() const { return open_inputs_; }

  // Runs the handler on a record; appends what it emits, dead letters included, to `outputs`. A
  // record below the position is skipped. Never throws for what a handler does; throws
  // state::Failure when the state itself cannot be read, and std::bad_alloc.
  void handle(const events::RecordView& record, std::vector<events::OutputRecord>& outputs);
  // Moves past a record that must not be handled again, with a dead letter that says why.
  void refuse(const events::RecordView& record, std::string_view reason, std::string_view detail,
              std::vector<events::OutputRecord>& outputs);
  // Fires at most one timer that is due by `log_now` (log_time.h), which its handler sees as the
  // time: one that is late, and sets itself again, waits as long as ever; false: none was.
  bool fire_timer(events::Timestamp log_now, std::vector<events::OutputRecord>& outputs);
  // Fires the timer of that name as it was fired once, whose handler saw `fired_at`, whatever else
  // is due; false: no such timer is set. For a shadow.
  bool fire_timer_again(std::string_view name, events::Timestamp fired_at,
                        std::vector<events::OutputRecord>& outputs);
  std::optional<events::Timestamp> next_timer() const;
  // The largest time of a broker that it has seen.
  events::Timestamp time_seen() const { return now_; }

  // Whether the open transaction has touched this partition.
  bool touched() const { return !work_.empty(); }
  // What the changelog gets for the open transaction: every changed key, then the commit record.
  std::vector<events::OutputRecord> changelog_records() const;
  // What the history gets for it.
  TaskWork history_entry() const;
  // The transaction committed: state and position become durable. `changelog_offset` is that of
  // the transaction's last changelog record, none if it is not known (the store then replays a few
  // records more when it is opened next).
  events::Status committed(std::optional<std::int64_t> changelog_offset, events::Timestamp at);
  // Notes that nothing was missing at `at`: however long it is quiet, the store stays young.
  events::Status stays_agreed(events::Timestamp at);
  // The transaction did not commit: as if it had never begun.
  void rewind();
  // Notes the claim that this owner has committed.
  void claimed(Claim claim) { position_.claim = std::move(claim); }

 private:
  // ---- processors::Context
  events::Timestamp now() const override { return now_; }
  state::Store& store() override { return *store_; }
  void emit_json(std::string_view topic, std::string_view key, std::string json) override;
  void set_timer(std::string_view name, events::Timestamp due) override;
  void cancel_timer(std::string_view name) override;
  void dead_letter(std::string_view reason, std::string_view detail) override;

  // Why a handler's work was dropped.
  struct Complaint {
    std::string_view reason;  // of the dead letter
    std::string detail;
  };
  // What a handler has done so far; kept or dropped as a whole.
  struct Attempt {
    std::vector<events::OutputRecord> outputs;
    int ordinal = 0;
  };
  template <class Handler>
  std::optional<Complaint> run_handler(Handler&& handler,
                                       std::vector<events::OutputRecord>& outputs);
  void note_record(const events::RecordView& record);
  void fire(const std::string& digits, const std::string& name, events::Timestamp at,
            std::vector<events::OutputRecord>& outputs);
  void erase_timer(std::string_view digits, std::string_view name);
  void read_next_timer();
  CommitRecord commit_record() const;
  std::int64_t open_sequence() const;

  processors::Processor& processor_;
  const std::int32_t partition_;
  const std::string source_;
  const std::string changelog_topic_;
  const std::string configuration_version_;
  std::unique_ptr<state::PartitionStore> store_;
  StorePosition position_;

  std::map<std::string, std::int64_t> committed_inputs_;
  std::map<std::string, std::int64_t> open_inputs_;
  std::vector<WorkRun> work_;
  std::int64_t committed_sequence_ = kFirstSequence;  // of the last commit record
  events::Timestamp now_;
  events::Timestamp committed_now_;
  std::optional<events::Timestamp> next_timer_;
  bool timers_changed_ = false;  // next_timer_ must be read again
  // No timer is due before it, in digits; as it was at the last commit. The search for the next
  // timer begins there, behind the timers of the past: an erased key costs whoever passes it.
  std::string timer_floor_;
  std::string committed_timer_floor_;

  const events::RecordView* record_ = nullptr;  // being handled; null in a timer
  events::Envelope cause_;
  Attempt attempt_;
};

// The changelog topic of a processor.
std::string changelog_topic(std::string_view processor);

// Throws away a partition's position where its JSON cannot be read: the store is then rebuilt.
std::optional<StorePosition> read_store_position(const state::PartitionStore& store);

}  // namespace voketag::runtime
