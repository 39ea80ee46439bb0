#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/timestamp.h"

namespace voketag::events {

using Headers = std::vector<std::pair<std::string, std::string>>;
using HeaderViews = std::vector<std::pair<std::string_view, std::string_view>>;

// A record read from a topic. Borrows its bytes from whoever handed it out: valid until the next
// poll of that reader. Topic names here are without the configurable prefix.
struct RecordView {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  Timestamp timestamp;                    // the broker's (topics use LogAppendTime)
  std::optional<std::string_view> key;    // none: the record has no key
  std::optional<std::string_view> value;  // none: a tombstone
  HeaderViews headers;

  // The first header of that name, or none.
  std::optional<std::string_view> header(std::string_view name) const {
    for (const auto& [header_name, header_value] : headers) {
      if (header_name == name) return header_value;
    }
    return std::nullopt;
  }
};

// A record to be written. Owns its bytes.
struct OutputRecord {
  std::string topic;
  std::int32_t partition = -1;  // -1: from the key, by partition_for (topics.h)
  std::optional<std::string> key;
  std::optional<std::string> value;  // none: a tombstone
  Headers headers;
};

}  // namespace voketag::events
