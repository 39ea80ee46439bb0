#include "runtime/shadow_replay.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <set>
#include <thread>

#include "events/codec.h"
#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/history.h"
#include "runtime/read_range.h"
#include "runtime/task.h"
#include "state/scratch.h"

namespace voketag::runtime {
namespace {

using events::Errc;
using events::fail;
using events::RecordView;
using events::Result;
using events::Status;

constexpr std::int64_t kProgressRecords = 1'000;
constexpr std::size_t kRecordsPerPollMax = 500;
constexpr int kPollMs = 100;
constexpr std::size_t kUnsetTimersShown = 20;
constexpr std::size_t kCopiedBytesMax = 1U << 20;
constexpr auto kSettlePause = std::chrono::milliseconds(20);
// A transaction whose owner died is settled by its successor, or by the brokers after a while.
constexpr auto kSettleMax = std::chrono::seconds(60);

tl::unexpected<events::Error> ended() {
  return fail(Errc::kConflict, "ended before everything was compared");
}

std::string place(const TopicPartition& partition) {
  return partition.topic + " partition " + std::to_string(partition.partition);
}

// The records of one input partition, in order, run by run.
class InputCursor {
 public:
  InputCursor(Fetcher& fetcher, TopicPartition partition)
      : fetcher_(fetcher), partition_(std::move(partition)) {}
  ~InputCursor() { fetcher_.unassign(partition_); }
  InputCursor(const InputCursor&) = delete;
  InputCursor& operator=(const InputCursor&) = delete;

  // Calls `visit` with each record from the first to the last of a run, both of which must be
  // there. Runs are read in rising order.
  Status read(std::int64_t first, std::int64_t last,
              const std::function<Status(const RecordView&)>& visit) {
    if (!begun_) {
      if (auto assigned = fetcher_.assign(partition_, first); !assigned) return assigned;
      begun_ = true;
    }
    std::int64_t wanted = first;
    for (;;) {
      auto record = next();
      if (!record) return tl::unexpected(record.error());
      if (*record == nullptr || (*record)->offset > last) return gone(wanted);
      const RecordView& found = **record;
      ++index_;
      if (found.offset < first) continue;
      if (wanted == first && found.offset != first) return gone(first);
      if (auto visited = visit(found); !visited) return visited;
      if (found.offset == last) return {};
      wanted = last;
    }
  }

 private:
  // The record at the cursor, which stays there; null: the log has none, now and for ever.
  Result<const RecordView*> next() {
    const auto began_at = std::chrono::steady_clock::now();
    while (index_ >= batch_.records.size()) {
      if (!batch_.out_of_range.empty()) return nullptr;
      index_ = 0;
      if (auto polled = fetcher_.poll(batch_, kPollMs, kRecordsPerPollMax); !polled) {
        return tl::unexpected(polled.error());
      }
      // What the history names was committed long ago: an end before it means that it was deleted.
      if (batch_.records.empty() && !batch_.ends.empty()) return nullptr;
      if (batch_.records.empty() &&
          std::chrono::steady_clock::now() - began_at > std::chrono::milliseconds(kReadTimeoutMs)) {
        return fail(Errc::kUnavailable,
                    "Kafka does not deliver " + place(partition_) + ": is its leader up?");
      }
    }
    return &batch_.records[index_];
  }

  tl::unexpected<events::Error> gone(std::int64_t offset) const {
    return fail(Errc::kNotFound, place(partition_) + " offset " + std::to_string(offset) +
                                     " was handled then and is no longer in the log: without it "
                                     "nothing can be replayed. Restore the topic");
  }

  Fetcher& fetcher_;
  const TopicPartition partition_;
  bool begun_ = false;
  FetchBatch batch_;
  std::size_t index_ = 0;
};

// What the history has of one partition.
struct TaskHistory {
  std::int64_t last = 0;
  std::int64_t whole_from = 0;  // no transaction is missing from this one on
  bool counts_anew = false;     // a number came again
  // Where the inputs stood when nothing had been done.
  std::optional<std::vector<InputPosition>> first_positions;
};

class ShadowReplay {
 public:
  ShadowReplay(Log& log, processors::Processor& processor, const ShadowOptions& options,
               const ShadowProgressCallback& progress)
      : log_(log),
        processor_(processor),
        options_(options),
        progress_(progress),
        history_{history_topic(processor.name()), kHistoryPartition} {}

