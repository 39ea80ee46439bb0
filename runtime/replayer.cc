#include "runtime/replayer.h"

#include <algorithm>
#include <cassert>
#include <exception>
#include <new>
#include <utility>

namespace voketag::runtime {
namespace {

using events::Errc;
using events::Status;

constexpr int kPollMs = 100;

std::string name_of(const TopicPartition& partition) {
  return "partition " + std::to_string(partition.partition) + " of topic " + partition.topic;
}

}  // namespace

Replayer::Replayer(Log& log, processors::Projection& projection, ViewSink& sink,
                   ReplayRejectList& rejects, const Clock& clock, ReplayerOptions options)
    : log_(log),
      projection_(projection),
      sink_(sink),
      reject_list_(rejects),
      clock_(clock),
      options_(options) {}

Replayer::~Replayer() {
  sink_.abandon();
}

Status Replayer::place(std::span<const TopicPartition> partitions) {
  const auto positions = sink_.positions(partitions);
  if (!positions) return tl::unexpected(positions.error());
  inputs_.clear();
  by_topic_.clear();
  inputs_.reserve(partitions.size());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const std::int64_t at = (*positions)[i];
    inputs_.push_back({partitions[i], at, at, at, false});
  }
  for (Input& input : inputs_) {
    auto& topic = by_topic_[input.partition.topic];
    const auto number = static_cast<std::size_t>(input.partition.partition);
    if (topic.size() <= number) topic.resize(number + 1, nullptr);
    topic[number] = &input;
  }
  auto fetcher = log_.open_fetcher(Isolation::kReadCommitted);
  if (!fetcher) return tl::unexpected(fetcher.error());
  fetcher_ = *std::move(fetcher);
  return {};
}

std::vector<std::int64_t> Replayer::positions() const {
  std::vector<std::int64_t> positions;
  for (const Input& input : inputs_) positions.push_back(input.committed);
  return positions;
}

events::Result<bool> Replayer::run_to(std::span<const std::int64_t> targets,
                                      const std::function<bool()>& go_on) {
  if (const auto aimed = aim(targets); !aimed) return tl::unexpected(aimed.error());
  committed_at_ = heard_at_ = clock_.moment();
  std::int64_t asked_after = counts_.commits;
  while (true) {
    const bool arrived = has_arrived();
    const bool is_due = clock_.moment().ms - committed_at_.ms >= options_.commit_interval_ms;
    if (arrived || is_due) {
      if (const auto committed = commit(); !committed) return tl::unexpected(committed.error());
      if (arrived) return true;
    }
    if ((is_due || counts_.commits != asked_after) && !go_on()) {
      if (const auto committed = commit(); !committed) return tl::unexpected(committed.error());
      return false;
    }
    asked_after = counts_.commits;
    if (const auto read = read_some(); !read) return tl::unexpected(read.error());
  }
}

// Begins to read the partitions that have some way to go.
Status Replayer::aim(std::span<const std::int64_t> targets) {
  assert(targets.size() == inputs_.size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    Input& input = inputs_[i];
    input.target = targets[i];
    if (input.target < input.next_offset) {
      return events::fail(Errc::kInternal, name_of(input.partition) + " stands at offset " +
                                               std::to_string(input.next_offset) +
                                               " and is to be brought back to " +
                                               std::to_string(input.target));
    }
    if (input.reading || input.target == input.next_offset) continue;
    if (auto assigned = fetcher_->assign(input.partition, input.next_offset); !assigned) {
      return assigned;
    }
    input.reading = true;
  }
  return {};
}

