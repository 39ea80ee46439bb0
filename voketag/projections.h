#pragma once

#include <memory>
#include <vector>

#include "processors/projection.h"

namespace voketag::cli {

// Every projection there is, in the order of the flow.
std::vector<std::shared_ptr<processors::Projection>> all_projections();

}  // namespace voketag::cli
