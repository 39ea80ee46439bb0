#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "events/error.h"

namespace voketag::cli {

// The formats in which products are exported: one line per product.
enum class ProductFormat {
  kCsv,    // RFC 4180, with LF: product_id,serial,token,status,url
  kJsonl,  // the same as a JSON object
  kUrls,   // the verification URL alone
};
events::Result<ProductFormat> parse_product_format(std::string_view name);

struct ProductLine {
  std::string_view product_id;
  std::int64_t serial = 0;
  std::string_view token;
  std::string_view status;
};

// What stands before the first product; with its line end.
std::string product_header(ProductFormat format);
// Appends a product's line, with its end. No value of a product needs quotation or escapes.
void append_product(std::string& text, ProductFormat format, const ProductLine& product,
                    std::string_view url_base);

}  // namespace voketag::cli
