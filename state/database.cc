#include "state/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "state/database_internal.h"
#include "state/partition_store.h"
#include "state/rocksdb_status.h"

namespace voketag::state {
namespace {

constexpr int kCorruptCopiesMax = 1000;
// A file of this name beside the database says that reading it has found corrupt data.
constexpr const char* kCorruptMark = "rocksdb-is-corrupt";

// RocksDB's warnings go where those of the process go. A log file of its own beside the state must
// not be: when the disk is full, its second failing write ends the process by an assertion, before
// anything can be said about the disk.
class WarningLog final : public rocksdb::Logger {
 public:
  WarningLog() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

  void LogHeader(const char* /*format*/, va_list /*arguments*/) override {}

  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    std::array<char, 1024> line{};
    std::vsnprintf(line.data(), line.size(), format, arguments);
    std::string_view text(line.data());
    while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
    spdlog::warn("RocksDB: {}", text);
  }
};

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
  result.info_log = std::make_shared<WarningLog>();
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

events::Error Database::Implementation::failure(const rocksdb::Status& status,
                                                const std::string& doing) const {
  // Where it cannot be noted, the next start fails as this one did.
  if (status.IsCorruption()) std::ofstream(directory / kCorruptMark) << status.ToString() << '\n';
  return to_error(status, doing);
}

Database::Database(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

Database::~Database() = default;

events::Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& directory,
                                                         const DatabaseOptions& options) {
  std::error_code error;
  const std::filesystem::path path = directory / "rocksdb";
  std::filesystem::create_directories(path, error);
  if (error) {
    return events::fail(events::Errc::kUnavailable,
                        "the state directory " + directory.string() + " cannot be made: " +
                            error.message() + "; set VOKETAG_STATE_DIR to one that can be written");
  }
  const rocksdb::Options rocksdb_options = make_options(options);
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
  const std::filesystem::path mark = directory / kCorruptMark;
  const bool found_corrupt = std::filesystem::exists(mark, error);
  if (found_corrupt || status.IsCorruption() || status.IsInvalidArgument() ||
      status.IsNotFound()) {
    if (status.ok()) delete std::exchange(raw, nullptr);
    if (const auto moved = move_aside(path); !moved) return tl::unexpected(moved.error());
    std::filesystem::create_directories(path, error);
    std::filesystem::remove(mark, error);
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
  return implementation_->result(implementation_->db->Flush(rocksdb::FlushOptions()),
                                 "flushing the state");
}

const std::filesystem::path& Database::directory() const {
  return implementation_->directory;
}

}  // namespace voketag::state
