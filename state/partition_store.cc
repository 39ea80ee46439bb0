#include "state/partition_store.h"

#include <rocksdb/comparator.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/write_batch_with_index.h>
#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <utility>

#include "state/database_internal.h"
#include "state/rocksdb_status.h"

// A key in the database:  <processor> 0x00 <partition, 2 bytes big-endian> <kind> <key>
// where <kind> is 'k' for a key of the store and 'p' for the position (whose <key> is empty).
// The position's value: CRC-32 of the text as 8 hex digits, a space, the text.

namespace voketag::state {
namespace {

constexpr char kKeyKind = 'k';
constexpr char kPositionKind = 'p';
constexpr std::size_t kChecksumDigits = 8;
// An overlay key is found by comparison in a skip list; a mid-sized buffer spares regrowth.
constexpr std::size_t kOverlayReservedBytes = 16 * 1024;

std::string partition_prefix(std::string_view processor, std::int32_t partition) {
  std::string prefix(processor);
  prefix.push_back('\0');
  prefix.push_back(static_cast<char>(partition >> 8));
  prefix.push_back(static_cast<char>(partition & 0xff));
  return prefix;
}

std::string checksum(std::string_view text) {
  const auto crc = crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  char digits[kChecksumDigits + 1];
  std::snprintf(digits, sizeof digits, "%08lx", static_cast<unsigned long>(crc));
  return digits;
}

std::string seal(std::string_view text) {
  return checksum(text) + " " + std::string(text);
}

std::optional<std::string> unseal(std::string_view sealed) {
  if (sealed.size() <= kChecksumDigits) return std::nullopt;
  const std::string_view text = sealed.substr(kChecksumDigits + 1);
  if (sealed.substr(0, kChecksumDigits) != checksum(text)) return std::nullopt;
  return std::string(text);
}

rocksdb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}

// A read that fails leaves nothing that a handler could go on with.
// A key has 1 KiB at most; a message is no place for one that breaks the rule.
constexpr std::size_t kShownKeyBytesMax = 100;

template <class Implementation>
void require(const rocksdb::Status& status, const Implementation& store) {
  if (status.ok()) return;
  throw Failure(store.database.failure(status, "using the state " + store.name).message);
}

}  // namespace

PartitionStore::Implementation::Implementation(Database::Implementation& database_in,
                                               std::string_view processor, std::int32_t partition)
    : database(database_in),
      name(std::string(processor) + "/" + std::to_string(partition)),
      prefix(partition_prefix(processor, partition) + kKeyKind),
      prefix_end(partition_prefix(processor, partition) + static_cast<char>(kKeyKind + 1)),
      position_key(partition_prefix(processor, partition) + kPositionKind),
      overlay(rocksdb::BytewiseComparator(), kOverlayReservedBytes, true) {}

void PartitionStore::Implementation::scan(std::string_view key_prefix, std::string_view from,
                                          const Store::Visitor& visit) {
  const std::string first = full_key(std::max(key_prefix, from));
  const std::string end = end_of(key_prefix);
  const rocksdb::Slice upper(end);
  const auto iterator = database.storage->iterate(overlay, upper);
  // The overlay's own keys know no upper bound.
  for (iterator->Seek(first); iterator->Valid() && iterator->key().compare(upper) < 0;
       iterator->Next()) {
    const std::string_view key(iterator->key().data() + prefix.size(),
                               iterator->key().size() - prefix.size());
    if (!visit(key, {iterator->value().data(), iterator->value().size()})) break;
  }
  require(iterator->status(), *this);
}

