#include "voketag/state/changelog_verifier.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <utility>

#include "events/codec.h"
#include "processors/hash/sha256.h"
#include "runtime/position.h"
#include "runtime/task.h"
#include "state/scratch.h"
#include "voketag/log_search.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Status;

// Below these two the scratch database keeps the changelog's keys: with the last value before the
// state's position, and whether there was another behind it. The order matters to ScratchCursor.
constexpr std::string_view kLaterPrefix = "later/";
constexpr std::string_view kValuePrefix = "value/";
constexpr std::size_t kOffsetBytes = 8;
constexpr std::size_t kAppliedBytesMax = 1U << 20;
constexpr std::size_t kCursorBlock = 4096;
constexpr std::int64_t kProgressRecords = 1000;
constexpr auto kSettlePause = std::chrono::milliseconds(100);

// The last value of a key, as much of it as a comparison needs.
struct Value {
  std::int64_t offset = 0;
  processors::Hash hash{};
};

std::string pack(const Value& value) {
  std::string bytes(kOffsetBytes + value.hash.size(), '\0');
  std::memcpy(bytes.data(), &value.offset, kOffsetBytes);
  std::memcpy(bytes.data() + kOffsetBytes, value.hash.data(), value.hash.size());
  return bytes;
}

Value unpack(std::string_view bytes) {
  Value value;
  std::memcpy(&value.offset, bytes.data(), kOffsetBytes);
  std::memcpy(value.hash.data(), bytes.data() + kOffsetBytes, value.hash.size());
  return value;
}

// Goes over the values in the order of their keys, some thousands in memory at a time.
class ScratchCursor {
 public:
  explicit ScratchCursor(const state::PartitionStore& store) : store_(store) {
    read_from(std::string(kValuePrefix));
  }
  bool valid() const { return !block_.empty(); }
  const std::string& key() const { return block_.front().first; }
  const Value& value() const { return block_.front().second; }
  void next() {
    std::string last = std::move(block_.front().first);
    block_.pop_front();
    // The first key behind another is that key and a zero byte.
    if (block_.empty()) read_from(std::string(kValuePrefix) + last + '\0');
  }

 private:
  void read_from(const std::string& from) {
    store_.scan_from(from, [&](std::string_view key, std::string_view bytes) {
      block_.emplace_back(key.substr(kValuePrefix.size()), unpack(bytes));
      return block_.size() < kCursorBlock;
    });
  }

  const state::PartitionStore& store_;
  std::deque<std::pair<std::string, Value>> block_;
};

// One partition's comparison.
class Comparison {
 public:
  Comparison(runtime::Log& log, const state::PartitionStore& store, runtime::StorePosition position,
             PartitionVerdict& verdict)
      : log_(log),
        store_(store),
        position_(std::move(position)),
        changelog_{runtime::changelog_topic(verdict.processor), verdict.partition},
        verdict_(verdict) {}

  Status run(const std::filesystem::path& scratch_parent, const VerifyProgress& progress) {
    auto marks = settled_marks();
    if (!marks) return tl::unexpected(marks.error());
    verdict_.changelog_end = marks->high;
    if (verdict_.fault) return {};
    auto scratch = state::Scratch::make(scratch_parent, "verify");
    if (!scratch) return tl::unexpected(scratch.error());
    scratch_ = std::move(*scratch);
    values_ = scratch_->database().open_partition("values", 0);
    if (auto read = read_changelog(*marks, progress); !read) return read;
    check_commit();
    compare();
    return {};
  }

 private:
  // The changelog's bounds, once all that the state goes back to can be read.
  Result<runtime::Watermarks> settled_marks() {
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(kReadTimeoutMs);
    for (;;) {
      const auto all = log_.watermarks(changelog_, runtime::Isolation::kReadUncommitted);
      if (!all) return tl::unexpected(all.error());
      const auto stable = log_.watermarks(changelog_, runtime::Isolation::kReadCommitted);
      if (!stable) return tl::unexpected(stable.error());
      if (position_.changelog_offset > all->high) {
        verdict_.fault = "it is ahead of the changelog, so it belongs to another log";
      } else if (position_.changelog_offset < all->low) {
        verdict_.fault = "the changelog no longer reaches back to it";
      }
      if (verdict_.fault || stable->high >= position_.changelog_offset) return *stable;
      if (std::chrono::steady_clock::now() > deadline) {
        return fail(Errc::kUnavailable,
                    "a transaction on " + changelog_.topic + " partition " +
                        std::to_string(changelog_.partition) +
                        " is not settled, so the changelog cannot be read as far as the state "
                        "goes; see `voketag doctor`");
      }
      std::this_thread::sleep_for(kSettlePause);
    }
  }