Status Replayer::read_some() {
  FetchBatch batch;
  if (auto polled = fetcher_->poll(batch, kPollMs, options_.records_per_poll_max); !polled) {
    return polled;
  }
  if (!batch.out_of_range.empty()) return out_of_range(batch.out_of_range.front());
  for (const auto& record : batch.records) {
    Input* const input = find_input(record.topic, record.partition);
    if (input == nullptr || !input->reading || record.offset < input->next_offset) continue;
    // The records between are markers of transactions, or were aborted.
    if (record.offset >= input->target) {
      advance(*input, input->target);
      continue;
    }
    if (auto handled = handle(record, *input); !handled) return handled;
    if (!is_full()) continue;
    if (auto committed = commit(); !committed) return committed;
  }
  for (const auto& end : batch.ends) {
    Input* const input = find_input(end.topic, end.partition);
    if (input == nullptr || !input->reading || end.offset < input->next_offset) continue;
    advance(*input, std::min(end.offset, input->target));
  }
  // Not before they have been handled: a commit may take longer than the silence that is allowed.
  if (!batch.records.empty() || !batch.ends.empty()) heard_at_ = clock_.moment();
  if (clock_.moment().ms - heard_at_.ms > options_.silence_max_ms) {
    return events::fail(Errc::kUnavailable,
                        "Kafka has delivered nothing for " +
                            std::to_string(options_.silence_max_ms / 1'000) +
                            " s, though there are records to come: are the leaders of all "
                            "partitions up?");
  }
  return {};
}

Status Replayer::out_of_range(const TopicPartitionOffset& lost) const {
  return events::fail(
      Errc::kNotFound,
      "offset " + std::to_string(lost.offset) + " of " + name_of({lost.topic, lost.partition}) +
          " is not in the log: records were deleted while the replay was on its way to them");
}

Status Replayer::handle(const events::RecordView& record, Input& input) {
  sink_.begin_record(input.partition, record.offset);
  Status projected;
  try {
    projected = projection_.project(record, sink_.rows());
  } catch (const std::bad_alloc&) {
    throw;  // It is not the record's fault.
  } catch (const std::exception& error) {
    projected = events::fail(Errc::kInternal, error.what());
  }
  if (!projected) {
    sink_.drop_record();
    rejects_.push_back({input.partition, record.offset, events::to_string(projected.error().code),
                        projected.error().message});
  }
  ++records_;
  ++counts_.records;
  advance(input, record.offset + 1);
  return {};
}

void Replayer::advance(Input& input, std::int64_t next_offset) {
  input.next_offset = next_offset;
  if (next_offset < input.target) return;
  // What was fetched beyond the target is fetched again, if the target moves.
  fetcher_->unassign(input.partition);
  input.reading = false;
}

Replayer::Input* Replayer::find_input(std::string_view topic, std::int32_t partition) {
  const auto found = by_topic_.find(topic);
  const auto number = static_cast<std::size_t>(partition);
  if (found == by_topic_.end() || number >= found->second.size()) return nullptr;
  return found->second[number];
}

bool Replayer::is_full() const {
  return sink_.gathered_bytes() >= options_.transaction_bytes_max ||
         records_ >= options_.transaction_records_max;
}

bool Replayer::has_arrived() const {
  for (const Input& input : inputs_) {
    if (input.next_offset != input.target) return false;
  }
  return true;
}

Status Replayer::commit() {
  std::vector<ViewSink::Advance> advances;
  for (const Input& input : inputs_) {
    if (input.next_offset == input.committed) continue;
    advances.push_back({input.partition, input.committed, input.next_offset});
  }
  if (!advances.empty()) {
    if (!rejects_.empty()) {
      if (auto listed = reject_list_.add(rejects_); !listed) return listed;
    }
    if (auto committed = sink_.commit(advances, *this); !committed) return committed;
    for (Input& input : inputs_) input.committed = input.next_offset;
    counts_.rejects += static_cast<std::int64_t>(rejects_.size());
    ++counts_.commits;
  }
  rejects_.clear();
  records_ = 0;
  committed_at_ = clock_.moment();
  return {};
}

Status Replayer::on_rejected(std::span<const ViewSink::Rejected> rejected) {
  std::vector<ReplayReject> rejects;
  for (const auto& refusal : rejected) {
    rejects.push_back({refusal.partition, refusal.offset, "refused_by_view", refusal.detail});
  }
  if (auto listed = reject_list_.add(rejects); !listed) return listed;
  counts_.rejects += static_cast<std::int64_t>(rejects.size());
  return {};
}

}  // namespace voketag::runtime
