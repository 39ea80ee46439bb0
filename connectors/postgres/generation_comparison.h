#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/postgres/connection.h"
#include "processors/projection.h"

namespace voketag::postgres {

// A table of both generations, compared at equal offsets.
struct TableComparison {
  std::string table;
  std::int64_t live_rows = 0;
  std::int64_t built_rows = 0;
  std::string live_checksum;  // of all rows, whatever their order
  std::string built_checksum;
  // Only where the checksums differ: rows by their keys.
  std::int64_t only_live = 0;
  std::int64_t only_built = 0;
  std::int64_t different = 0;
  std::vector<std::string> examples;  // keys
  bool equal() const { return live_rows == built_rows && live_checksum == built_checksum; }
};

// Compares a view's live table with that of a generation, in the transaction that is open.
Outcome<TableComparison> compare_tables(Connection& connection, const processors::View& view,
                                        std::int32_t generation);

}  // namespace voketag::postgres
