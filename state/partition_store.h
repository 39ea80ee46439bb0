#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "events/error.h"
#include "events/topics.h"
#include "state/database.h"
#include "state/store.h"

namespace voketag::state {

// A key and a value that are too large for a record of the changelog, and so for the state: the
// record that led to them is to blame.
class TooLarge : public std::length_error {
 public:
  using std::length_error::length_error;
};

// Of key and value together: what a record of any topic may have.
inline constexpr std::int64_t kEntryBytesMax = events::kInputBytesMax;

// The state of one partition of one processor: what was committed lies in the database, what the
// open transaction has written lies in an overlay (RocksDB's WriteBatchWithIndex) on top of it.
// The overlay reaches the database, in one batch with the position reached, only after Kafka has
// committed; until then it can be dropped as if nothing had happened.
//
// The position is an opaque text of the engine (runtime/position.h); it is stored with a CRC-32 of
// itself, and one that does not match reads as absent, as does one of a database that was lost.
class PartitionStore final : public Store {
 public:
  ~PartitionStore() override;
  PartitionStore(const PartitionStore&) = delete;
  PartitionStore& operator=(const PartitionStore&) = delete;

  // ---- Store: reads see the overlay; writes go to it
  std::optional<std::string> get(std::string_view key) const override;
  void put(std::string_view key, std::string_view value) override;  // may throw TooLarge
  void erase(std::string_view key) override;
  void scan(std::string_view prefix, const Visitor& visit) const override;

  // As scan(""), from the first key that is not before `from`.
  void scan_from(std::string_view from, const Visitor& visit) const;

  // The first key that begins with `prefix` and is not before `from`; none: there is no such key.
  // Erased keys cost each search that passes over them: with a `from` behind them it does not.
  std::optional<std::string> first_key(std::string_view prefix, std::string_view from = {}) const;

  // ---- one handler's writes: kept or taken back as a whole
  void mark();
  void rollback_to_mark();
  void release_mark();

  // ---- the open transaction
  // Each key that the overlay changes, once, with its last value (none: erased), in key order.
  using Change = std::function<void(std::string_view key, std::optional<std::string_view> value)>;
  void for_each_change(const Change& visit) const;
  bool dirty() const;
  void drop_overlay();
  // Writes the overlay and the position in one atomic batch. The overlay is empty afterwards.
  events::Status write_overlay(std::string_view position);

  // ---- restore: straight into the database, with the position that the records lead to
  void apply(std::string_view key, std::optional<std::string_view> value);
  std::size_t applied_bytes() const;
  events::Status write_applied(std::string_view position);

  std::optional<std::string> position() const;
  // Removes all keys and the position of this partition.
  events::Status wipe();

  // Whether somebody stands in line for this store, which was opened with a lease.
  bool wanted() const;

 private:
  friend class Database;
  struct Implementation;
  explicit PartitionStore(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace voketag::state
