#pragma once

#include <string>

#include "connectors/postgres/connection.h"

namespace voketag::postgres {

// Whom a lock keeps out, and so who may have stood in its way.
enum class LockedAgainst { kWriters, kEverybody };

// Who holds tables of this database ("voketag.products, voketag.batches") that a lock of ours was
// not given for, for people: processes, their names, since when. Not we ourselves.
std::string lock_holders(Connection& connection, const std::string& tables, LockedAgainst against);

}  // namespace voketag::postgres
