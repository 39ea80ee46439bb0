#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "events/error.h"

namespace voketag::runtime {

// Remembers across a crash which record a worker was handling, so that one that kills the process
// time and again can be set aside instead of stopping the partition for ever. A page of a file
// mapped into memory: writing costs a few stores, and a killed process's page is kept by the
// kernel.
//
// Used by one thread.
class CrashMarker {
 public:
  // A handler that killed the process this often at one record is not run on it again.
  static constexpr std::uint32_t kDeathsMax = 3;

  // The file is made if it is not there; one that was left inside a handler counts as a death.
  static events::Result<CrashMarker> open(const std::filesystem::path& file);
  // A marker that remembers nothing, for tests without a disk.
  CrashMarker() = default;
  ~CrashMarker();
  CrashMarker(CrashMarker&& other) noexcept;
  CrashMarker& operator=(CrashMarker&& other) noexcept;

  // Whether the record has killed the process kDeathsMax times.
  bool is_deadly(std::string_view topic, std::int32_t partition, std::int64_t offset) const;
  // Of the record at which the process died, if it did.
  std::int32_t partition() const;
  // Deaths at a record that is now another instance's must not hide those at one of our own.
  void forget();
  // Around each handling of a record.
  void enter(std::string_view topic, std::int32_t partition, std::int64_t offset);
  void leave();

 private:
  struct Page;
  Page* page_ = nullptr;
};

}  // namespace voketag::runtime