  Status read_changelog(const runtime::Watermarks& marks, const VerifyProgress& progress) {
    auto fetcher = log_.open_fetcher(runtime::Isolation::kReadCommitted);
    if (!fetcher) return tl::unexpected(fetcher.error());
    const std::int64_t total = marks.high - marks.low;
    if (!progress(0, total)) return ended();
    Status status;
    std::int64_t records = 0;
    const auto take = [&](const events::RecordView& record) {
      status = note(record);
      if (status && ++records % kProgressRecords == 0 &&
          !progress(record.offset + 1 - marks.low, total)) {
        status = ended();
      }
      return status.has_value();
    };
    if (auto read = read_range(**fetcher, changelog_, marks.low, marks.high, take); !read) {
      return read;
    }
    if (!status) return status;
    const auto again = log_.watermarks(changelog_, runtime::Isolation::kReadCommitted);
    if (!again) return tl::unexpected(again.error());
    if (again->low != marks.low) {
      return fail(Errc::kUnavailable,
                  "records of " + changelog_.topic + " were deleted while it was read; try again");
    }
    progress(total, total);
    return values_->write_applied("all");
  }

  static tl::unexpected<events::Error> ended() {
    return fail(Errc::kTimeout, "ended, as asked, before everything was compared");
  }

  Status note(const events::RecordView& record) {
    if (!record.key || *record.key == runtime::kClaimKey) return {};
    const bool later = record.offset >= position_.changelog_offset;
    if (*record.key == runtime::kCommitKey) {
      commit_is_later_ = commit_is_later_ || later;
      if (later || !record.value) return {};
      auto commit = events::decode<runtime::CommitRecord>(*record.value);
      if (!commit) return tl::unexpected(commit.error());
      commit->work.clear();
      commit_ = events::encode(*commit);
      return {};
    }
    if (later) return keep(kLaterPrefix, *record.key, "");
    if (!record.value) return keep(kValuePrefix, *record.key, std::nullopt);
    return keep(kValuePrefix, *record.key,
                pack({record.offset, processors::sha256(*record.value)}));
  }

  Status keep(std::string_view prefix, std::string_view key,
              std::optional<std::string_view> value) {
    values_->apply(std::string(prefix) + std::string(key), value);
    return values_->applied_bytes() < kAppliedBytesMax ? Status() : values_->write_applied("some");
  }

  // Where the offset was not known when the state was written, the commit record lies behind it.
  void check_commit() {
    const std::optional<std::string> stored =
        position_.commit ? std::optional(events::encode(*position_.commit)) : std::nullopt;
    if (commit_is_later_ || stored == commit_) return;
    verdict_.fault = "its commit record is not the one that the changelog has before offset " +
                     std::to_string(position_.changelog_offset);
  }

  void compare() {
    ScratchCursor expected(*values_);
    const auto missing_before = [&](const std::optional<std::string_view>& key) {
      for (; expected.valid() && (!key || expected.key() < *key); expected.next()) {
        count(DifferenceKind::kMissing, expected.key(), expected.value().offset);
      }
    };
    store_.scan("", [&](std::string_view key, std::string_view value) {
      missing_before(key);
      if (!expected.valid() || expected.key() != key) {
        count(DifferenceKind::kExtra, key, std::nullopt);
        return true;
      }
      if (expected.value().hash == processors::sha256(value)) {
        ++verdict_.keys;
      } else {
        count(DifferenceKind::kDifferent, key, expected.value().offset);
      }
      expected.next();
      return true;
    });
    missing_before(std::nullopt);
  }

  void count(DifferenceKind kind, std::string_view key, std::optional<std::int64_t> offset) {
    if (values_->get(std::string(kLaterPrefix) + std::string(key))) {
      ++verdict_.left_out;
      return;
    }
    ++(kind == DifferenceKind::kMissing ? verdict_.missing
       : kind == DifferenceKind::kExtra ? verdict_.extra
                                        : verdict_.different);
    if (verdict_.examples.size() < kDifferenceExamplesMax) {
      verdict_.examples.push_back({kind, std::string(key), offset});
    }
  }

  runtime::Log& log_;
  const state::PartitionStore& store_;
  const runtime::StorePosition position_;
  const runtime::TopicPartition changelog_;
  PartitionVerdict& verdict_;
  std::unique_ptr<state::Scratch> scratch_;
  std::unique_ptr<state::PartitionStore> values_;  // in there
  std::optional<std::string> commit_;  // the last one before the position, without its work
  bool commit_is_later_ = false;
};

}  // namespace

std::string_view to_string(DifferenceKind kind) {
  switch (kind) {
    case DifferenceKind::kMissing:
      return "missing";
    case DifferenceKind::kExtra:
      return "extra";
    case DifferenceKind::kDifferent:
      return "different";
  }
  return "different";
}

Result<std::optional<PartitionVerdict>> ChangelogVerifier::verify(
    const state::PartitionStore& store, std::string_view processor, std::int32_t partition,
    const VerifyProgress& progress) {
  PartitionVerdict verdict;
  verdict.processor = std::string(processor);
  verdict.partition = partition;
  auto position = runtime::read_store_position(store);
  if (!position) {
    if (!store.first_key("")) return std::nullopt;
    verdict.fault = "its position is missing or damaged, so the next start rebuilds it";
    return verdict;
  }
  verdict.changelog_offset = position->changelog_offset;
  Comparison comparison(log_, store, *std::move(position), verdict);
  if (auto done = comparison.run(scratch_, progress); !done) return tl::unexpected(done.error());
  return verdict;
}

}  // namespace voketag::cli
