#include "state/storage.h"

#include <cstdint>
#include <iterator>
#include <string_view>

namespace voketag::state {
namespace {

std::string_view view(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

// What a batch does, done to the disk.
class Apply final : public rocksdb::WriteBatch::Handler {
 public:
  explicit Apply(MemoryDisk& disk) : disk_(disk) {}

  void Put(const rocksdb::Slice& key, const rocksdb::Slice& value) override {
    disk_.put(view(key), view(value));
  }
  void Delete(const rocksdb::Slice& key) override { disk_.erase(view(key)); }
  rocksdb::Status DeleteRangeCF(std::uint32_t /*family*/, const rocksdb::Slice& from,
                                const rocksdb::Slice& to) override {
    disk_.erase_range(view(from), view(to));
    return rocksdb::Status::OK();
  }

 private:
  MemoryDisk& disk_;
};

// The entries below `upper`. Nobody writes while an iterator is there (Store::scan says so).
class MemoryIterator final : public rocksdb::Iterator {
 public:
  MemoryIterator(const MemoryDisk::Entries& entries, const rocksdb::Slice& upper)
      : entries_(entries), end_(entries.lower_bound(view(upper))), place_(end_) {}

  bool Valid() const override { return place_ != end_; }
  void SeekToFirst() override { place_ = entries_.begin(); }
  void SeekToLast() override { place_ = end_ == entries_.begin() ? end_ : std::prev(end_); }
  void Seek(const rocksdb::Slice& target) override {
    place_ = entries_.lower_bound(view(target));
    if (at_or_beyond_end()) place_ = end_;
  }
  void SeekForPrev(const rocksdb::Slice& target) override {
    Seek(target);
    if (Valid() && key() == target) return;
    if (Valid()) {
      Prev();
    } else {
      SeekToLast();
    }
  }
  void Next() override { ++place_; }
  void Prev() override { place_ = place_ == entries_.begin() ? end_ : std::prev(place_); }
  rocksdb::Slice key() const override { return place_->first; }
  rocksdb::Slice value() const override { return place_->second; }
  rocksdb::Status status() const override { return rocksdb::Status::OK(); }

 private:
  using Place = MemoryDisk::Entries::const_iterator;
  bool at_or_beyond_end() const {
    return place_ == entries_.end() || (end_ != entries_.end() && place_->first >= end_->first);
  }

  const MemoryDisk::Entries& entries_;
  const Place end_;
  Place place_;
};

}  // namespace

// ---- RocksDB ------------------------------------------------------------------------------------

rocksdb::Status RocksdbStorage::get(const rocksdb::Slice& key, std::string* value) {
  return db_.Get(rocksdb::ReadOptions(), key, value);
}

rocksdb::Status RocksdbStorage::write(rocksdb::WriteBatch* batch) {
  return db_.Write(rocksdb::WriteOptions(), batch);
}

rocksdb::Status RocksdbStorage::get(rocksdb::WriteBatchWithIndex& overlay,
                                    const rocksdb::Slice& key, std::string* value) {
  return overlay.GetFromBatchAndDB(&db_, rocksdb::ReadOptions(), key, value);
}

std::unique_ptr<rocksdb::Iterator> RocksdbStorage::iterate(rocksdb::WriteBatchWithIndex& overlay,
                                                           const rocksdb::Slice& upper) {
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper;
  return std::unique_ptr<rocksdb::Iterator>(
      overlay.NewIteratorWithBase(db_.DefaultColumnFamily(), db_.NewIterator(options), &options));
}

// ---- memory -------------------------------------------------------------------------------------

rocksdb::Status MemoryStorage::get(const rocksdb::Slice& key, std::string* value) {
  const auto found = disk_->entries().find(view(key));
  if (found == disk_->entries().end()) return rocksdb::Status::NotFound();
  *value = found->second;
  return rocksdb::Status::OK();
}

rocksdb::Status MemoryStorage::write(rocksdb::WriteBatch* batch) {
  disk_->begin_write();
  Apply apply(*disk_);
  return batch->Iterate(&apply);
}

rocksdb::Status MemoryStorage::get(rocksdb::WriteBatchWithIndex& overlay, const rocksdb::Slice& key,
                                   std::string* value) {
  if (overlay.GetWriteBatch()->Count() == 0) return get(key, value);
  const std::unique_ptr<rocksdb::WBWIIterator> iterator(overlay.NewIterator());
  iterator->Seek(key);
  if (!iterator->Valid() || iterator->Entry().key != key) return get(key, value);
  const rocksdb::WriteEntry entry = iterator->Entry();
  if (entry.type != rocksdb::kPutRecord) return rocksdb::Status::NotFound();
  value->assign(entry.value.data(), entry.value.size());
  return rocksdb::Status::OK();
}

std::unique_ptr<rocksdb::Iterator> MemoryStorage::iterate(rocksdb::WriteBatchWithIndex& overlay,
                                                          const rocksdb::Slice& upper) {
  return std::unique_ptr<rocksdb::Iterator>(
      overlay.NewIteratorWithBase(new MemoryIterator(disk_->entries(), upper)));
}

}  // namespace voketag::state
