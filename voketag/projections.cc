#include "voketag/projections.h"

#include "processors/views/anchors_projection.h"
#include "processors/views/batches_projection.h"
#include "processors/views/merkle_subtrees_projection.h"
#include "processors/views/products_projection.h"

namespace voketag::cli {

std::vector<std::shared_ptr<processors::Projection>> all_projections() {
  return {std::make_shared<processors::BatchesProjection>(),
          std::make_shared<processors::ProductsProjection>(),
          std::make_shared<processors::MerkleSubtreesProjection>(),
          std::make_shared<processors::AnchorsProjection>()};
}

}  // namespace voketag::cli
