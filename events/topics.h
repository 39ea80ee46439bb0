#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace voketag::events {

enum class Cleanup {
  kKeep,     // keeps everything, for ever
  kCompact,  // keeps the last value of each key
};

struct Topic {
  std::string_view name;  // without the configurable prefix
  std::string_view key;   // what the key is, for documents
  Cleanup cleanup = Cleanup::kKeep;
  std::int32_t partitions = 12;
  std::int64_t message_bytes_max = 0;
  std::string_view meaning;
};

// Every topic whose records outsiders may read or write. Beside these, per processor, are
// "<processor>-changelog", compacted, and "<processor>-commits", what its transactions did.
std::span<const Topic> topic_catalogue();

inline constexpr std::string_view kDeadLetters = "dead-letters";
inline constexpr std::int64_t kInputBytesMax = 6 * 1024 * 1024;
inline constexpr std::int64_t kDeadLetterBytesMax = 8 * 1024 * 1024;

}  // namespace voketag::events