  Result<ShadowReport> run() {
    for (const auto step : {&ShadowReplay::find_ends, &ShadowReplay::survey_history,
                            &ShadowReplay::plan, &ShadowReplay::note_emitted}) {
      if (auto done = (this->*step)(); !done) return tl::unexpected(done.error());
    }
    for (const auto& start : report_.partitions) {
      if (auto done = replay_partition(start); !done) return tl::unexpected(done.error());
    }
    if (auto done = compare(); !done) return tl::unexpected(done.error());
    return std::move(report_);
  }

 private:
  struct OutputEnd {
    std::int64_t low = 0;
    std::int64_t covered = 0;  // what was committed before it, the history has
    std::int64_t later = 0;    // behind what was committed by the transactions of the history
  };

  // ---- how far: every output of the history's transactions, and none that they have not made

  // In this order: outputs up to here, then the history of their transactions, then whatever else
  // those have emitted. Each time until nothing is undecided below the end.
  Status find_ends() {
    std::vector<TopicPartition> partitions;
    for (const auto& topic : events::topic_catalogue()) {
      for (std::int32_t number = 0; number < topic.partitions; ++number) {
        partitions.push_back({std::string(topic.name), number});
      }
    }
    const auto covered = settled(partitions);
    if (!covered) return tl::unexpected(covered.error());
    const auto history = settled(std::span(&history_, 1));
    if (!history) return tl::unexpected(history.error());
    const auto later = settled(partitions);
    if (!later) return tl::unexpected(later.error());
    history_marks_ = history->front();
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      output_ends_[partitions[i]] = {(*covered)[i].low, (*covered)[i].high, (*later)[i].high};
    }
    return {};
  }

  // The partitions' bounds as of now, once every transaction below the ends is decided.
  Result<std::vector<Watermarks>> settled(std::span<const TopicPartition> partitions) {
    const auto now = log_.watermarks(partitions, Isolation::kReadUncommitted);
    if (!now) return now;
    const auto deadline = std::chrono::steady_clock::now() + kSettleMax;
    for (;;) {
      const auto stable = log_.watermarks(partitions, Isolation::kReadCommitted);
      if (!stable) return stable;
      std::optional<std::size_t> open;
      for (std::size_t i = 0; i < partitions.size(); ++i) {
        if ((*stable)[i].high < (*now)[i].high) open = i;
      }
      if (!open) return now;
      if (std::chrono::steady_clock::now() > deadline) {
        return fail(Errc::kUnavailable, "a transaction on " + place(partitions[*open]) +
                                            " is not settled; see `voketag doctor`");
      }
      if (!progress_({"history", 0, 0})) return ended();
      std::this_thread::sleep_for(kSettlePause);
    }
  }

  // ---- what there is

  using TransactionVisitor = std::function<Status(const RecordView&, const TransactionRecord&)>;
  Status read_history(const TransactionVisitor& visit) {
    auto fetcher = log_.open_fetcher(Isolation::kReadCommitted);
    if (!fetcher) return tl::unexpected(fetcher.error());
    Status status;
    const auto take = [&](const RecordView& record) {
      const auto transaction = events::decode<TransactionRecord>(record.value.value_or(""));
      if (!transaction) {
        status = fail(Errc::kCorrupt,
                      place(history_) + " offset " + std::to_string(record.offset) +
                          " is no record of a transaction: " + transaction.error().message);
      } else {
        status = visit(record, *transaction);
      }
      return status.has_value();
    };
    const auto read =
        read_range(**fetcher, history_, history_marks_.low, history_marks_.high, take);
    return read ? status : read;
  }

  bool wanted(const TaskWork& task) const {
    return !options_.partition || task.partition == *options_.partition;
  }

