#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/connection.h"
#include "events/error.h"
#include "events/uuid.h"
#include "voketag/configuration.h"

// What commands read from the views in PostgreSQL. They read only; projections write.
namespace voketag::cli {

events::Result<postgres::Connection> open_views(const Configuration& configuration);

// A connection's failure as an error of ours.
template <class T>
events::Result<T> views_result(postgres::Outcome<T> outcome) {
  if (outcome) return *std::move(outcome);
  return tl::unexpected(postgres::to_error(outcome.error()));
}

struct ProductRow {
  std::string batch_id;
  std::int64_t serial = 0;
  std::string token;
  std::string status;
  std::string batch_status;
};
events::Result<std::optional<ProductRow>> find_product(const Configuration& configuration,
                                                       const events::Uuid& product_id);

struct BatchRow {
  std::string batch_id;
  std::string tenant;
  std::string status;
  std::int64_t product_count = 0;
  std::int64_t first_serial = 1;
  std::string name;
  std::string merkle_root;
  std::string transaction_id;
  std::string network;
  std::string error;
  std::string requested_at;  // RFC 3339; empty where it is not known yet, as the other texts
  std::string completed_at;
  std::string anchored_at;
};
events::Result<std::optional<BatchRow>> find_batch(postgres::Connection& connection,
                                                   const events::Uuid& batch_id);

struct BatchFilter {
  std::optional<std::string> status;
  std::optional<std::string> tenant;
  std::int64_t limit = 20;
};
// The youngest first.
events::Result<std::vector<BatchRow>> list_batches(postgres::Connection& connection,
                                                   const BatchFilter& filter);

}  // namespace voketag::cli
