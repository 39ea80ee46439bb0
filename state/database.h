#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "events/error.h"
#include "state/store.h"

namespace voketag::state {

class PartitionStore;

struct DatabaseOptions {
  // The budget of everything that RocksDB keeps in memory, for all stores of the process together.
  std::size_t block_cache_bytes = 48U << 20;
  std::size_t write_buffer_bytes = 32U << 20;
};

// The RocksDB database of this process: one for all processors and partitions, told apart by a
// prefix of the key (docs/decisions/0003-one-database.md). Disposable: whatever is lost here is
// read back from the changelogs.
//
// Thread-safe. Each PartitionStore is used by one thread at a time.
class Database {
 public:
  // Opens or creates the database under `directory`. A corrupt one, or one in which the last run
  // has read corrupt data, is moved aside to "<directory>/rocksdb.corrupt-<n>" and a new one
  // begun: the stores are then rebuilt. Fails when another
  // process holds it (kConflict), or the disk is full or unwritable (kUnavailable).
  static events::Result<std::unique_ptr<Database>> open(const std::filesystem::path& directory,
                                                        const DatabaseOptions& options = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  std::unique_ptr<PartitionStore> open_partition(std::string_view processor,
                                                 std::int32_t partition);

  // Whether a corrupt database was moved aside when this one was opened.
  bool began_anew() const;
  // Bytes that RocksDB holds in memory: block cache, write buffers, table readers.
  std::size_t memory_bytes() const;
  // Writes everything to table files; a clean stop does so to start fast.
  events::Status flush();
  const std::filesystem::path& directory() const;

 private:
  friend class PartitionStore;
  struct Implementation;
  explicit Database(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace voketag::state
