#pragma once

#include <rocksdb/status.h>

#include <string>

#include "events/error.h"

namespace voketag::state {

// RocksDB's word for a failure, in ours.
inline events::Error to_error(const rocksdb::Status& status, const std::string& doing) {
  if (status.IsNoSpace()) {
    return {events::Errc::kExhausted, doing +
                                          ": the disk is full; free space and start again, "
                                          "nothing is lost (" +
                                          status.ToString() + ")"};
  }
  if (status.IsCorruption()) {
    return {events::Errc::kUnavailable, doing + ": " + status.ToString() +
                                            "; start again: the state is moved aside then and "
                                            "rebuilt from the changelogs"};
  }
  return {events::Errc::kUnavailable,
          doing + ": " + status.ToString() + "; look at the disk that holds the state"};
}

}  // namespace voketag::state
