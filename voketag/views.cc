#include "voketag/views.h"

#include <array>

namespace voketag::cli {
namespace {

using events::Result;

// Times as our events have them, in the columns' order of read_batch.
constexpr std::string_view kBatchColumns = R"(
  b.batch_id::text, b.tenant, b.status::text, b.product_count, b.first_serial, b.name,
  b.merkle_root, b.transaction_id, b.network, b.error,
  to_char(b.requested_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  to_char(b.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  (SELECT to_char(a.anchored_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
     FROM voketag.anchors a WHERE a.batch_id = b.batch_id))";

BatchRow read_batch(const postgres::Rows& rows, int row) {
  const auto text = [&](int column) { return std::string(rows.text(row, column)); };
  BatchRow batch;
  batch.batch_id = text(0);
  batch.tenant = text(1);
  batch.status = text(2);
  batch.product_count = rows.int64(row, 3);
  batch.first_serial = rows.int64(row, 4);
  batch.name = text(5);
  batch.merkle_root = text(6);
  batch.transaction_id = text(7);
  batch.network = text(8);
  batch.error = text(9);
  batch.requested_at = text(10);
  batch.completed_at = text(11);
  batch.anchored_at = text(12);
  return batch;
}

}  // namespace

Result<postgres::Connection> open_views(const Configuration& configuration) {
  auto url = configuration.postgres();
  if (!url) return tl::unexpected(url.error());
  postgres::ConnectionOptions options;
  options.url = *std::move(url);
  options.application_name = "voketag-command";
  return views_result(postgres::Connection::open(options));
}

Result<std::optional<ProductRow>> find_product(const Configuration& configuration,
                                               const events::Uuid& product_id) {
  auto connection = open_views(configuration);
  if (!connection) return tl::unexpected(connection.error());
  const std::string id = product_id.to_string();
  const std::array<postgres::Parameter, 1> parameters{id};
  auto rows = views_result(connection->query(
      "SELECT p.batch_id::text, p.serial, p.token, p.status::text, b.status::text "
      "FROM voketag.products p LEFT JOIN voketag.batches b USING (batch_id) "
      "WHERE p.product_id = $1::uuid",
      parameters));
  if (!rows) return tl::unexpected(rows.error());
  if (rows->count() == 0) return std::nullopt;
  return ProductRow{std::string(rows->text(0, 0)), rows->int64(0, 1), std::string(rows->text(0, 2)),
                    std::string(rows->text(0, 3)), std::string(rows->text(0, 4))};
}

Result<std::optional<BatchRow>> find_batch(postgres::Connection& connection,
                                           const events::Uuid& batch_id) {
  const std::string id = batch_id.to_string();
  const std::array<postgres::Parameter, 1> parameters{id};
  auto rows = views_result(connection.query(
      "SELECT " + std::string(kBatchColumns) + " FROM voketag.batches b WHERE batch_id = $1::uuid",
      parameters));
  if (!rows) return tl::unexpected(rows.error());
  if (rows->count() == 0) return std::nullopt;
  return read_batch(*rows, 0);
}

Result<std::vector<BatchRow>> list_batches(postgres::Connection& connection,
                                           const BatchFilter& filter) {
  const std::string limit = std::to_string(filter.limit);
  const std::array<postgres::Parameter, 3> parameters{
      filter.status ? postgres::Parameter(*filter.status) : std::nullopt,
      filter.tenant ? postgres::Parameter(*filter.tenant) : std::nullopt, limit};
  auto rows = views_result(
      connection.query("SELECT " + std::string(kBatchColumns) +
                           " FROM voketag.batches b"
                           " WHERE ($1::text IS NULL OR status = $1::voketag.batch_status)"
                           " AND ($2::text IS NULL OR tenant = $2)"
                           " ORDER BY requested_at DESC NULLS LAST LIMIT $3::bigint",
                       parameters));
  if (!rows) return tl::unexpected(rows.error());
  std::vector<BatchRow> batches;
  batches.reserve(static_cast<std::size_t>(rows->count()));
  for (int row = 0; row < rows->count(); ++row) batches.push_back(read_batch(*rows, row));
  return batches;
}

}  // namespace voketag::cli
