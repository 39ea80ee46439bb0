#include "state/scratch.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace voketag::state {

events::Result<std::unique_ptr<Scratch>> Scratch::make(const std::filesystem::path& parent,
                                                       std::string_view purpose) {
  std::string pattern = (parent / ("voketag-" + std::string(purpose) + "-XXXXXX")).string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return events::fail(events::Errc::kInvalid, "cannot write to " + parent.string() + " (" +
                                                    std::strerror(errno) +
                                                    "); --scratch names a directory with room");
  }
  auto scratch = std::unique_ptr<Scratch>(new Scratch(pattern));
  auto database =
      Database::open(pattern, {.block_cache_bytes = 8U << 20, .write_buffer_bytes = 16U << 20});
  if (!database) return tl::unexpected(database.error());
  scratch->database_ = *std::move(database);
  return scratch;
}

Scratch::~Scratch() {
  database_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace voketag::state
