#include "events/partitioner.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace voketag::events {
namespace {

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// tests/vectors/kafka/README.md says where the table comes from.
TEST(Partitioner, AgreesWithJava) {
  std::ifstream table(VOKETAG_SOURCE_DIR "/tests/vectors/kafka/murmur2.tsv");
  int keys = 0;
  for (std::string line; std::getline(table, line); ++keys) {
    std::istringstream columns(line);
    std::string hex;
    std::string hash;
    std::string partition;
    std::getline(columns, hex, '\t');
    std::getline(columns, hash, '\t');
    std::getline(columns, partition, '\t');
    const std::string key = from_hex(hex);
    EXPECT_EQ(murmur2(key), static_cast<std::uint32_t>(std::stoull(hash))) << hex;
    EXPECT_EQ(partition_for(key), std::stoi(partition)) << hex;
  }
  EXPECT_GE(keys, 290);
}

}  // namespace
}  // namespace voketag::events