  Status survey_history() {
    const std::int64_t total = history_marks_.high - history_marks_.low;
    return read_history([&](const RecordView& record, const TransactionRecord& transaction) {
      if (record.offset % kProgressRecords == 0 &&
          !progress_({"history", record.offset - history_marks_.low, total})) {
        return Status(ended());
      }
      for (const auto& task : transaction.tasks) {
        if (wanted(task)) note_task(task);
      }
      for (const auto& topic : transaction.emitted_to) {
        if (!output_ends_.contains({topic, 0})) {
          return Status(fail(Errc::kInvalid, "the history names the topic " + topic +
                                                 ", which this program does not know: use one "
                                                 "that is not older than what wrote it"));
        }
        emitted_to_.insert(topic);
      }
      return Status();
    });
  }

  void note_task(const TaskWork& task) {
    TaskHistory& known = tasks_[static_cast<std::int32_t>(task.partition)];
    const bool is_claim = task.work.empty();
    if (is_claim && task.sequence == kFirstSequence) known.first_positions = task.positions;
    if (task.sequence < known.last + (is_claim ? 0 : 1)) known.counts_anew = true;
    // Behind a claim comes the next one; work has a number of its own.
    const std::int64_t first_seen = task.sequence + (is_claim ? 1 : 0);
    if (first_seen != known.last + 1) known.whole_from = first_seen;
    known.last = task.sequence;
  }

  // ---- where each partition begins

  Status plan() {
    if (tasks_.empty()) {
      return fail(
          Errc::kInvalid,
          "there is no history of " + std::string(processor_.name()) +
              (options_.partition ? " partition " + std::to_string(*options_.partition) : "") +
              ": it has committed nothing since its transactions are "
              "recorded, or that is longer ago than they are kept");
    }
    std::string refused;
    for (const auto& [partition, known] : tasks_) {
      ShadowReport::Partition start{partition, kFirstSequence + 1, known.last, false};
      auto reason = known.counts_anew ? std::optional<std::string>(
                                            "counts its transactions anew: "
                                            "its changelog was lost")
                                      : std::nullopt;
      if (!reason) reason = begin_from_state(start, known);
      if (reason) {
        refused += (refused.empty() ? "" : "; ") + std::string("partition ") +
                   std::to_string(partition) + " " + *reason;
      }
      report_.partitions.push_back(start);
    }
    if (refused.empty()) return {};
    return fail(Errc::kInvalid,
                "the history of " + std::string(processor_.name()) +
                    " cannot be replayed from where it would have to begin: " + refused +
                    ". Begin at a checkpoint of the state with --state DIR (`voketag state "
                    "checkpoint` makes one), or choose another --partition");
  }

  // Why it cannot begin; none: it can.
  std::optional<std::string> begin_from_state(ShadowReport::Partition& start,
                                              const TaskHistory& known) {
    if (options_.state != nullptr) {
      const auto store = options_.state->open_partition(processor_.name(), start.partition);
      const auto position = read_store_position(*store);
      if (position && position->commit) {
        if (!position->commit->sequence) return "has a state from before there was a history";
        start.from_sequence = *position->commit->sequence + 1;
        start.from_state = true;
      }
    }
    const bool has_beginning = start.from_state || known.first_positions;
    if (has_beginning && start.from_sequence >= known.whole_from) return std::nullopt;
    return (start.from_state ? "has a state that stands before transaction "
                             : "would have to begin at transaction ") +
           std::to_string(start.from_sequence) + ", and all are there only from " +
           std::to_string(known.whole_from) + " on";
  }

  bool covers_everything() const {
    return !options_.partition &&
           std::ranges::none_of(report_.partitions, &ShadowReport::Partition::from_state);
  }

  // ---- what was emitted

