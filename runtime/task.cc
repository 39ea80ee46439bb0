#include "runtime/task.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <utility>

#include "events/codec.h"
#include "events/partitioner.h"
#include "events/topics.h"
#include "runtime/dead_letter.h"

// Timers lie in the state under two keys, so that both the next one due and the one of a name are
// found by one look-up:   timer/<due in ms, 20 digits>/<name>  and  timer-of/<name> -> <20 digits>
namespace voketag::runtime {
namespace {

constexpr std::string_view kTimerPrefix = "timer/";
constexpr std::string_view kTimerOfPrefix = "timer-of/";
constexpr std::size_t kDueDigits = 20;
const std::string kNoTimer(kDueDigits, '9');

std::string due_digits(events::Timestamp due) {
  char digits[kDueDigits + 1];
  std::snprintf(digits, sizeof digits, "%020lld",
                static_cast<long long>(std::max<std::int64_t>(due.ms, 0)));
  return digits;
}

std::string timer_key(std::string_view digits, std::string_view name) {
  return std::string(kTimerPrefix) + std::string(digits) + "/" + std::string(name);
}

std::string timer_of_key(std::string_view name) {
  return std::string(kTimerOfPrefix) + std::string(name);
}

}  // namespace

std::string changelog_topic(std::string_view processor) {
  return std::string(processor) + "-changelog";
}

std::optional<StorePosition> read_store_position(const state::PartitionStore& store) {
  const auto text = store.position();
  if (!text) return std::nullopt;
  auto position = events::decode<StorePosition>(*text);
  if (!position) return std::nullopt;
  return *std::move(position);
}

Task::Task(processors::Processor& processor, std::int32_t partition, RestoredPartition restored,
           std::string configuration_version)
    : processor_(processor),
      partition_(partition),
      source_("/voketag/" + std::string(processor.name())),
      changelog_topic_(changelog_topic(processor.name())),
      configuration_version_(std::move(configuration_version)),
      store_(std::move(restored.store)),
      position_(std::move(restored.position)),
      committed_inputs_(std::move(restored.inputs)),
      open_inputs_(committed_inputs_) {
  if (position_.commit) {
    committed_now_ = {position_.commit->now_ms};
    // Where a program that kept no history has been at work, the count goes on behind a gap: each
    // transaction took at least two offsets of the changelog, so no number comes twice.
    committed_sequence_ = position_.commit->sequence.value_or(position_.changelog_offset + 1);
  }
  now_ = committed_now_;
  read_next_timer();
}

std::optional<std::int64_t> Task::next_offset(std::string_view topic) const {
  const auto found = open_inputs_.find(std::string(topic));
  if (found == open_inputs_.end()) return std::nullopt;
  return found->second;
}

std::optional<events::Timestamp> Task::next_timer() const {
  return next_timer_;
}

// Runs a handler until it does not throw, or kHandlerAttempts times; returns its last complaint.
template <class Handler>
std::optional<Task::Complaint> Task::run_handler(Handler&& handler,
                                                 std::vector<events::OutputRecord>& outputs) {
  std::optional<Complaint> complaint;
  for (int attempt = 1; attempt <= kHandlerAttempts; ++attempt) {
    attempt_ = Attempt{};
    store_->mark();
    try {
      handler();
      store_->release_mark();
      std::move(attempt_.outputs.begin(), attempt_.outputs.end(), std::back_inserter(outputs));
      attempt_ = Attempt{};
      if (timers_changed_) read_next_timer();
      return std::nullopt;
    } catch (const state::Failure&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const state::TooLarge& error) {
      // It would be as large the next time.
      store_->rollback_to_mark();
      complaint = Complaint{"state_too_large", error.what()};
      break;
    } catch (const std::exception& error) {
      store_->rollback_to_mark();
      complaint =
          Complaint{"handler_failed", "the handler failed " + std::to_string(kHandlerAttempts) +
                                          " times: " + error.what()};
    }
  }
  attempt_ = Attempt{};
  if (timers_changed_) read_next_timer();
  return complaint;
}

void Task::handle(const events::RecordView& record, std::vector<events::OutputRecord>& outputs) {
  const auto expected = next_offset(record.topic);
  if (!expected || record.offset < *expected) return;
  now_ = std::max(now_, record.timestamp);
  record_ = &record;
  cause_ = events::read_envelope(record);
  const auto complaint = run_handler([&] { processor_.on_record(*this, record); }, outputs);
  record_ = nullptr;
  if (complaint) {
    outputs.push_back(
        make_dead_letter(record, processor_.name(), complaint->reason,
                         complaint->detail + "; mend the cause, then `voketag dlq retry`"));
  }
  note_record(record);
}

void Task::refuse(const events::RecordView& record, std::string_view reason,
                  std::string_view detail, std::vector<events::OutputRecord>& outputs) {
  const auto expected = next_offset(record.topic);
  if (!expected || record.offset < *expected) return;
  now_ = std::max(now_, record.timestamp);
  outputs.push_back(make_dead_letter(record, processor_.name(), reason, detail));
  // A run of its own: of this record alone a shadow cannot know what became of it.
  WorkRun run;
  run.topic = std::string(record.topic);
  run.from_offset = run.to_offset = record.offset;
  run.refused_reason = std::string(reason);
  run.refused_detail = std::string(detail);
  work_.push_back(std::move(run));
  open_inputs_[std::string(record.topic)] = record.offset + 1;
}

void Task::note_record(const events::RecordView& record) {
  open_inputs_[std::string(record.topic)] = record.offset + 1;
  // Offsets between two records of a run (markers, aborted records) belong to nobody.
  if (!work_.empty() && work_.back().topic == record.topic && !work_.back().refused_reason) {
    work_.back().to_offset = record.offset;
    return;
  }
  WorkRun run;
  run.topic = std::string(record.topic);
  run.from_offset = record.offset;
  run.to_offset = record.offset;
  work_.push_back(std::move(run));
}

bool Task::fire_timer(events::Timestamp log_now, std::vector<events::OutputRecord>& outputs) {
  if (!next_timer_ || *next_timer_ > log_now) return false;
  const auto key = store_->first_key(kTimerPrefix, timer_key(timer_floor_, ""));
  if (!key || key->size() <= kTimerPrefix.size() + kDueDigits) {
    throw state::Failure("the timer of " + std::string(processor_.name()) + " partition " +
                         std::to_string(partition_) +
                         " is not in its state; remove the state directory, it is rebuilt from the "
                         "changelogs");
  }
  fire(key->substr(kTimerPrefix.size(), kDueDigits),
       key->substr(kTimerPrefix.size() + kDueDigits + 1), log_now, outputs);
  return true;
}

bool Task::fire_timer_again(std::string_view name, events::Timestamp fired_at,
                            std::vector<events::OutputRecord>& outputs) {
  const auto digits = store_->get(timer_of_key(name));
  if (!digits) return false;
  fire(*digits, std::string(name), std::max(fired_at, events::Timestamp{std::stoll(*digits)}),
       outputs);
  return true;
}

void Task::fire(const std::string& digits, const std::string& name, events::Timestamp at,
                std::vector<events::OutputRecord>& outputs) {
  now_ = std::max(now_, at);
  cause_ = events::begin_envelope("timer/" + std::string(processor_.name()) + "/" +
                                      std::to_string(partition_) + "/" + name + "/" + digits,
                                  source_, "voketag.timer.v1", now_);
  WorkRun run;
  run.timer = name;
  run.fired_at_ms = now_.ms;
  work_.push_back(std::move(run));

  const auto complaint = run_handler(
      [&] {
        erase_timer(digits, name);
        store_->erase(timer_of_key(name));
        processor_.on_timer(*this, name);
      },
      outputs);
  if (!complaint) return;
  // A timer has no record to set aside, and what it is for must not be lost in silence: it waits a
  // minute, and all else goes on.
  spdlog::error("the timer {} of {} partition {} is tried again in {} s: {}. To do: report it",
                name, processor_.name(), partition_, kFailedTimerDelayMs / 1000, complaint->detail);
  set_timer(name, {now_.ms + kFailedTimerDelayMs});
  if (timers_changed_) read_next_timer();
}

std::vector<events::OutputRecord> Task::changelog_records() const {
  std::vector<events::OutputRecord> records;
  auto add = [&](std::string_view key, std::optional<std::string> value) {
    events::OutputRecord record;
    record.topic = changelog_topic_;
    record.partition = partition_;
    record.key = std::string(key);
    record.value = std::move(value);
    records.push_back(std::move(record));
  };
  store_->for_each_change([&](std::string_view key, std::optional<std::string_view> value) {
    add(key, value ? std::optional<std::string>(*value) : std::nullopt);
  });
  add(kCommitKey, events::encode(commit_record()));
  return records;
}

CommitRecord Task::commit_record() const {
  CommitRecord record;
  for (const auto& [topic, next_offset] : open_inputs_) {
    record.positions.push_back({topic, next_offset});
  }
  record.now_ms = now_.ms;
  record.configuration_version = configuration_version_;
  record.sequence = open_sequence();
  return record;
}

// A claim does no work, and repeats the number before it: it may be made again, where its answer
// was lost.
std::int64_t Task::open_sequence() const {
  return committed_sequence_ + (touched() ? 1 : 0);
}

TaskWork Task::history_entry() const {
  TaskWork entry;
  entry.partition = partition_;
  entry.sequence = open_sequence();
  if (work_.empty()) entry.positions = commit_record().positions;
  entry.work = work_;
  return entry;
}

events::Status Task::committed(std::optional<std::int64_t> changelog_offset, events::Timestamp at) {
  if (changelog_offset) position_.changelog_offset = *changelog_offset + 1;
  position_.commit = commit_record();
  committed_sequence_ = open_sequence();
  position_.agreed_at_ms = at.ms;
  work_.clear();
  committed_inputs_ = open_inputs_;
  committed_now_ = now_;
  committed_timer_floor_ = timer_floor_;
  return store_->write_overlay(events::encode(position_));
}

events::Status Task::stays_agreed(events::Timestamp at) {
  position_.agreed_at_ms = at.ms;
  return store_->write_applied(events::encode(position_));
}

void Task::rewind() {
  store_->drop_overlay();
  work_.clear();
  open_inputs_ = committed_inputs_;
  now_ = committed_now_;
  timer_floor_ = committed_timer_floor_;
  read_next_timer();
}

// ---- what a handler may do --------------------------------------------------------------------

void Task::emit_json(std::string_view topic, std::string_view key, std::string json) {
  if (json.size() > static_cast<std::size_t>(events::kInputBytesMax)) {
    throw std::length_error("an event of " + std::to_string(json.size()) + " bytes for " +
                            std::string(topic) + " is larger than the " +
                            std::to_string(events::kInputBytesMax) + " that a topic takes");
  }
  const auto envelope = events::derive_envelope(cause_, source_, topic, attempt_.ordinal++, now_);
  events::OutputRecord record;
  record.topic = std::string(topic);
  record.partition = events::partition_for(key);
  record.key = std::string(key);
  record.value = std::move(json);
  record.headers = events::to_headers(envelope);
  attempt_.outputs.push_back(std::move(record));
}

void Task::set_timer(std::string_view name, events::Timestamp due) {
  const std::string digits = due_digits(due);
  const std::string of_key = timer_of_key(name);
  if (const auto previous = store_->get(of_key)) {
    if (*previous == digits) return;
    erase_timer(*previous, name);
  }
  store_->put(of_key, digits);
  store_->put(timer_key(digits, name), "");
  if (digits > timer_floor_) return;
  timer_floor_ = digits;
  timers_changed_ = true;
}

void Task::cancel_timer(std::string_view name) {
  const std::string of_key = timer_of_key(name);
  const auto previous = store_->get(of_key);
  if (!previous) return;
  erase_timer(*previous, name);
  store_->erase(of_key);
}

void Task::erase_timer(std::string_view digits, std::string_view name) {
  store_->erase(timer_key(digits, name));
  if (digits <= timer_floor_) timers_changed_ = true;
}

void Task::dead_letter(std::string_view reason, std::string_view detail) {
  if (record_ == nullptr) {
    throw std::logic_error("a timer has no record to send to the dead letters");
  }
  attempt_.outputs.push_back(make_dead_letter(*record_, processor_.name(), reason, detail));
}

void Task::read_next_timer() {
  const auto key = store_->first_key(kTimerPrefix, timer_key(timer_floor_, ""));
  timers_changed_ = false;
  next_timer_.reset();
  timer_floor_ = key ? key->substr(kTimerPrefix.size(), kDueDigits) : kNoTimer;
  if (key) next_timer_ = events::Timestamp{std::stoll(timer_floor_)};
}

}  // namespace voketag::runtime
