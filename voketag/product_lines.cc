#include "voketag/product_lines.h"

#include <array>

#include "voketag/nearest_name.h"

namespace voketag::cli {

events::Result<ProductFormat> parse_product_format(std::string_view name) {
  if (name == "csv") return ProductFormat::kCsv;
  if (name == "jsonl") return ProductFormat::kJsonl;
  if (name == "urls") return ProductFormat::kUrls;
  const std::array<std::string, 3> names = {"csv", "jsonl", "urls"};
  const auto meant = nearest_name(name, names);
  return events::fail(events::Errc::kInvalid, "--format must be csv, jsonl or urls, not '" +
                                                  std::string(name) + "'" +
                                                  (meant ? "; did you mean " + *meant + "?" : ""));
}

std::string product_header(ProductFormat format) {
  return format == ProductFormat::kCsv ? "product_id,serial,token,status,url\n" : "";
}

void append_product(std::string& text, ProductFormat format, const ProductLine& product,
                    std::string_view url_base) {
  const auto append_url = [&] {
    text += url_base;
    text += "/r/";
    text += product.token;
  };
  switch (format) {
    case ProductFormat::kUrls:
      append_url();
      break;
    case ProductFormat::kCsv:
      text += product.product_id;
      text += ',';
      text += std::to_string(product.serial);
      text += ',';
      text += product.token;
      text += ',';
      text += product.status;
      text += ',';
      append_url();
      break;
    case ProductFormat::kJsonl:
      text += R"({"product_id":")";
      text += product.product_id;
      text += R"(","serial":)";
      text += std::to_string(product.serial);
      text += R"(,"token":")";
      text += product.token;
      text += R"(","status":")";
      text += product.status;
      text += R"(","url":")";
      append_url();
      text += "\"}";
      break;
  }
  text += '\n';
}

}  // namespace voketag::cli