  Status note_emitted() {
    auto scratch = state::Scratch::make(options_.scratch, "shadow");
    if (!scratch) return tl::unexpected(scratch.error());
    scratch_ = *std::move(scratch);
    hashes_ = scratch_->database().open_partition("emitted", 0);
    comparison_ =
        std::make_unique<OutputComparison>(*hashes_, "/voketag/" + std::string(processor_.name()));
    auto fetcher = log_.open_fetcher(Isolation::kReadCommitted);
    if (!fetcher) return tl::unexpected(fetcher.error());
    std::int64_t total = 0;
    for (const auto& [partition, end] : output_ends_) {
      if (emitted_to_.contains(partition.topic)) total += end.later - end.low;
    }
    std::int64_t done = 0;
    for (const auto& [partition, end] : output_ends_) {
      if (!emitted_to_.contains(partition.topic)) continue;
      if (auto noted = note_partition(**fetcher, partition, end, done, total); !noted) return noted;
      done += end.later - end.low;
    }
    return {};
  }

  Status note_partition(Fetcher& fetcher, const TopicPartition& partition, const OutputEnd& end,
                        std::int64_t done_before, std::int64_t total) {
    Status status;
    std::int64_t records = 0;
    const auto note = [&](const RecordView& record) {
      const auto era = record.offset < end.covered ? OutputComparison::Era::kCovered
                                                   : OutputComparison::Era::kLater;
      status = comparison_->note_emitted(record, era);
      if (status && ++records % kProgressRecords == 0 &&
          !progress_({"emitted", done_before + record.offset - end.low, total})) {
        status = ended();
      }
      return status.has_value();
    };
    const auto read = read_range(fetcher, partition, end.low, end.later, note);
    return read ? status : read;
  }

  // ---- the same again

  Result<RestoredPartition> prepare(const ShadowReport::Partition& start) {
    RestoredPartition restored;
    restored.store = scratch_->database().open_partition(processor_.name(), start.partition);
    std::vector<InputPosition> positions;
    if (!start.from_state) {
      positions = *tasks_.at(start.partition).first_positions;
    } else {
      const auto source = options_.state->open_partition(processor_.name(), start.partition);
      restored.position = read_store_position(*source).value();
      positions = restored.position.commit->positions;
      if (auto copied = copy(*source, *restored.store); !copied) {
        return tl::unexpected(copied.error());
      }
    }
    for (const auto& each : positions) restored.inputs[each.topic] = each.next_offset;
    return restored;
  }

  static Status copy(const state::PartitionStore& from, state::PartitionStore& to) {
    Status status;
    from.scan("", [&](std::string_view key, std::string_view value) {
      to.apply(key, value);
      if (to.applied_bytes() >= kCopiedBytesMax) status = to.write_applied("copy");
      return status.has_value();
    });
    return status ? to.write_applied("copy") : status;
  }

  Status replay_partition(const ShadowReport::Partition& start) {
    if (start.from_sequence > start.to_sequence) return {};
    auto restored = prepare(start);
    if (!restored) return tl::unexpected(restored.error());
    Task task(processor_, start.partition, *std::move(restored), options_.configuration_version);
    Cursors cursors;
    std::int64_t next = start.from_sequence;
    const auto replayed =
        read_history([&](const RecordView&, const TransactionRecord& transaction) {
          for (const auto& entry : transaction.tasks) {
            if (entry.partition != start.partition || entry.work.empty()) continue;
            if (entry.sequence != next) continue;
            ++next;
            ++report_.configurations[transaction.configuration_version];
            ++report_.transactions;
            if (!progress_({"shadow", report_.transactions, transactions_to_do()})) {
              return Status(ended());
            }
            if (auto done = replay_entry(task, entry, cursors); !done) return done;
          }
          return Status();
        });
    if (!replayed || next > start.to_sequence) return replayed;
    return fail(Errc::kUnavailable,
                "records of " + place(history_) + " were deleted while it was read; try again");
  }

  std::int64_t transactions_to_do() const {
    std::int64_t sum = 0;
    for (const auto& each : report_.partitions) {
      sum += std::max<std::int64_t>(each.to_sequence - each.from_sequence + 1, 0);
    }
    return sum;
  }

  // By input topic; of one partition.
  using Cursors = std::map<std::string, std::unique_ptr<InputCursor>>;

  Status replay_entry(Task& task, const TaskWork& entry, Cursors& cursors) {
    for (const auto& run : entry.work) {
      if (auto done = run.timer ? replay_timer(task, entry, run) : replay_run(task, run, cursors);
          !done) {
        return done;
      }
    }
    return task.committed(std::nullopt, {});
  }

