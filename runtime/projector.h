#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "processors/projection.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/view_sink.h"

namespace voketag::runtime {

struct ProjectorOptions {
  // Before the name of the consumer group.
  std::string name_prefix = "voketag.";
  // Where the member's identity lies (former_member.h); empty: it is not kept, and after a crash
  // the projector waits until its group has noticed.
  std::filesystem::path member_file;
  // How far apart commits are while records keep coming. The first record after a pause is
  // committed at once, so this is no latency that an idle system pays
  // (docs/decisions/0007-view-writes.md).
  int commit_interval_ms = 100;
  // A transaction is committed before it holds more than this: the sink keeps its rows, and the
  // projector the records they came from, until then.
  std::size_t transaction_bytes_max = 8U << 20;
  std::size_t transaction_records_max = 8'192;
  std::size_t records_per_poll_max = 1'000;
  // How often the consumer group is told where the projection stands. Monitors read that; the
  // projector itself never does.
  int hint_interval_ms = 5'000;
  // How often positions alone are committed, when only transaction markers were passed.
  int idle_advance_interval_ms = 30'000;
};

// What a projector has done since it was made.
struct ProjectorCounts {
  std::int64_t records = 0;  // handled, again after a reload
  std::int64_t commits = 0;
  std::int64_t dead_letters = 0;  // written, again after a reload
  std::int64_t reloads = 0;       // times that all positions were read again
};

// One member of the consumer group "<prefix>projector-<projection>": turns the records of the
// partitions it is given into rows of the projection's views. Of every input topic it reads the
// partition numbers that the group gives it of the first one.
//
// Rows and positions are committed together by the sink, which is the truth about both. After any
// failure of it the projector reads the positions again and goes on from there; so each record
// takes effect once, whatever happens in between. While the database is away it reads nothing,
// keeps its membership and tries again.
//
// A record that the projection or the database refuses becomes a dead letter, acknowledged before
// the transaction that passes over it is committed.
//
// Used by one thread, which calls step() again and again. Several projectors may share a projection
// object; each has a sink of its own. The destructor commits nothing: it is a crash as far as
// anyone can tell.
class Projector final : private RebalanceListener, private ViewSink::RejectHandler {
 public:
  Projector(Log& log, processors::Projection& projection, ViewSink& sink, const Clock& clock,
            ProjectorOptions options);
  ~Projector() override;
  Projector(const Projector&) = delete;
  Projector& operator=(const Projector&) = delete;

  // One round: rebalances, positions, records, a commit if one is due. Waits at most timeout_ms for
  // records. With timeout_ms 0 and nothing to read, what was gathered is committed. An error is one
  // that the projector cannot cure: stop the process.
  events::Status step(int timeout_ms);

  // Commits, and leaves the group.
  events::Status stop();

  // Whether there is a member; if not, step() returns at once until it tries again.
  bool connected() const { return membership_ != nullptr; }
  // Whether every partition that the group has given is being read.
  bool settled() const { return assigned_once_ && unplaced_ == 0; }
  const ProjectorCounts& counts() const { return counts_; }

 private:
  // One partition of one input topic.
  struct Input {
    TopicPartition partition;
    bool placed = false;           // its position is known and the fetcher reads it
    std::int64_t committed = 0;    // as the sink has it
    std::int64_t next_offset = 0;  // counting what is gathered
  };

  void on_assigned(std::span<const std::int32_t> partitions) override;
  void on_generation() override;
  void on_revoked(std::span<const std::int32_t> partitions) override;
  void on_lost(std::span<const std::int32_t> partitions) override;
  events::Status on_rejected(std::span<const ViewSink::Rejected> rejected) override;

  events::Status ensure_connected();
  void resume_former();
  void end_former();
  void add_inputs(std::int32_t partition);
  events::Status reconnect_later(const events::Error& error);
  void drop_inputs(std::span<const std::int32_t> partitions);
  Input* find_input(std::string_view topic, std::int32_t partition);
  events::Status place_inputs();

  events::Status handle_records(int timeout_ms);
  events::Status handle_batch(const FetchBatch& batch);
  void handle(const events::RecordView& record, Input& input);
  void keep_dead_letter(const events::RecordView& record, std::string_view reason,
                        std::string_view detail);
  void take_ends(const FetchBatch& batch);
  int wait_ms(int timeout_ms) const;
  const events::RecordView* find_record(const TopicPartition& partition, std::int64_t offset) const;

  bool commit_is_due() const;
  events::Status commit();
  events::Status write_and_commit(std::span<const ViewSink::Advance> advances);
  std::vector<ViewSink::Advance> advances() const;
  void give_hint();
  void release_records();
  // Drops what is gathered and has every position read again.
  void reload();

  Log& log_;
  processors::Projection& projection_;
  ViewSink& sink_;
  const Clock& clock_;
  const ProjectorOptions options_;
  const std::string name_;  // "projector-<projection>"
  const std::string group_;
  const std::vector<std::string_view> topics_;

  std::unique_ptr<Membership> membership_;
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<Producer> producer_;  // of dead letters
  Moment reconnect_at_;
  bool assigned_once_ = false;
  // The member that a crash ended, as long as its group has not noticed: until it gives partitions
  // the projector goes on with those of the dead member. Positions are fenced by the sink.
  std::unique_ptr<Membership> former_;
  std::set<std::int32_t> owned_;  // what the group has given

  std::vector<Input> inputs_;
  std::size_t unplaced_ = 0;

  // The open transaction.
  std::deque<FetchBatch> batches_;  // whose records it came from; the last one may be half handled
  std::vector<events::OutputRecord> dead_letters_;
  std::size_t dead_letter_bytes_ = 0;
  std::size_t record_bytes_ = 0;
  std::size_t records_ = 0;
  bool drained_ = false;     // the last poll brought nothing
  bool batch_void_ = false;  // what is left of the batch was fetched for positions that do not hold

  Moment committed_at_;
  Moment hinted_at_;
  // A rebalance callback cannot return an error: it is kept for the step it happened in.
  events::Status callback_status_;
  ProjectorCounts counts_;
};

}  // namespace voketag::runtime
