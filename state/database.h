#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "state/partition_lease.h"
#include "state/store.h"

namespace voketag::state {

class MemoryDisk;
class PartitionStore;

struct DatabaseOptions {
  // The budget of everything that RocksDB keeps in memory, for all stores of the process together.
  // VOKETAG_BLOCK_CACHE_MIB and VOKETAG_WRITE_BUFFER_MIB have these as their defaults.
  std::size_t block_cache_bytes = 48U << 20;
  std::size_t write_buffer_bytes = 32U << 20;
  // Otherwise a corrupt database is left where it is, and open() fails with kCorrupt.
  bool move_corrupt_aside = true;
};

// The process that holds the database under `directory` open for writing; none: nobody does. Must
// not be called by that process itself: closing the lock's file would give up its lock.
std::optional<std::int64_t> holder_of(const std::filesystem::path& directory);

// The RocksDB database of this process: one for all processors and partitions, told apart by a
// prefix of the key (docs/decisions/0003-one-database.md). Disposable: whatever is lost here is
// read back from the changelogs.
//
// Thread-safe. Each PartitionStore is used by one thread at a time, and one store of a partition is
// written to at a time: where several threads may want to, a lease says whose turn it is.
class Database {
 public:
  // Opens or creates the database under `directory`. A corrupt one, or one in which the last run
  // has read corrupt data, is moved aside to "<directory>/rocksdb.corrupt-<n>" and a new one
  // begun: the stores are then rebuilt. Fails when another
  // process holds it (kConflict), or the disk is full or unwritable (kUnavailable).
  static events::Result<std::unique_ptr<Database>> open(const std::filesystem::path& directory,
                                                        const DatabaseOptions& options = {});
  // Opens the database as it is at this moment, to be read alone, also beside the process that
  // holds it: what that one had written before this call is seen, nothing later. Writes nothing and
  // holds nothing; writing to a store of it fails. Memory: what lies in the write-ahead log, 64 MiB
  // at most. kNotFound: there is none; kUnavailable: its files changed too often meanwhile, try
  // again.
  static events::Result<std::unique_ptr<Database>> open_read_only(
      const std::filesystem::path& directory);
  // A database on a disk in memory, for tests. RocksDB's overlays lie on a map instead of its
  // files.
  static std::unique_ptr<Database> open_in_memory(std::shared_ptr<MemoryDisk> disk);
  // Whether there is a database under `directory`.
  static bool exists(const std::filesystem::path& directory);
  // Those under `directory` that were moved aside because they were corrupt; nothing reads them.
  static std::vector<std::filesystem::path> moved_aside(const std::filesystem::path& directory);
  // Whether the last run has found corrupt data in the one under `directory`, so that open() will
  // move it aside.
  static bool is_marked_corrupt(const std::filesystem::path& directory);
  // Removes the database under `directory`, corrupt or not, and nothing else there. kConflict when
  // a process holds it.
  static events::Status remove(const std::filesystem::path& directory);

  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Who may work on which partition, among the threads of this process.
  PartitionLeases& leases();
  // The lease must be granted; the store gives it back when it is destroyed.
  std::unique_ptr<PartitionStore> open_partition(std::unique_ptr<PartitionLease> lease);
  // Without a lease: to be read, or where nobody else in the process writes to it.
  std::unique_ptr<PartitionStore> open_partition(std::string_view processor,
                                                 std::int32_t partition);

  // Whether a corrupt database was moved aside when this one was opened.
  bool began_anew() const;
  // Bytes that RocksDB holds in memory: block cache, write buffers, table readers.
  std::size_t memory_bytes() const;
  // Writes everything to table files; a clean stop does so to start fast.
  events::Status flush();
  // Puts a copy of the database as it is now into "<target>/rocksdb", which must not be there.
  // Table files are linked where both lie on one file system, so it costs little room at first. The
  // copy of a partition is as consistent as the store is: state and position of one moment.
  events::Status checkpoint(const std::filesystem::path& target);
  const std::filesystem::path& directory() const;

 private:
  friend class PartitionStore;
  struct Implementation;
  explicit Database(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace voketag::state
