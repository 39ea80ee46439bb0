#include "state/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <string>
#include <utility>

#include "state/database_internal.h"
#include "state/partition_store.h"
#include "state/rocksdb_status.h"

namespace voketag::state {
namespace {

constexpr int kCorruptCopiesMax = 1000;

rocksdb::Options make_options(const DatabaseOptions& options) {
  rocksdb::Options result;
  result.create_if_missing = true;
  result.paranoid_checks = true;
  // Block cache and write buffers draw on one budget, so that 72 stores cost what one does.
  const auto cache = rocksdb::NewLRUCache(options.block_cache_bytes + options.write_buffer_bytes);
  result.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(options.write_buffer_bytes, cache);
  result.write_buffer_size = options.write_buffer_bytes / 2;
  result.max_background_jobs = 2;
  result.max_open_files = 256;
  result.max_total_wal_size = 64U << 20;
  result.keep_log_file_num = 2;
  result.max_log_file_size = 4U << 20;
  result.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  result.compression = rocksdb::kNoCompression;
  // The log is not synced, so room that is set aside for it beforehand only costs.
  result.allow_fallocate = false;
  result.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // A store is found again by its prefix; deleting a partition's range must not slow its
  // neighbours.
  result.level_compaction_dynamic_level_bytes = true;

  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  result.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return result;
}

// Renames a database that cannot be read, so that a person can still look at it.
events::Status move_aside(const std::filesystem::path& directory) {
  std::error_code error;
  for (int copy = 1; copy <= kCorruptCopiesMax; ++copy) {
    const std::filesystem::path target = directory.string() + ".corrupt-" + std::to_string(copy);
    if (std::filesystem::exists(target, error)) continue;
    std::filesystem::rename(directory, target, error);
    if (!error) return {};
    break;
  }
  return events::fail(events::Errc::kCorrupt,
                      "the state in " + directory.string() +
                          " is corrupt and could not be moved aside (" + error.message() +
                          "); move it away by hand, it is rebuilt from the changelogs");
}

bool is_lock_conflict(const rocksdb::Status& status) {
  return status.IsIOError() && status.ToString().find("lock") != std::string::npos;
}

}  // namespace

Database::Database(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Database::~Database() = default;

events::Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& directory,
                                                         const DatabaseOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return events::fail(events::Errc::kUnavailable,
                        "the state directory " + directory.string() + " cannot be made: " +
                            error.message() + "; set VOKETAG_STATE_DIR to one that can be written");
  }
  const rocksdb::Options rocksdb_options = make_options(options);
  const std::filesystem::path path = directory / "rocksdb";
  auto implementation = std::make_unique<Implementation>();
  implementation->directory = directory;
  implementation->write_buffer_manager = rocksdb_options.write_buffer_manager;

  rocksdb::DB* raw = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(rocksdb_options, path.string(), &raw);
  if (is_lock_conflict(status)) {
    return events::fail(events::Errc::kConflict,
                        "another process holds the state in " + path.string() +
                            "; stop it, or give this one a VOKETAG_STATE_DIR of its own");
  }
  if (status.IsCorruption() || status.IsInvalidArgument() || status.IsNotFound()) {
    if (const auto moved = move_aside(path); !moved) return tl::unexpected(moved.error());
    implementation->began_anew = true;
    status = rocksdb::DB::Open(rocksdb_options, path.string(), &raw);
  }
  if (!status.ok())
    return tl::unexpected(to_error(status, "opening the state in " + path.string()));
  implementation->db.reset(raw);
  return std::unique_ptr<Database>(new Database(std::move(implementation)));
}

std::unique_ptr<PartitionStore> Database::open_partition(std::string_view processor,
                                                         std::int32_t partition) {
  return std::unique_ptr<PartitionStore>(new PartitionStore(
      std::make_unique<PartitionStore::Implementation>(*implementation_, processor, partition)));
}

bool Database::began_anew() const {
  return implementation_->began_anew;
}

std::size_t Database::memory_bytes() const {
  std::uint64_t total = 0;
  for (const char* property : {"rocksdb.block-cache-usage", "rocksdb.cur-size-all-mem-tables",
                               "rocksdb.estimate-table-readers-mem"}) {
    std::uint64_t value = 0;
    if (implementation_->db->GetIntProperty(property, &value)) total += value;
  }
  return total;
}

events::Status Database::flush() {
  return to_result(implementation_->db->Flush(rocksdb::FlushOptions()), "flushing the state");
}

const std::filesystem::path& Database::directory() const {
  return implementation_->directory;
}

}  // namespace voketag::state
