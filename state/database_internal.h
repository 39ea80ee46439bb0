#pragma once

#include <rocksdb/db.h>
#include <rocksdb/utilities/write_batch_with_index.h>
#include <rocksdb/write_buffer_manager.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "state/database.h"
#include "state/partition_store.h"
#include "state/storage.h"

// Shared by database.cc and partition_store.cc; RocksDB is named nowhere else.
namespace voketag::state {

struct Database::Implementation {
  // The failure in our words. That of corrupt data is noted, so that the next start moves the
  // database aside: opening reads little of it and would find nothing wrong.
  events::Error failure(const rocksdb::Status& status, const std::string& doing) const;
  events::Status result(const rocksdb::Status& status, const std::string& doing) const {
    if (status.ok()) return {};
    return tl::unexpected(failure(status, doing));
  }

  std::filesystem::path directory;
  bool read_only = false;  // somebody else's: nothing is noted in it
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffer_manager;
  void use(rocksdb::DB* opened) {
    db.reset(opened);
    storage = std::make_unique<RocksdbStorage>(*opened);
  }

  std::unique_ptr<rocksdb::DB> db;  // none: in memory
  std::unique_ptr<Storage> storage;
  bool began_anew = false;
  PartitionLeases leases;
};

struct PartitionStore::Implementation {
  Implementation(Database::Implementation& database_in, std::string_view processor,
                 std::int32_t partition);

  std::string full_key(std::string_view key) const {
    std::string full;
    full.reserve(prefix.size() + key.size());
    full.append(prefix).append(key);
    return full;
  }
  // The first key after all that begin with `key_prefix`, which is UTF-8.
  std::string end_of(std::string_view key_prefix) const {
    std::string end = full_key(key_prefix);
    ++end.back();
    return end;
  }
  // The keys that begin with `key_prefix` and are not before `from`.
  void scan(std::string_view key_prefix, std::string_view from, const Store::Visitor& visit);

  Database::Implementation& database;
  std::string name;        // "<processor>/<partition>", for messages
  std::string prefix;      // of every key of this partition but the position's
  std::string prefix_end;  // the first key after all of them
  std::string position_key;
  rocksdb::WriteBatchWithIndex overlay;
  rocksdb::WriteBatch applied;
  std::unique_ptr<PartitionLease> lease;  // none: it was opened without
};

}  // namespace voketag::state
