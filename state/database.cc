#include "state/database.h"

#include <fcntl.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_buffer_manager.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "state/database_internal.h"
#include "state/partition_store.h"
#include "state/rocksdb_status.h"

namespace voketag::state {
namespace {

constexpr int kCorruptCopiesMax = 1000;
// A process that compacts removes files that a reader was about to open; the next look finds
// others.
constexpr int kReadOnlyAttempts = 5;
constexpr auto kReadOnlyPause = std::chrono::milliseconds(200);
constexpr const char* kDatabaseName = "rocksdb";
// Behind the database's name, and before a number: what was moved aside.
constexpr const char* kCorruptSuffix = ".corrupt-";
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
    const std::filesystem::path target = directory.string() + kCorruptSuffix + std::to_string(copy);
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

tl::unexpected<events::Error> held(const std::filesystem::path& path) {
  return events::fail(events::Errc::kConflict,
                      "another process holds the state in " + path.string() +
                          "; stop it, or give this one a VOKETAG_STATE_DIR of its own");
}

tl::unexpected<events::Error> corrupt(const std::filesystem::path& path,
                                      const rocksdb::Status& status) {
  return events::fail(events::Errc::kCorrupt,
                      "the state in " + path.string() + " is corrupt (" + status.ToString() +
                          "); the next start moves it aside and rebuilds it from the changelogs, "
                          "and so does: voketag state rebuild --yes");
}

}  // namespace

events::Error Database::Implementation::failure(const rocksdb::Status& status,
                                                const std::string& doing) const {
  if (read_only && status.IsCorruption()) {
    return {events::Errc::kCorrupt,
            doing + ": " + status.ToString() +
                "; where that lasts, stop the process that holds it, and: voketag state rebuild "
                "--yes"};
  }
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
  const std::filesystem::path path = directory / kDatabaseName;
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
  if (is_lock_conflict(status)) return held(path);
  const std::filesystem::path mark = directory / kCorruptMark;
  const bool found_corrupt = std::filesystem::exists(mark, error);
  if (found_corrupt || status.IsCorruption() || status.IsInvalidArgument() || status.IsNotFound()) {
    if (!options.move_corrupt_aside) {
      if (status.ok()) delete std::exchange(raw, nullptr);
      return corrupt(path,
                     status.ok() ? rocksdb::Status::Corruption("found by the last run") : status);
    }
    if (status.ok()) delete std::exchange(raw, nullptr);
    if (const auto moved = move_aside(path); !moved) return tl::unexpected(moved.error());
    std::filesystem::create_directories(path, error);
    std::filesystem::remove(mark, error);
    implementation->began_anew = true;
    status = rocksdb::DB::Open(rocksdb_options, path.string(), &raw);
  }
  if (!status.ok())
    return tl::unexpected(to_error(status, "opening the state in " + path.string()));
  implementation->use(raw);
  return std::unique_ptr<Database>(new Database(std::move(implementation)));
}

events::Result<std::unique_ptr<Database>> Database::open_read_only(
    const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kDatabaseName;
  rocksdb::Options options = make_options({});
  options.create_if_missing = false;
  // All at once: a file that is removed later stays readable to whoever has it open.
  options.max_open_files = -1;
  rocksdb::Status status;
  for (int attempt = 1; attempt <= kReadOnlyAttempts; ++attempt) {
    if (!exists(directory)) {
      return events::fail(events::Errc::kNotFound, "there is no state in " + directory.string() +
                                                       "; VOKETAG_STATE_DIR says where it is");
    }
    rocksdb::DB* raw = nullptr;
    status = rocksdb::DB::OpenForReadOnly(options, path.string(), &raw);
    if (status.ok()) {
      auto implementation = std::make_unique<Implementation>();
      implementation->directory = directory;
      implementation->read_only = true;
      implementation->write_buffer_manager = options.write_buffer_manager;
      implementation->use(raw);
      return std::unique_ptr<Database>(new Database(std::move(implementation)));
    }
    std::this_thread::sleep_for(kReadOnlyPause);
  }
  if (holder_of(directory)) {
    return events::fail(events::Errc::kUnavailable,
                        "the state in " + path.string() +
                            " changes faster than it can be opened beside the process that holds "
                            "it (" +
                            status.ToString() + "); try again, or stop that process first");
  }
  if (status.IsCorruption() || status.IsInvalidArgument() || status.IsNotFound()) {
    return corrupt(path, status);
  }
  return tl::unexpected(to_error(status, "reading the state in " + path.string()));
}

std::unique_ptr<Database> Database::open_in_memory(std::shared_ptr<MemoryDisk> disk) {
  auto implementation = std::make_unique<Implementation>();
  implementation->storage = std::make_unique<MemoryStorage>(std::move(disk));
  return std::unique_ptr<Database>(new Database(std::move(implementation)));
}

bool Database::exists(const std::filesystem::path& directory) {
  // RocksDB names its manifest in this file, from the first moment on.
  std::error_code ignored;
  return std::filesystem::exists(directory / kDatabaseName / "CURRENT", ignored);
}

std::vector<std::filesystem::path> Database::moved_aside(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> copies;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(std::string(kDatabaseName) + kCorruptSuffix)) {
      copies.push_back(entry->path());
    }
  }
  std::ranges::sort(copies);
  return copies;
}

bool Database::is_marked_corrupt(const std::filesystem::path& directory) {
  std::error_code ignored;
  return std::filesystem::exists(directory / kCorruptMark, ignored);
}

events::Status Database::remove(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kDatabaseName;
  const auto status = rocksdb::DestroyDB(path.string(), make_options({}));
  if (is_lock_conflict(status)) return held(path);
  if (!status.ok())
    return tl::unexpected(to_error(status, "removing the state in " + path.string()));
  std::error_code ignored;
  std::filesystem::remove(directory / kCorruptMark, ignored);
  return {};
}

std::optional<std::int64_t> holder_of(const std::filesystem::path& directory) {
  // RocksDB locks the whole of this file by fcntl, and leaves it there.
  const std::filesystem::path path = directory / kDatabaseName / "LOCK";
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool known = ::fcntl(descriptor, F_GETLK, &lock) == 0;
  ::close(descriptor);
  if (!known || lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid;
}

PartitionLeases& Database::leases() {
  return implementation_->leases;
}

std::unique_ptr<PartitionStore> Database::open_partition(std::unique_ptr<PartitionLease> lease) {
  auto store = open_partition(lease->processor(), lease->partition());
  store->implementation_->lease = std::move(lease);
  return store;
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
  if (!implementation_->db) return total;
  for (const char* property : {"rocksdb.block-cache-usage", "rocksdb.cur-size-all-mem-tables",
                               "rocksdb.estimate-table-readers-mem"}) {
    std::uint64_t value = 0;
    if (implementation_->db->GetIntProperty(property, &value)) total += value;
  }
  return total;
}

events::Status Database::flush() {
  if (!implementation_->db) return {};
  return implementation_->result(implementation_->db->Flush(rocksdb::FlushOptions()),
                                 "flushing the state");
}

events::Status Database::checkpoint(const std::filesystem::path& target) {
  if (!implementation_->db) {
    return events::fail(events::Errc::kInvalid, "a database in memory has no files to copy");
  }
  rocksdb::Checkpoint* raw = nullptr;
  auto status = rocksdb::Checkpoint::Create(implementation_->db.get(), &raw);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  if (status.ok()) status = checkpoint->CreateCheckpoint((target / kDatabaseName).string());
  return implementation_->result(status, "copying the state to " + target.string());
}

const std::filesystem::path& Database::directory() const {
  return implementation_->directory;
}

}  // namespace voketag::state
