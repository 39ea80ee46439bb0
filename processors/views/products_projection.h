#pragma once

#include "processors/projection.h"

namespace voketag::processors {

// The view "products": one row per token of tokens-generated, whose product id stands in the token.
//
//    product_id uuid key | batch_id uuid | serial bigint | token text | status product_status
//
// Every product is new in the view; the status of all is 'active'. Refused: a token that is not one
// in form, a count that is not the number of tokens.
class ProductsProjection : public Projection {
 public:
  std::string_view name() const override { return "products"; }
  std::vector<std::string_view> inputs() const override;
  std::span<const View* const> views() const override;
  events::Status project(const events::RecordView& record, RowWriter& rows) override;
};

}  // namespace voketag::processors
