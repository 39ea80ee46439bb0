#pragma once

#include <string>
#include <string_view>

#include "events/error.h"
#include "events/timestamp.h"
#include "processors/tokens/token.h"

namespace voketag::cli {

// Finds the token in what a person pasted: the token itself, or a URL with it: {base}/r/{token}, or
// a GS1 Digital Link whose serial number (21) it is. Query and fragment are ignored.
events::Result<processors::Token> token_of(std::string_view token_or_url);

// {base}/r/{token}
std::string verification_url(std::string_view base, std::string_view token);

// What a product id tells (docs/formats/token.md): when its batch was requested, and its batch's
// tag.
struct ProductIdParts {
  events::Timestamp requested_at;
  std::string batch_tag;  // 8 hex digits
};
ProductIdParts parts_of(const events::Uuid& product_id);

}  // namespace voketag::cli
