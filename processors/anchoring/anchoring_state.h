#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "events/events.h"
#include "events/field.h"

// What the anchoring processor keeps. The first table lies with the batch's key, the others with
// the signing key's.
namespace voketag::processors {

// The root that counts for a batch: table "anchor", key batch_id, for ever.
struct AnchorState {
  events::Hash merkle_root;
  std::int64_t product_count = 0;
  std::string origin;
  std::int64_t attempt = 1;

  static constexpr auto fields() {
    using E = AnchorState;
    using events::Field;
    return std::tuple{Field{"merkle_root", &E::merkle_root, "The root that counts"},
                      Field{"product_count", &E::product_count, "The tree's size"},
                      Field{"origin", &E::origin, "Whose root", events::one_of("own|external")},
                      Field{"attempt", &E::attempt, "How often it went to the queue"}};
  }
};

// One root in a signing key's queue: table "slot", key "<queue key>/<slot number>". Slots are
// numbered on and read by number; scanning a queue would step over all that has left it.
struct WaitingRoot {
  events::AnchorQueued root;
  std::int64_t revision = 1;

  static constexpr auto fields() {
    using E = WaitingRoot;
    using events::Field;
    return std::tuple{Field{"root", &E::root, "The event that asked for it"},
                      Field{"revision", &E::revision, "Which revision its anchor will be"}};
  }
};

// Where a batch stands in the queue: table "place", key batch_id, for ever.
struct QueuePlace {
  std::string status;
  events::Hash merkle_root;
  std::int64_t revision = 1;
  std::optional<std::int64_t> slot;
  std::optional<events::AnchorQueued> failed;

  static constexpr auto fields() {
    using E = QueuePlace;
    using events::Field;
    return std::tuple{
        Field{"status", &E::status, "What became of it",
              events::one_of("waiting|failed|completed")},
        Field{"merkle_root", &E::merkle_root, "Its root"},
        Field{"revision", &E::revision, "Which revision of the batch's anchor"},
        Field{"slot", &E::slot, "Where it waits"},
        Field{"failed", &E::failed, "An outsider's root that waits for its retry timer"}};
  }
};

// One signing key's queue and account: table "lane", key "<queue key>".
struct LaneState {
  std::int64_t first_slot = 0;  // the oldest that waits
  std::int64_t next_slot = 0;   // where the next will wait
  std::int64_t nonce = 0;       // of the next transaction
  std::int64_t block_number = 0;
  std::optional<events::Timestamp> seal_at;

  static constexpr auto fields() {
    using E = LaneState;
    using events::Field;
    return std::tuple{
        Field{"first_slot", &E::first_slot, "The oldest slot that waits"},
        Field{"next_slot", &E::next_slot, "The slot after the youngest"},
        Field{"nonce", &E::nonce, "Of the next transaction"},
        Field{"block_number", &E::block_number, "The last block of the simulated chain"},
        Field{"seal_at", &E::seal_at, "When what waits is sealed, if a timer is set"}};
  }
};

}  // namespace voketag::processors