  Status replay_timer(Task& task, const TaskWork& entry, const WorkRun& run) {
    ++report_.timers;
    outputs_.clear();
    if (task.fire_timer_again(*run.timer, {run.fired_at_ms.value_or(0)}, outputs_)) {
      return check_outputs();
    }
    ++report_.unset_timers;
    if (report_.unset_timers_shown.size() < kUnsetTimersShown) {
      report_.unset_timers_shown.push_back({*run.timer, task.partition(), entry.sequence});
    }
    return {};
  }

  Status replay_run(Task& task, const WorkRun& run, Cursors& cursors) {
    if (!run.topic || !run.from_offset || !run.to_offset) {
      return fail(Errc::kCorrupt, place(history_) + " has a run of neither records nor a timer");
    }
    auto& cursor = cursors[*run.topic];
    if (!cursor) {
      auto& fetcher = fetchers_[*run.topic];
      if (!fetcher) {
        auto opened = log_.open_fetcher(Isolation::kReadCommitted);
        if (!opened) return tl::unexpected(opened.error());
        fetcher = *std::move(opened);
      }
      cursor =
          std::make_unique<InputCursor>(*fetcher, TopicPartition{*run.topic, task.partition()});
    }
    return cursor->read(*run.from_offset, *run.to_offset, [&](const RecordView& record) {
      ++report_.records;
      outputs_.clear();
      if (run.refused_reason) {
        task.refuse(record, *run.refused_reason, run.refused_detail.value_or(""), outputs_);
      } else {
        task.handle(record, outputs_);
      }
      return check_outputs();
    });
  }

  Status check_outputs() {
    for (const auto& output : outputs_) {
      if (auto checked = comparison_->check(output); !checked) return checked;
    }
    return {};
  }

  // ---- the verdict

  Status compare() {
    auto fetcher = log_.open_fetcher(Isolation::kReadCommitted);
    if (!fetcher) return tl::unexpected(fetcher.error());
    const auto read = [&](const TopicPartitionOffset& at,
                          const std::function<void(const RecordView&)>& visit) -> Result<bool> {
      bool found = false;
      const auto take = [&](const RecordView& record) {
        found = record.offset == at.offset;
        if (found) visit(record);
        return false;
      };
      const auto done =
          read_range(**fetcher, {at.topic, at.partition}, at.offset, at.offset + 1, take);
      if (!done) return tl::unexpected(done.error());
      return found;
    };
    const bool with_extra = covers_everything();
    if (auto done = comparison_->finish(with_extra, read); !done) return done;
    report_.equal = comparison_->equal();
    report_.different = comparison_->different();
    report_.missing = comparison_->missing();
    if (with_extra) report_.extra = comparison_->extra();
    report_.differences = comparison_->differences();
    return {};
  }

  Log& log_;
  processors::Processor& processor_;
  const ShadowOptions& options_;
  const ShadowProgressCallback& progress_;
  const TopicPartition history_;

  Watermarks history_marks_;
  std::map<TopicPartition, OutputEnd> output_ends_;
  std::map<std::int32_t, TaskHistory> tasks_;
  std::set<std::string, std::less<>> emitted_to_;

  std::unique_ptr<state::Scratch> scratch_;
  std::unique_ptr<state::PartitionStore> hashes_;
  std::unique_ptr<OutputComparison> comparison_;
  std::map<std::string, std::unique_ptr<Fetcher>> fetchers_;  // by input topic
  std::vector<events::OutputRecord> outputs_;
  ShadowReport report_;
};

}  // namespace

Result<ShadowReport> replay_in_shadow(Log& log, processors::Processor& processor,
                                      const ShadowOptions& options,
                                      const ShadowProgressCallback& progress) {
  try {
    return ShadowReplay(log, processor, options, progress).run();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    // A state that cannot be read.
    return fail(Errc::kInternal, "the shadow of " + std::string(processor.name()) +
                                     " cannot go on: " + error.what());
  }
}

}  // namespace voketag::runtime
