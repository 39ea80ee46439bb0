#include "runtime/crash_marker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "events/partitioner.h"

namespace voketag::runtime {

// Zeroes mean: nothing is being handled, nothing has died. The deaths are those at the named
// record.
struct CrashMarker::Page {
  std::uint32_t inside;
  std::uint32_t deaths;
  std::uint32_t topic_hash;
  std::int32_t partition;
  std::int64_t offset;
};

events::Result<CrashMarker> CrashMarker::open(const std::filesystem::path& file) {
  const auto failed = [&](const char* doing) {
    return events::fail(events::Errc::kUnavailable, std::string(doing) + " " + file.string() +
                                                        ": " + std::strerror(errno) +
                                                        "; the state directory must be writable");
  };
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return failed("opening the crash marker");
  if (::ftruncate(descriptor, sizeof(Page)) != 0) {
    ::close(descriptor);
    return failed("sizing the crash marker");
  }
  void* memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  ::close(descriptor);
  if (memory == MAP_FAILED) return failed("mapping the crash marker");

  CrashMarker marker;
  marker.page_ = static_cast<Page*>(memory);
  if (marker.page_->inside != 0) {
    marker.page_->inside = 0;
    ++marker.page_->deaths;
  }
  return marker;
}

CrashMarker::~CrashMarker() {
  if (page_ != nullptr) ::munmap(page_, sizeof(Page));
}

CrashMarker::CrashMarker(CrashMarker&& other) noexcept
    : page_(std::exchange(other.page_, nullptr)) {}

CrashMarker& CrashMarker::operator=(CrashMarker&& other) noexcept {
  std::swap(page_, other.page_);
  return *this;
}

bool CrashMarker::is_deadly(std::string_view topic, std::int32_t partition,
                            std::int64_t offset) const {
  return page_ != nullptr && page_->deaths >= kDeathsMax && page_->offset == offset &&
         page_->partition == partition && page_->topic_hash == events::murmur2(topic);
}

void CrashMarker::enter(std::string_view topic, std::int32_t partition, std::int64_t offset) {
  if (page_ == nullptr) return;
  const std::uint32_t topic_hash = events::murmur2(topic);
  const bool same_partition = page_->partition == partition && page_->topic_hash == topic_hash;
  const bool same = same_partition && page_->offset == offset;
  // A deadly record is usually preceded by the same few harmless ones after each restart: its
  // deaths are forgotten only when its partition has got past it.
  const bool passed = same_partition && offset > page_->offset;
  if (page_->deaths > 0 && !same && !passed) return;
  if (!same) {
    page_->deaths = 0;
    page_->topic_hash = topic_hash;
    page_->partition = partition;
    page_->offset = offset;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  page_->inside = 1;
}

std::int32_t CrashMarker::partition() const {
  return page_ == nullptr ? 0 : page_->partition;
}

void CrashMarker::forget() {
  if (page_ != nullptr) page_->deaths = 0;
}

void CrashMarker::leave() {
  if (page_ != nullptr) page_->inside = 0;
}

}  // namespace voketag::runtime
