#pragma once

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "processors/hash/sha256.h"

namespace voketag::processors {

inline std::vector<std::uint8_t> from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  return bytes;
}

inline std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  const void* bytes = text.data();
  return {static_cast<const std::uint8_t*>(bytes), text.size()};
}

inline Hash hash_from_hex(std::string_view hex) {
  const auto bytes = from_hex(hex);
  Hash hash{};
  EXPECT_EQ(bytes.size(), hash.size());
  std::copy_n(bytes.begin(), std::min(bytes.size(), hash.size()), hash.begin());
  return hash;
}

// A file below tests/vectors, kept alive with the parser that reads it.
class VectorFile {
 public:
  explicit VectorFile(const std::string& path)
      : root(parser_.load(VOKETAG_SOURCE_DIR "/tests/vectors/" + path)) {}

 private:
  simdjson::dom::parser parser_;

 public:
  simdjson::dom::element root;
};

// The kernels that this CPU can run. A test over all of them cannot pass by running none: kPortable
// is always among them.
inline std::vector<const Sha256Lanes*> runnable_lanes() {
  std::vector<const Sha256Lanes*> all;
  for (const Sha256Kernel kernel : kAllSha256Kernels)
    if (const Sha256Lanes* lanes = Sha256Lanes::find(kernel)) all.push_back(lanes);
  return all;
}

// The name of a test of one kernel: letters, digits and underscores only.
inline std::string kernel_test_name(const testing::TestParamInfo<const Sha256Lanes*>& tested) {
  std::string name = to_string(tested.param->kernel());
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace voketag::processors
