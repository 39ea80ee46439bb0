#include "voketag/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace voketag::cli {
namespace {

constexpr std::size_t kBufferBytes = 256 * 1024;

}  // namespace

events::Result<OutputFile> OutputFile::create(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return events::fail(events::Errc::kInvalid, path.string() + " is a directory; name a file");
  }
  const auto kind = std::filesystem::status(path, ignored).type();
  if (kind != std::filesystem::file_type::not_found &&
      kind != std::filesystem::file_type::regular) {
    return open_special(path);
  }
  std::filesystem::path temporary = path;
  temporary += ".partial-" + std::to_string(getpid());
  const int descriptor =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) {
    return events::fail(events::Errc::kInvalid,
                        "cannot write " + path.string() + ": " + std::strerror(errno));
  }
  return OutputFile(path, std::move(temporary), descriptor);
}

// A pipe or a device (/dev/null) must not be replaced by a file.
events::Result<OutputFile> OutputFile::open_special(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return events::fail(events::Errc::kInvalid,
                        "cannot write " + path.string() + ": " + std::strerror(errno));
  }
  return OutputFile(path, {}, descriptor);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)),
      written_bytes_(other.written_bytes_) {}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

events::Error OutputFile::trouble(const char* what) const {
  return {events::Errc::kExhausted,
          "cannot " + std::string(what) + " " + path_.string() + ": " + std::strerror(errno)};
}

events::Status OutputFile::write(std::string_view bytes) {
  buffer_ += bytes;
  written_bytes_ += bytes.size();
  return buffer_.size() >= kBufferBytes ? flush() : events::Status();
}

events::Status OutputFile::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t taken = ::write(descriptor_, rest.data(), rest.size());
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0) return tl::unexpected(trouble("write"));
    rest.remove_prefix(static_cast<std::size_t>(taken));
  }
  buffer_.clear();
  return {};
}

events::Status OutputFile::commit() {
  if (auto flushed = flush(); !flushed) return flushed;
  if (fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS)
    return tl::unexpected(trouble("write"));
  if (!temporary_.empty() && std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return tl::unexpected(trouble("name"));
  }
  close(std::exchange(descriptor_, -1));
  return {};
}

}  // namespace voketag::cli
