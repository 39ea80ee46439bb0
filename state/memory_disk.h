#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace voketag::state {

// A disk in memory with one database on it, for tests that open thousands of them. What was written
// outlives the Database, as files outlive a process that is killed. Copying it copies the files.
//
// Not thread-safe.
class MemoryDisk {
 public:
  // In the order of the bytes.
  using Entries = std::map<std::string, std::string, std::less<>>;
  const Entries& entries() const { return entries_; }

  // ---- one atomic write: begin_write, then what it changes
  void begin_write();
  void put(std::string_view key, std::string_view value);
  void erase(std::string_view key);
  void erase_range(std::string_view from, std::string_view to);  // without `to`

  // Power fails: the database does not sync its log, so the last writes are lost, each as a whole;
  // so many of them, or as many as are kept for this.
  void lose_writes(std::size_t count);

 private:
  Entries::iterator remove(Entries::iterator place);

  Entries entries_;
  // Of each of the last writes, what was there before, in the order of the changes.
  using Undo = std::vector<std::pair<std::string, std::optional<std::string>>>;
  std::deque<Undo> undo_;
};

}  // namespace voketag::state
