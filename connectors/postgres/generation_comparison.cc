#include "connectors/postgres/generation_comparison.h"

#include <string_view>

#include "connectors/postgres/generation_tables.h"

namespace voketag::postgres {
namespace {

using processors::View;

constexpr int kExamplesMax = 10;

std::string key_columns(const View& view) {
  std::string columns;
  for (const auto& column : view.columns.first(view.key_columns)) {
    if (!columns.empty()) columns += ", ";
    columns += column.name;
  }
  return columns;
}

Outcome<void> find_differences(Connection& connection, const View& view, std::int32_t generation,
                               TableComparison& comparison) {
  const std::string keys = key_columns(view);
  const std::string first_key(view.columns.front().name);
  const std::string joined = " FROM voketag." + comparison.table + " AS live FULL JOIN voketag." +
                             comparison.table + generation_suffix(generation) +
                             " AS built USING (" + keys + ")";
  const std::string differs =
      "live." + first_key + " IS NOT NULL AND built." + first_key +
      " IS NOT NULL AND hash_record_extended(live, 0) <> hash_record_extended(built, 0)";
  auto rows = connection.execute("SELECT count(*) FILTER (WHERE built." + first_key +
                                 " IS NULL), count(*) FILTER (WHERE live." + first_key +
                                 " IS NULL), count(*) FILTER (WHERE " + differs + ")" + joined);
  if (!rows) return tl::unexpected(rows.error());
  comparison.only_live = rows->int64(0, 0);
  comparison.only_built = rows->int64(0, 1);
  comparison.different = rows->int64(0, 2);
  rows = connection.execute(
      "SELECT concat_ws(' ', " + keys + ")" + joined + " WHERE built." + first_key +
      " IS NULL OR live." + first_key + " IS NULL OR (" + differs +
      // What a partial generation cannot have is the least interesting.
      ") ORDER BY built." + first_key + " IS NULL LIMIT " + std::to_string(kExamplesMax));
  if (!rows) return tl::unexpected(rows.error());
  for (int row = 0; row < rows->count(); ++row) {
    comparison.examples.emplace_back(rows->text(row, 0));
  }
  return {};
}

}  // namespace

// The sum of the rows' 64-bit hashes: equal for the same rows in any order, and what a row that is
// missing, doubled or changed alters.
Outcome<TableComparison> compare_tables(Connection& connection, const View& view,
                                        std::int32_t generation) {
  TableComparison comparison;
  comparison.table = view.name;
  for (const bool live : {true, false}) {
    const std::string suffix = live ? "" : generation_suffix(generation);
    const auto rows = connection.execute(
        "SELECT count(*), coalesce(sum(hash_record_extended(row, 0)), 0)::text FROM voketag." +
        comparison.table + suffix + " AS row");
    if (!rows) return tl::unexpected(rows.error());
    (live ? comparison.live_rows : comparison.built_rows) = rows->int64(0, 0);
    (live ? comparison.live_checksum : comparison.built_checksum) = rows->text(0, 1);
  }
  if (comparison.equal()) return comparison;
  if (const auto found = find_differences(connection, view, generation, comparison); !found) {
    return tl::unexpected(found.error());
  }
  return comparison;
}

}  // namespace voketag::postgres
