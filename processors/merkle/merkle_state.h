#pragma once

#include <cstdint>
#include <tuple>

#include "events/field.h"

// What the merkle processor keeps.
namespace voketag::processors {

// How far a tree has come: table "tree", key batch_id. Of batches with one chunk there is none.
struct TreeState {
  std::int64_t chunk_count = 0;
  std::int64_t product_count = 0;
  std::int64_t received = 0;

  static constexpr auto fields() {
    using E = TreeState;
    using events::Field;
    return std::tuple{Field{"chunk_count", &E::chunk_count, "How many chunks the batch has"},
                      Field{"product_count", &E::product_count, "Products of the whole batch"},
                      Field{"received", &E::received, "How many chunk roots are there"}};
  }
};

// One chunk's root, until the tree is whole: table "part", key "batch_id/chunk", the chunk as eight
// digits so that the order of the keys is the order of the chunks.
struct ChunkRoot {
  events::Hash root;

  static constexpr auto fields() {
    return std::tuple{events::Field{"root", &ChunkRoot::root, "RFC 6962 root over the chunk"}};
  }
};

// A tree that is whole: table "whole", key batch_id. Kept for ever, so that a late or repeated
// chunk does not begin the tree again.
struct WholeTree {
  events::Hash merkle_root;
  std::int64_t chunk_count = 0;

  static constexpr auto fields() {
    using E = WholeTree;
    using events::Field;
    return std::tuple{Field{"merkle_root", &E::merkle_root, "RFC 6962 root over the batch"},
                      Field{"chunk_count", &E::chunk_count, "How many chunks the batch has"}};
  }
};

}  // namespace voketag::processors
