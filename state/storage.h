#pragma once

#include <rocksdb/db.h>
#include <rocksdb/utilities/write_batch_with_index.h>

#include <memory>
#include <string>
#include <utility>

#include "state/memory_disk.h"

// Where a database lies. Internal: RocksDB is named in *.cc, here and in database_internal.h only.
namespace voketag::state {

class Storage {
 public:
  virtual ~Storage() = default;

  virtual rocksdb::Status get(const rocksdb::Slice& key, std::string* value) = 0;
  virtual rocksdb::Status write(rocksdb::WriteBatch* batch) = 0;

  // ---- with what an overlay has put on top
  virtual rocksdb::Status get(rocksdb::WriteBatchWithIndex& overlay, const rocksdb::Slice& key,
                              std::string* value) = 0;
  // Of what lies below no key at or beyond `upper`, which must outlive the iterator.
  virtual std::unique_ptr<rocksdb::Iterator> iterate(rocksdb::WriteBatchWithIndex& overlay,
                                                     const rocksdb::Slice& upper) = 0;
};

class RocksdbStorage final : public Storage {
 public:
  explicit RocksdbStorage(rocksdb::DB& db) : db_(db) {}

  rocksdb::Status get(const rocksdb::Slice& key, std::string* value) override;
  rocksdb::Status write(rocksdb::WriteBatch* batch) override;
  rocksdb::Status get(rocksdb::WriteBatchWithIndex& overlay, const rocksdb::Slice& key,
                      std::string* value) override;
  std::unique_ptr<rocksdb::Iterator> iterate(rocksdb::WriteBatchWithIndex& overlay,
                                             const rocksdb::Slice& upper) override;

 private:
  rocksdb::DB& db_;
};

class MemoryStorage final : public Storage {
 public:
  explicit MemoryStorage(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}

  rocksdb::Status get(const rocksdb::Slice& key, std::string* value) override;
  rocksdb::Status write(rocksdb::WriteBatch* batch) override;
  rocksdb::Status get(rocksdb::WriteBatchWithIndex& overlay, const rocksdb::Slice& key,
                      std::string* value) override;
  std::unique_ptr<rocksdb::Iterator> iterate(rocksdb::WriteBatchWithIndex& overlay,
                                             const rocksdb::Slice& upper) override;

 private:
  const std::shared_ptr<MemoryDisk> disk_;
};

}  // namespace voketag::state
