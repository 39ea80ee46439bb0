#include "runtime/projector.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <new>
#include <utility>

#include "events/topics.h"
#include "runtime/dead_letter.h"
#include "runtime/former_member.h"

namespace voketag::runtime {
namespace {

constexpr std::int64_t kReconnectDelayMs = 1'000;

// Errors that the same call may not meet again.
bool may_come_back(const events::Error& error) {
  switch (error.code) {
    case events::Errc::kUnavailable:
    case events::Errc::kTimeout:
    case events::Errc::kFenced:
    case events::Errc::kExhausted:
      return true;
    default:
      return false;
  }
}

std::size_t bytes_of(const events::RecordView& record) {
  return (record.value ? record.value->size() : 0) + (record.key ? record.key->size() : 0);
}

}  // namespace

Projector::Projector(Log& log, processors::Projection& projection, ViewSink& sink,
                     const Clock& clock, ProjectorOptions options)
    : log_(log),
      projection_(projection),
      sink_(sink),
      clock_(clock),
      options_(options),
      name_("projector-" + std::string(projection.name())),
      group_(options_.name_prefix + name_),
      topics_(projection.inputs()) {}

Projector::~Projector() = default;

// ---- one round ----------------------------------------------------------------------------------

events::Status Projector::step(int timeout_ms) {
  if (!connected()) {
    if (clock_.moment() < reconnect_at_) return {};
    if (const auto status = ensure_connected(); !status) {
      return may_come_back(status.error()) ? reconnect_later(status.error()) : status;
    }
  }
  callback_status_ = {};
  const auto polled = membership_->poll(*this);
  if (!callback_status_) return callback_status_;
  if (!polled) return reconnect_later(polled.error());

  if (unplaced_ > 0) {
    if (const auto placed = place_inputs(); !placed || unplaced_ > 0) return placed;
  }
  if (const auto handled = handle_records(wait_ms(timeout_ms)); !handled) return handled;
  if (!connected() || !commit_is_due()) return {};
  const auto committed = commit();
  if (records_ == 0) batches_.clear();
  return committed;
}

events::Status Projector::stop() {
  if (!connected()) return {};
  callback_status_ = {};
  if (const auto committed = commit(); !committed) return committed;
  if (!inputs_.empty()) give_hint();
  membership_->leave(*this);
  erase_former_member(options_.member_file);
  membership_.reset();
  owned_.clear();
  inputs_.clear();
  unplaced_ = 0;
  return callback_status_;
}

events::Status Projector::ensure_connected() {
  if (!producer_) {
    auto producer = log_.open_plain_producer();
    if (!producer) return tl::unexpected(producer.error());
    producer_ = *std::move(producer);
  }
  if (!fetcher_) {
    auto fetcher = log_.open_fetcher(Isolation::kReadCommitted);
    if (!fetcher) return tl::unexpected(fetcher.error());
    fetcher_ = *std::move(fetcher);
  }
  auto membership = log_.join(group_, topics_.front());
  if (!membership) return tl::unexpected(membership.error());
  membership_ = *std::move(membership);
  resume_former();
  return {};
}

void Projector::resume_former() {
  if (assigned_once_) return;
  auto returned = resume_former_member(log_, group_, name_, options_.member_file);
  if (!returned) return;
  former_ = std::move(returned->member);
  assigned_once_ = true;
  for (const auto partition : returned->partitions) add_inputs(partition);
}

// From here on the group decides.
void Projector::end_former() {
  if (!former_) return;
  former_.reset();
  reload();
  inputs_.clear();
  unplaced_ = 0;
}

// Never called from within a callback of the membership, which it destroys.
events::Status Projector::reconnect_later(const events::Error& error) {
  spdlog::warn("{} starts over in {} ms: {}", name_, kReconnectDelayMs, error.message);
  reload();
  inputs_.clear();
  unplaced_ = 0;
  owned_.clear();
  former_.reset();
  membership_.reset();
  fetcher_.reset();
  reconnect_at_ = {clock_.moment().ms + kReconnectDelayMs};
  return {};
}

// ---- partitions come and go ---------------------------------------------------------------------

void Projector::on_assigned(std::span<const std::int32_t> partitions) {
  assigned_once_ = true;
  end_former();
  owned_.insert(partitions.begin(), partitions.end());
  for (const auto partition : partitions) add_inputs(partition);
}

void Projector::add_inputs(std::int32_t partition) {
  for (const auto topic : topics_) {
    if (find_input(topic, partition) != nullptr) continue;
    inputs_.push_back({{std::string(topic), partition}, false, 0, 0});
    ++unplaced_;
  }
}

void Projector::on_revoked(std::span<const std::int32_t> partitions) {
  if (auto committed = commit(); !committed) callback_status_ = std::move(committed);
  drop_inputs(partitions);
}

void Projector::on_lost(std::span<const std::int32_t> partitions) {
  spdlog::warn("{} lost {} partitions: it did not reach the group in time", name_,
               partitions.size());
  reload();
  drop_inputs(partitions);
}

// What a process that comes back after a crash can go on with.
void Projector::on_generation() {
  write_former_member(options_.member_file, *membership_, owned_);
}

void Projector::drop_inputs(std::span<const std::int32_t> partitions) {
  for (const auto partition : partitions) owned_.erase(partition);
  const auto is_dropped = [&](const Input& input) {
    return std::find(partitions.begin(), partitions.end(), input.partition.partition) !=
           partitions.end();
  };
  for (const Input& input : inputs_) {
    if (!is_dropped(input)) continue;
    if (input.placed) {
      fetcher_->unassign(input.partition);
    } else {
      --unplaced_;
    }
  }
  std::erase_if(inputs_, is_dropped);
}

Projector::Input* Projector::find_input(std::string_view topic, std::int32_t partition) {
  const auto found = std::find_if(inputs_.begin(), inputs_.end(), [&](const Input& input) {
    return input.partition.partition == partition && input.partition.topic == topic;
  });
  return found == inputs_.end() ? nullptr : &*found;
}

// Reads the positions of inputs that have none yet, and begins to fetch from there.
events::Status Projector::place_inputs() {
  // The sink is asked between transactions only.
  if (const auto committed = commit(); !committed) return committed;
  std::vector<TopicPartition> partitions;
  for (const Input& input : inputs_) {
    if (!input.placed) partitions.push_back(input.partition);
  }
  const auto positions = sink_.positions(partitions);
  if (!positions) {
    if (!may_come_back(positions.error())) return tl::unexpected(positions.error());
    spdlog::warn("{} waits for its views: {}", name_, positions.error().message);
    return {};
  }
  auto position = positions->begin();
  for (Input& input : inputs_) {
    if (input.placed) continue;
    input.committed = input.next_offset = *position++;
    if (const auto assigned = fetcher_->assign(input.partition, input.committed); !assigned) {
      return reconnect_later(assigned.error());
    }
    input.placed = true;
    --unplaced_;
  }
  return {};
}

// ---- records ------------------------------------------------------------------------------------

// While rows wait for their commit, no longer than until it is due.
int Projector::wait_ms(int timeout_ms) const {
  if (records_ == 0) return timeout_ms;
  const std::int64_t left_ms = committed_at_.ms + options_.commit_interval_ms - clock_.moment().ms;
  return static_cast<int>(std::clamp<std::int64_t>(left_ms, 0, timeout_ms));
}

events::Status Projector::handle_records(int timeout_ms) {
  batch_void_ = false;
  FetchBatch batch;
  if (const auto polled = fetcher_->poll(batch, timeout_ms, options_.records_per_poll_max);
      !polled) {
    return reconnect_later(polled.error());
  }
  drained_ = batch.records.empty();
  for (const auto& lost : batch.out_of_range) {
    if (find_input(lost.topic, lost.partition) == nullptr) continue;
    return events::fail(
        events::Errc::kCorrupt,
        "the view of projection " + std::string(projection_.name()) + " stands at " + lost.topic +
            " partition " + std::to_string(lost.partition) + " offset " +
            std::to_string(lost.offset) +
            ", which is not in the log: records were deleted before they reached the view, or the "
            "topic was made anew. Nothing is skipped in silence: restore the topic, or drop the "
            "schema and start again, which rebuilds the views from the topics");
  }
  // Held until the commit: a record that the database refuses is needed once more.
  batches_.push_back(std::move(batch));
  const auto handled = handle_batch(batches_.back());
  if (records_ == 0) batches_.clear();
  return handled;
}

events::Status Projector::handle_batch(const FetchBatch& batch) {
  for (const auto& record : batch.records) {
    Input* const input = find_input(record.topic, record.partition);
    if (input == nullptr || !input->placed || record.offset < input->next_offset) continue;
    handle(record, *input);
    const std::size_t bytes = std::max(sink_.gathered_bytes() + dead_letter_bytes_, record_bytes_);
    if (bytes < options_.transaction_bytes_max && records_ < options_.transaction_records_max) {
      continue;
    }
    if (const auto committed = commit(); !committed) return committed;
    if (batch_void_) return {};
  }
  take_ends(batch);
  return {};
}

void Projector::handle(const events::RecordView& record, Input& input) {
  sink_.begin_record(input.partition, record.offset);
  events::Status projected;
  try {
    projected = projection_.project(record, sink_.rows());
  } catch (const std::bad_alloc&) {
    throw;  // It is not the record's fault.
  } catch (const std::exception& error) {
    projected = events::fail(events::Errc::kInternal, error.what());
  }
  if (!projected) {
    sink_.drop_record();
    keep_dead_letter(record, events::to_string(projected.error().code), projected.error().message);
  }
  input.next_offset = record.offset + 1;
  record_bytes_ += bytes_of(record);
  ++records_;
  ++counts_.records;
}

void Projector::keep_dead_letter(const events::RecordView& record, std::string_view reason,
                                 std::string_view detail) {
  dead_letters_.push_back(make_dead_letter(record, name_, reason, detail));
  dead_letter_bytes_ += bytes_of(record);
}

// Behind the last record there may be markers of transactions: the position is behind those.
void Projector::take_ends(const FetchBatch& batch) {
  for (const auto& end : batch.ends) {
    Input* const input = find_input(end.topic, end.partition);
    if (input == nullptr || !input->placed) continue;
    input->next_offset = std::max(input->next_offset, end.offset);
  }
}

const events::RecordView* Projector::find_record(const TopicPartition& partition,
                                                 std::int64_t offset) const {
  for (const FetchBatch& batch : batches_) {
    for (const auto& record : batch.records) {
      if (record.offset == offset && record.partition == partition.partition &&
          record.topic == partition.topic) {
        return &record;
      }
    }
  }
  return nullptr;
}

// ---- the transaction ----------------------------------------------------------------------------

bool Projector::commit_is_due() const {
  const std::int64_t since_ms = clock_.moment().ms - committed_at_.ms;
  if (records_ > 0) return drained_ || since_ms >= options_.commit_interval_ms;
  return since_ms >= options_.idle_advance_interval_ms && !advances().empty();
}

std::vector<ViewSink::Advance> Projector::advances() const {
  std::vector<ViewSink::Advance> advances;
  for (const Input& input : inputs_) {
    if (!input.placed || input.next_offset == input.committed) continue;
    advances.push_back({input.partition, input.committed, input.next_offset});
  }
  return advances;
}

// Commits what there is, if anything. Afterwards nothing is gathered, also after an error; one that
// may pass is no error here, but has all positions read again.
events::Status Projector::commit() {
  const auto moves = advances();
  if (moves.empty()) return {};
  const auto committed = write_and_commit(moves);
  committed_at_ = clock_.moment();
  if (!committed) {
    spdlog::warn("{} reads its positions again: {}", name_, committed.error().message);
    reload();
    return may_come_back(committed.error()) ? events::Status{} : committed;
  }
  for (Input& input : inputs_) input.committed = input.next_offset;
  ++counts_.commits;
  counts_.dead_letters += static_cast<std::int64_t>(dead_letters_.size());
  release_records();
  if (committed_at_.ms - hinted_at_.ms >= options_.hint_interval_ms) give_hint();
  return {};
}

events::Status Projector::write_and_commit(std::span<const ViewSink::Advance> advances) {
  if (!dead_letters_.empty()) {
    if (const auto written = producer_->write(dead_letters_); !written) return written;
  }
  return sink_.commit(advances, *this);
}

events::Status Projector::on_rejected(std::span<const ViewSink::Rejected> rejected) {
  std::vector<events::OutputRecord> letters;
  for (const auto& refusal : rejected) {
    const events::RecordView* const record = find_record(refusal.partition, refusal.offset);
    if (record == nullptr) {
      return events::fail(
          events::Errc::kInternal,
          "the sink refused a record that it was not given: " + refusal.partition.topic +
              " offset " + std::to_string(refusal.offset));
    }
    letters.push_back(make_dead_letter(*record, name_, "refused_by_view", refusal.detail));
  }
  if (const auto written = producer_->write(letters); !written) return written;
  counts_.dead_letters += static_cast<std::int64_t>(letters.size());
  return {};
}

void Projector::release_records() {
  // Of the batch at hand the rest may still be to come.
  while (batches_.size() > 1) batches_.pop_front();
  dead_letters_.clear();
  dead_letter_bytes_ = 0;
  record_bytes_ = 0;
  records_ = 0;
}

void Projector::reload() {
  sink_.abandon();
  release_records();
  batch_void_ = true;
  ++counts_.reloads;
  for (Input& input : inputs_) {
    if (!input.placed) continue;
    fetcher_->unassign(input.partition);
    input.placed = false;
    ++unplaced_;
  }
}

void Projector::give_hint() {
  if (former_) return;
  std::vector<TopicPartitionOffset> positions;
  for (const Input& input : inputs_) {
    if (!input.placed) continue;
    positions.push_back({input.partition.topic, input.partition.partition, input.committed});
  }
  hinted_at_ = clock_.moment();
  if (const auto hinted = log_.commit_hint(*membership_, positions); !hinted) {
    spdlog::debug("{} could not tell its group where it stands: {}", name_, hinted.error().message);
  }
}

}  // namespace voketag::runtime