PartitionStore::PartitionStore(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

PartitionStore::~PartitionStore() = default;

std::optional<std::string> PartitionStore::get(std::string_view key) const {
  auto& self = *implementation_;
  std::string value;
  const auto status = self.database.storage->get(self.overlay, self.full_key(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  require(status, self);
  return value;
}

void PartitionStore::put(std::string_view key, std::string_view value) {
  if (const auto bytes = static_cast<std::int64_t>(key.size() + value.size());
      bytes > kEntryBytesMax) {
    throw TooLarge("the state of " + std::string(key.substr(0, kShownKeyBytesMax)) +
                   " would have " + std::to_string(bytes) + " bytes; at most " +
                   std::to_string(kEntryBytesMax) + " are kept");
  }
  require(implementation_->overlay.Put(implementation_->full_key(key), slice(value)),
          *implementation_);
}

void PartitionStore::erase(std::string_view key) {
  require(implementation_->overlay.Delete(implementation_->full_key(key)), *implementation_);
}

void PartitionStore::scan(std::string_view prefix, const Visitor& visit) const {
  implementation_->scan(prefix, prefix, visit);
}

void PartitionStore::scan_from(std::string_view from, const Visitor& visit) const {
  implementation_->scan("", from, visit);
}

std::optional<std::string> PartitionStore::first_key(std::string_view prefix,
                                                     std::string_view from) const {
  std::optional<std::string> first;
  implementation_->scan(prefix, from, [&](std::string_view key, std::string_view) {
    first = std::string(key);
    return false;
  });
  return first;
}

void PartitionStore::mark() {
  implementation_->overlay.SetSavePoint();
}

void PartitionStore::rollback_to_mark() {
  require(implementation_->overlay.RollbackToSavePoint(), *implementation_);
}

void PartitionStore::release_mark() {
  require(implementation_->overlay.PopSavePoint(), *implementation_);
}

void PartitionStore::for_each_change(const Change& visit) const {
  auto& self = *implementation_;
  const std::unique_ptr<rocksdb::WBWIIterator> iterator(self.overlay.NewIterator());
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    const rocksdb::WriteEntry entry = iterator->Entry();
    const std::string_view key(entry.key.data() + self.prefix.size(),
                               entry.key.size() - self.prefix.size());
    if (entry.type == rocksdb::kPutRecord) {
      visit(key, std::string_view(entry.value.data(), entry.value.size()));
    } else {
      assert(entry.type == rocksdb::kDeleteRecord);
      visit(key, std::nullopt);
    }
  }
}

bool PartitionStore::dirty() const {
  return implementation_->overlay.GetWriteBatch()->Count() > 0;
}

void PartitionStore::drop_overlay() {
  implementation_->overlay.Clear();
}

events::Status PartitionStore::write_overlay(std::string_view position) {
  auto& self = *implementation_;
  require(self.overlay.Put(self.position_key, seal(position)), self);
  const auto status = self.database.storage->write(self.overlay.GetWriteBatch());
  self.overlay.Clear();
  return self.database.result(status, "writing the state " + self.name);
}

void PartitionStore::apply(std::string_view key, std::optional<std::string_view> value) {
  auto& self = *implementation_;
  const std::string full = self.full_key(key);
  require(value ? self.applied.Put(full, slice(*value)) : self.applied.Delete(full), self);
}

std::size_t PartitionStore::applied_bytes() const {
  return implementation_->applied.GetDataSize();
}

events::Status PartitionStore::write_applied(std::string_view position) {
  auto& self = *implementation_;
  require(self.applied.Put(self.position_key, seal(position)), self);
  const auto status = self.database.storage->write(&self.applied);
  self.applied.Clear();
  return self.database.result(status, "restoring the state " + self.name);
}

bool PartitionStore::wanted() const {
  return implementation_->lease != nullptr && implementation_->lease->wanted();
}

std::optional<std::string> PartitionStore::position() const {
  auto& self = *implementation_;
  std::string sealed;
  const auto status = self.database.storage->get(self.position_key, &sealed);
  if (status.IsNotFound()) return std::nullopt;
  require(status, self);
  return unseal(sealed);
}

events::Status PartitionStore::wipe() {
  auto& self = *implementation_;
  self.overlay.Clear();
  self.applied.Clear();
  // The position goes first in the batch's order, but the batch is atomic: both or neither.
  rocksdb::WriteBatch batch;
  batch.Delete(self.position_key);
  batch.DeleteRange(self.prefix, self.prefix_end);
  return self.database.result(self.database.storage->write(&batch),
                              "wiping the state " + self.name);
}

}  // namespace voketag::state
