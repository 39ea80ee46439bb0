#pragma once

#include <cstdint>
#include <string_view>

namespace voketag::events {

// Every keyed topic has this many partitions, for ever: another count would send old keys
// elsewhere.
inline constexpr std::int32_t kPartitionCount = 12;

// MurmurHash2 with Kafka's seed, as Java's default partitioner computes it.
std::uint32_t murmur2(std::string_view key);

// The partition that Java's default partitioner picks for a key.
inline std::int32_t partition_for(std::string_view key,
                                  std::int32_t partition_count = kPartitionCount) {
  return static_cast<std::int32_t>((murmur2(key) & 0x7fffffffU) %
                                   static_cast<std::uint32_t>(partition_count));
}

}  // namespace voketag::events
