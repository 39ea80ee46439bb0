#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "events/field.h"
#include "events/timestamp.h"

namespace voketag::processors {

// Which chunks of a batch have been requested, and which of these have come back. Small however
// many chunks there are: chunks below `first_open` are back, chunks from `next` on are not yet
// requested, and `returned` tells of those between, as a bit per chunk.
//
// At most `in_flight_max` chunks are out at a time. One slow chunk does not hold up the others
// until next is kSpan times as far ahead of it; so `returned` is bounded too.
struct ChunkWindow {
  static constexpr std::int64_t kSpan = 4;

  enum class Return { kFirst, kAgain, kNeverRequested };

  std::int64_t first_open = 0;
  std::int64_t next = 0;
  std::string returned;  // hex digits, four chunks each, lowest bit first, from first_open on
  std::int64_t returned_count = 0;
  std::int64_t reminders = 0;    // how often open chunks were requested again since the last return
  events::Timestamp changed_at;  // when a chunk last came back, or was first or again requested

  // Notes that a chunk has come back.
  Return note_return(std::int64_t chunk_index);

  // How many chunks may be requested now.
  std::int64_t room(std::int64_t chunk_count, std::int64_t in_flight_max) const;

  // The chunks that were requested and have not come back, rising.
  std::vector<std::int64_t> open() const;

  static constexpr auto fields() {
    using E = ChunkWindow;
    return std::tuple{
        events::Field{"first_open", &E::first_open, "Every chunk below is back"},
        events::Field{"next", &E::next, "The first chunk that has not been requested"},
        events::Field{"returned", &E::returned, "A bit per chunk from first_open on"},
        events::Field{"returned_count", &E::returned_count, "How many bits are set"},
        events::Field{"reminders", &E::reminders, "How often open chunks were requested again"},
        events::Field{"changed_at", &E::changed_at, "When the window last moved"}};
  }

 private:
  bool is_returned(std::int64_t chunk_index) const;
  void set_returned(std::int64_t chunk_index);
  void close_prefix();
};

}  // namespace voketag::processors
