#include "state/memory_disk.h"

namespace voketag::state {
namespace {

constexpr std::size_t kWritesKept = 32;

}  // namespace

void MemoryDisk::begin_write() {
  undo_.emplace_back();
  if (undo_.size() > kWritesKept) undo_.pop_front();
}

void MemoryDisk::put(std::string_view key, std::string_view value) {
  const auto place = entries_.lower_bound(key);
  if (place != entries_.end() && place->first == key) {
    undo_.back().emplace_back(key, std::exchange(place->second, std::string(value)));
    return;
  }
  entries_.emplace_hint(place, key, value);
  undo_.back().emplace_back(key, std::nullopt);
}

void MemoryDisk::erase(std::string_view key) {
  const auto place = entries_.find(key);
  if (place != entries_.end()) remove(place);
}

void MemoryDisk::erase_range(std::string_view from, std::string_view to) {
  auto place = entries_.lower_bound(from);
  while (place != entries_.end() && place->first < to) place = remove(place);
}

MemoryDisk::Entries::iterator MemoryDisk::remove(Entries::iterator place) {
  undo_.back().emplace_back(place->first, std::move(place->second));
  return entries_.erase(place);
}

void MemoryDisk::lose_writes(std::size_t count) {
  for (; count > 0 && !undo_.empty(); --count) {
    for (auto change = undo_.back().rbegin(); change != undo_.back().rend(); ++change) {
      auto& [key, before] = *change;
      if (before) {
        entries_.insert_or_assign(key, *std::move(before));
      } else {
        entries_.erase(key);
      }
    }
    undo_.pop_back();
  }
}

}  // namespace voketag::state
