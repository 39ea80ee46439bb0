#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "events/error.h"
#include "processors/projection.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/view_sink.h"

namespace voketag::runtime {

// What a replay leaves out: a record that the projection or the database refuses.
struct ReplayReject {
  TopicPartition partition;
  std::int64_t offset = 0;
  std::string reason;
  std::string detail;
};

// Keeps the list of them. Each is added before the transaction that passes over it is committed,
// and again when that one fails: by partition and offset it is one.
class ReplayRejectList {
 public:
  virtual ~ReplayRejectList() = default;
  virtual events::Status add(std::span<const ReplayReject> rejects) = 0;
};

struct ReplayerOptions {
  // The sink keeps the rows of a transaction until it is committed.
  std::size_t transaction_bytes_max = 16U << 20;
  std::size_t transaction_records_max = 65'536;
  // So much work a crash undoes at most; and so long a wish to pause is not heard.
  int commit_interval_ms = 1'000;
  std::size_t records_per_poll_max = 2'000;
  // What is known to be in the log must come within this.
  int silence_max_ms = 20'000;
};

struct ReplayerCounts {
  std::int64_t records = 0;
  std::int64_t commits = 0;
  std::int64_t rejects = 0;
};

// Projects the records of all partitions of a projection's inputs into a sink, from where the sink
// stands up to offsets that it is given, never beyond: so two generations of a view can be brought
// to stand at equal offsets. Belongs to no group and has no producer: it emits nothing, whatever it
// meets.
//
// After an error the sink's positions tell how far it came; another replayer goes on from there.
// Not thread-safe.
class Replayer final : private ViewSink::RejectHandler {
 public:
  Replayer(Log& log, processors::Projection& projection, ViewSink& sink, ReplayRejectList& rejects,
           const Clock& clock, ReplayerOptions options = {});
  ~Replayer() override;
  Replayer(const Replayer&) = delete;
  Replayer& operator=(const Replayer&) = delete;

  // Asks the sink where it stands in these partitions, which are all that will be read.
  events::Status place(std::span<const TopicPartition> partitions);

  // Works until every partition stands exactly at its target, one offset per partition in the order
  // of place(). True: they all do, and it is committed. False: `go_on`, which is asked after
  // commits, every commit interval at least, said no; what was done until then is committed.
  // kNotFound: records are no longer in the log. kInternal: a target lies before the position.
  events::Result<bool> run_to(std::span<const std::int64_t> targets,
                              const std::function<bool()>& go_on);

  // The next offset of each partition, as committed; in the order of place().
  std::vector<std::int64_t> positions() const;
  const ReplayerCounts& counts() const { return counts_; }

 private:
  struct Input {
    TopicPartition partition;
    std::int64_t committed = 0;
    std::int64_t next_offset = 0;
    std::int64_t target = 0;
    bool reading = false;
  };

  events::Status on_rejected(std::span<const ViewSink::Rejected> rejected) override;

  events::Status aim(std::span<const std::int64_t> targets);
  events::Status read_some();
  events::Status out_of_range(const TopicPartitionOffset& lost) const;
  events::Status handle(const events::RecordView& record, Input& input);
  void advance(Input& input, std::int64_t next_offset);
  Input* find_input(std::string_view topic, std::int32_t partition);
  bool is_full() const;
  bool has_arrived() const;
  events::Status commit();

  Log& log_;
  processors::Projection& projection_;
  ViewSink& sink_;
  ReplayRejectList& reject_list_;
  const Clock& clock_;
  const ReplayerOptions options_;

  std::unique_ptr<Fetcher> fetcher_;
  std::vector<Input> inputs_;
  std::map<std::string, std::vector<Input*>, std::less<>> by_topic_;  // then by partition
  std::vector<ReplayReject> rejects_;                                 // of the open transaction
  std::size_t records_ = 0;                                           // of the open transaction
  Moment committed_at_;
  Moment heard_at_;  // when the log last brought anything
  ReplayerCounts counts_;
};

}  // namespace voketag::runtime
