#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "events/events.h"
#include "events/field.h"
#include "processors/batches/batch_content.h"

// What the batches processor keeps. docs/formats/state.md has an example of each.
namespace voketag::processors {

// A batch on its way: table "batch", key batch_id. Erased at the end of the way.
//
//    generating -> anchoring -> (ended: completed)
//        |          |    ^
//        |          v    | by timer
//        |      anchor_failed
//        v
//    (ended: failed)
//
// A batch is never seen as merely requested: as it is accepted, its first chunks are asked for. A
// small one is made in that moment, and begins in anchoring.
struct BatchState {
  std::string status;
  BatchContent content;
  std::string tenant;
  std::int64_t product_count = 0;
  std::int64_t first_serial = 1;
  std::int64_t key_id = 0;
  std::int64_t chunk_size = 0;
  events::Timestamp requested_at;
  // Requests that went out in vain since the batch last moved: for its only chunk (those for one of
  // several chunks are in its window), or for its anchor.
  std::int64_t reminders = 0;
  events::Timestamp changed_at;  // when it last moved, or was last asked for in vain
  std::optional<events::Hash> merkle_root;
  // Topics are read side by side, so an anchor may be seen before the root that it anchors.
  std::optional<events::AnchorCompleted> early_anchor;
  std::int64_t duplicates = 0;

  static constexpr auto fields() {
    using E = BatchState;
    using events::Field;
    return std::tuple{
        Field{"status", &E::status, "Where the batch is",
              events::one_of("generating|anchoring|anchor_failed")},
        Field{"content", &E::content, "What was asked for, as a digest"},
        Field{"tenant", &E::tenant, "Whose batch it is"},
        Field{"product_count", &E::product_count, "How many products"},
        Field{"first_serial", &E::first_serial, "Serial of the first product"},
        Field{"key_id", &E::key_id, "The token key"},
        Field{"chunk_size", &E::chunk_size, "Products per chunk"},
        Field{"requested_at", &E::requested_at, "Broker time of the request"},
        Field{"reminders", &E::reminders, "How often its only chunk or its anchor was asked for"},
        Field{"changed_at", &E::changed_at, "When it last moved or was asked for"},
        Field{"merkle_root", &E::merkle_root, "The root, once it is known"},
        Field{"early_anchor", &E::early_anchor, "An anchor that was seen before the root"},
        Field{"duplicates", &E::duplicates, "How often the same was requested again"}};
  }
};

// A batch that has ended: table "ended", key batch_id. Kept for ever, to know a duplicate.
struct EndedBatch {
  std::string status;
  BatchContent content;
  std::int64_t duplicates = 0;

  static constexpr auto fields() {
    using E = EndedBatch;
    using events::Field;
    return std::tuple{
        Field{"status", &E::status, "How it ended", events::one_of("completed|failed")},
        Field{"content", &E::content, "What was asked for, as a digest"},
        Field{"duplicates", &E::duplicates, "How often the same was requested again"}};
  }
};

}  // namespace voketag::processors
