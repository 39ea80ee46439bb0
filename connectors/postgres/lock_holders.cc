#include "connectors/postgres/lock_holders.h"

#include <array>

namespace voketag::postgres {

std::string lock_holders(Connection& connection, const std::string& tables, LockedAgainst against) {
  const std::array<Parameter, 2> parameters{
      tables, against == LockedAgainst::kWriters ? "{AccessShareLock}" : "{}"};
  // Numbers of tables are a database's own. A prepared transaction has no process.
  const auto rows = connection.query(
      "SELECT coalesce(string_agg(DISTINCT coalesce('process ' || pid, 'a prepared transaction') ||"
      "                coalesce(' (' || coalesce(nullif(application_name, ''), usename) ||"
      "                         ', since ' || to_char(xact_start AT TIME ZONE 'UTC',"
      "                                               'HH24:MI:SS') || ' UTC)', ''), ', '),"
      "                'who has ended meanwhile')"
      "  FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)"
      " WHERE pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
      "   AND relation IN (SELECT to_regclass(trim(name))"
      "                      FROM string_to_table($1, ',') AS name)"
      "   AND granted AND NOT mode = ANY ($2::text[])"
      "   AND coalesce(application_name, '') NOT LIKE 'voketag.replay-%'",
      parameters);
  return rows ? std::string(rows->text(0, 0)) : std::string("unknown");
}

}  // namespace voketag::postgres
