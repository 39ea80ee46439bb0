#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "connectors/postgres/connection.h"
#include "events/error.h"

namespace voketag::postgres {

// One step of the schema's history: migrations/NNNN_name.sql, embedded when the program is built.
// Once released it is never changed; a change is the next one.
struct Migration {
  int version = 0;
  std::string_view name;
  std::string_view sql;
  std::string_view checksum;  // SHA-256 of the file, 64 hex digits
};

// All that this program knows, by rising version.
std::span<const Migration> migrations();

struct MigrationResult {
  int from = 0;  // the database's version before; 0: it was empty
  int to = 0;
};

// Brings schema voketag to this program's version: each step in a transaction of its own, under an
// advisory lock, so that several programs may start at once. Does nothing when it is there already.
// Refuses (kConflict) a database that is newer than the program, and one where a step was applied
// with other content. Puts voketag first on the role's search path in this database where it is
// not.
events::Result<MigrationResult> migrate(Connection& connection,
                                        std::span<const Migration> steps = migrations());

// The database's version; 0: no schema yet. Changes nothing.
events::Result<int> schema_version(Connection& connection);

}  // namespace voketag::postgres
