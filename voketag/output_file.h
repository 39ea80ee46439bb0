#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "events/error.h"

namespace voketag::cli {

// A file that comes to be as a whole or not at all: written beside its place under a name of its
// own, and renamed when it is complete and on the disk.
class OutputFile {
 public:
  static events::Result<OutputFile> create(const std::filesystem::path& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();  // what was not committed is removed

  events::Status write(std::string_view bytes);
  // Flushes to the disk, closes and renames.
  events::Status commit();
  std::uint64_t written_bytes() const { return written_bytes_; }

 private:
  OutputFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor)
      : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}
  static events::Result<OutputFile> open_special(const std::filesystem::path& path);
  events::Status flush();
  events::Error trouble(const char* what) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::string buffer_;
  std::uint64_t written_bytes_ = 0;
};

}  // namespace voketag::cli
