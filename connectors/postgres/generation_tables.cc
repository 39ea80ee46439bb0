#include "connectors/postgres/generation_tables.h"

#include <array>

namespace voketag::postgres {
namespace {

using processors::View;

// Two generations' suffixes, and what PostgreSQL itself may append, must fit in 63 bytes.
constexpr std::size_t kIndexNameBytesMax = 52;

Outcome<void> run(Connection& connection, const std::string& sql) {
  const auto done = connection.execute(sql);
  if (!done) return tl::unexpected(done.error());
  return {};
}

std::string table_of(const View& view, std::string_view suffix = {}) {
  return "voketag." + std::string(view.name) + std::string(suffix);
}

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"') text += '"';
    text += c;
  }
  return text + '"';
}

// What is made next on this connection lies where this table or index does: LIKE does not say so,
// and neither does an index's definition.
Outcome<void> use_tablespace_of(Connection& connection, const std::string& relation) {
  const std::array<Parameter, 1> parameters{relation};
  const auto done = connection.query(
      "SELECT set_config('default_tablespace', coalesce(("
      "         SELECT spcname FROM pg_class JOIN pg_tablespace space ON space.oid = reltablespace"
      "          WHERE pg_class.oid = $1::regclass), ''), false)",
      parameters);
  if (!done) return tl::unexpected(done.error());
  return {};
}

struct Index {
  std::string name;
  std::string definition;  // CREATE INDEX, as PostgreSQL writes it
  std::string constraint;  // what follows ADD CONSTRAINT name; empty: it is an index alone
};

Outcome<std::vector<Index>> indexes_of(Connection& connection, const std::string& table) {
  const std::array<Parameter, 1> parameters{table};
  const auto rows = connection.query(
      "SELECT named.relname, pg_get_indexdef(found.indexrelid),"
      "       coalesce(pg_get_constraintdef(backed.oid), '')"
      "  FROM pg_index found JOIN pg_class named ON named.oid = found.indexrelid"
      "  LEFT JOIN pg_constraint backed ON backed.conindid = found.indexrelid"
      "   AND backed.conrelid = found.indrelid AND backed.contype IN ('p', 'u', 'x')"
      " WHERE found.indrelid = $1::regclass AND found.indisvalid"
      " ORDER BY found.indisprimary DESC, named.relname",
      parameters);
  if (!rows) return tl::unexpected(rows.error());
  std::vector<Index> indexes;
  for (int row = 0; row < rows->count(); ++row) {
    indexes.push_back({std::string(rows->text(row, 0)), std::string(rows->text(row, 1)),
                       std::string(rows->text(row, 2))});
    if (indexes.back().name.size() > kIndexNameBytesMax) {
      return fail(FailureKind::kFatal, "the name of index " + indexes.back().name + " on " + table +
                                           " is too long to be given a suffix: rename it to " +
                                           std::to_string(kIndexNameBytesMax) + " bytes or less");
    }
  }
  return indexes;
}

Outcome<bool> exists(Connection& connection, const std::string& name) {
  const std::array<Parameter, 1> parameters{name};
  const auto rows = connection.query("SELECT to_regclass($1) IS NOT NULL", parameters);
  if (!rows) return tl::unexpected(rows.error());
  return rows->text(0, 0) == "t";
}

Outcome<std::vector<Index>> find_missing(Connection& connection, const View& view,
                                         std::int32_t generation) {
  auto indexes = indexes_of(connection, table_of(view));
  if (!indexes) return indexes;
  std::vector<Index> missing;
  for (Index& index : *indexes) {
    const auto there =
        exists(connection, "voketag." + quoted(index.name + generation_suffix(generation)));
    if (!there) return tl::unexpected(there.error());
    if (!*there) missing.push_back(std::move(index));
  }
  return missing;
}

std::string create_sql(const Index& index, const std::string& table, std::string_view suffix) {
  const std::string name = quoted(index.name + std::string(suffix));
  if (!index.constraint.empty()) {
    return "ALTER TABLE " + table + " ADD CONSTRAINT " + name + " " + index.constraint;
  }
  const bool unique = index.definition.starts_with("CREATE UNIQUE ");
  return std::string(unique ? "CREATE UNIQUE INDEX " : "CREATE INDEX ") + name + " ON " + table +
         index.definition.substr(index.definition.find(" USING "));
}

std::string array_of(std::span<const View* const> views, std::string_view suffix = {}) {
  std::string array;
  for (const View* view : views) {
    array += (array.empty() ? "'" : ", '") + table_of(*view, suffix) + "'::regclass";
  }
  return "ARRAY[" + array + "]";
}

std::string key_of(const View& view, std::string_view table) {
  std::string columns;
  for (const auto& column : view.columns.first(view.key_columns)) {
    if (!columns.empty()) columns += ", ";
    if (!table.empty()) columns += std::string(table) + '.';
    columns += column.name;
  }
  return columns;
}

// Rights of the table and of its columns, as the live table grants them and no others.
std::string copy_rights_sql(const std::string& from, const std::string& to) {
  return "DO $$ DECLARE statement text; BEGIN"
         " FOR statement IN"
         "  SELECT DISTINCT format('REVOKE ALL ON " +
         to +
         " FROM %s', CASE grantee WHEN 0 THEN 'PUBLIC'"
         "         ELSE quote_ident(pg_get_userbyid(grantee)) END)"
         "    FROM pg_class, aclexplode(relacl) WHERE oid = '" +
         to +
         "'::regclass AND grantee <> relowner"
         "  UNION ALL"
         "  SELECT format('GRANT %s ON " +
         to +
         " TO %s%s', privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC'"
         "         ELSE quote_ident(pg_get_userbyid(grantee)) END,"
         "         CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
         "    FROM pg_class, aclexplode(relacl) WHERE oid = '" +
         from +
         "'::regclass AND grantee <> relowner"
         "  UNION ALL"
         "  SELECT format('GRANT %s (%I) ON " +
         to +
         " TO %s%s', privilege_type, attname, CASE grantee WHEN 0 THEN 'PUBLIC'"
         "         ELSE quote_ident(pg_get_userbyid(grantee)) END,"
         "         CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
         "    FROM pg_attribute, aclexplode(attacl) WHERE attrelid = '" +
         from +
         "'::regclass"
         " LOOP EXECUTE statement; END LOOP; END $$";
}

Outcome<void> rename(Connection& connection, const View& view, const std::string& from_suffix,
                     const std::string& to_suffix) {
  const auto indexes = indexes_of(connection, table_of(view, from_suffix));
  if (!indexes) return tl::unexpected(indexes.error());
  for (const Index& index : *indexes) {
    std::string name = index.name;
    if (!from_suffix.empty() && name.ends_with(from_suffix)) {
      name.resize(name.size() - from_suffix.size());
    }
    auto renamed = run(connection, "ALTER INDEX voketag." + quoted(index.name) + " RENAME TO " +
                                       quoted(name + to_suffix));
    if (!renamed) return renamed;
  }
  return run(connection, "ALTER TABLE " + table_of(view, from_suffix) + " RENAME TO " +
                             std::string(view.name) + to_suffix);
}

// A partition attached to a table, or a child of one, is dropped with it, and is no part of LIKE.
Outcome<std::string> partitioned(Connection& connection, std::span<const View* const> views) {
  const auto rows = connection.execute(
      "SELECT coalesce(string_agg('voketag.' || relname, ', '), '') FROM pg_class"
      " WHERE oid = ANY (" +
      array_of(views) +
      ") AND (relkind <> 'r' OR relispartition"
      "        OR EXISTS (SELECT FROM pg_inherits WHERE oid IN (inhparent, inhrelid)))");
  if (!rows) return tl::unexpected(rows.error());
  const std::string found(rows->text(0, 0));
  if (found.empty()) return std::string();
  return found +
         " is partitioned (or inherits): a replay would put one plain table in its place, and drop "
         "its partitions. Build it anew in its place instead, without rows for as long as that "
         "takes: docs/replay.md, \"A partitioned view\"";
}

}  // namespace

std::string generation_suffix(std::int32_t generation) {
  return "_g" + std::to_string(generation);
}

std::string table_list(std::span<const View* const> views, std::string_view suffix) {
  std::string list;
  for (const View* view : views) {
    list += (list.empty() ? "voketag." : ", voketag.") + std::string(view->name);
    list += suffix;
  }
  return list;
}

Outcome<void> create_generation_table(Connection& connection, const View& view,
                                      std::int32_t generation) {
  const std::string live = table_of(view);
  const std::array<Parameter, 1> parameters{live};
  const auto options = connection.query(
      "SELECT coalesce(array_to_string(reloptions, ', '), '') FROM pg_class"
      " WHERE oid = $1::regclass",
      parameters);
  if (!options) return tl::unexpected(options.error());
  const std::string with(options->text(0, 0));
  if (auto placed = use_tablespace_of(connection, live); !placed) return placed;
  return run(connection, "CREATE TABLE " + table_of(view, generation_suffix(generation)) +
                             " (LIKE " + live +
                             " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED"
                             " INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS)" +
                             (with.empty() ? "" : " WITH (" + with + ")"));
}

Outcome<void> set_autovacuum(Connection& connection, const View& view, std::int32_t generation,
                             bool on) {
  const std::string table = table_of(view, generation_suffix(generation));
  if (!on) return run(connection, "ALTER TABLE " + table + " SET (autovacuum_enabled = false)");
  const std::string live = table_of(view);
  const std::array<Parameter, 1> parameters{live};
  const auto own = connection.query(
      "SELECT coalesce(max(option_value), '') FROM pg_class, pg_options_to_table(reloptions)"
      " WHERE oid = $1::regclass AND option_name = 'autovacuum_enabled'",
      parameters);
  if (!own) return tl::unexpected(own.error());
  const std::string value(own->text(0, 0));
  return run(connection, "ALTER TABLE " + table +
                             (value.empty() ? " RESET (autovacuum_enabled)"
                                            : " SET (autovacuum_enabled = " + value + ")"));
}

Outcome<void> create_missing_indexes(Connection& connection, const View& view,
                                     std::int32_t generation) {
  const auto missing = find_missing(connection, view, generation);
  if (!missing) return tl::unexpected(missing.error());
  const std::string suffix = generation_suffix(generation);
  for (const Index& index : *missing) {
    auto placed = use_tablespace_of(connection, "voketag." + quoted(index.name));
    if (!placed) return placed;
    auto created = run(connection, create_sql(index, table_of(view, suffix), suffix));
    if (!created) return created;
  }
  return {};
}

Outcome<int> missing_indexes(Connection& connection, const View& view, std::int32_t generation) {
  const auto missing = find_missing(connection, view, generation);
  if (!missing) return tl::unexpected(missing.error());
  return static_cast<int>(missing->size());
}

// Rows of a table that only grew lie in the order in which they were written.
Outcome<std::vector<std::string>> delete_later_duplicates(Connection& connection, const View& view,
                                                          std::int32_t generation) {
  const std::string table = table_of(view, generation_suffix(generation));
  std::string same_key;
  for (const auto& column : view.columns.first(view.key_columns)) {
    const std::string name(column.name);
    same_key += " AND doubled." + name + " = kept." + name;
  }
  const auto rows =
      connection.execute("DELETE FROM " + table + " AS doubled USING (SELECT " + key_of(view, {}) +
                         ", min(ctid) AS first FROM " + table + " GROUP BY " + key_of(view, {}) +
                         " HAVING count(*) > 1) AS kept WHERE doubled.ctid <> kept.first" +
                         same_key + " RETURNING concat_ws(' ', " + key_of(view, "doubled") + ")");
  if (!rows) return tl::unexpected(rows.error());
  std::vector<std::string> keys;
  for (int row = 0; row < rows->count(); ++row) keys.emplace_back(rows->text(row, 0));
  return keys;
}

Outcome<std::string> dependents(Connection& connection, std::span<const View* const> views) {
  auto reason = partitioned(connection, views);
  if (!reason || !reason->empty()) return reason;
  const auto rows = connection.execute(
      "SELECT coalesce(string_agg(DISTINCT pg_describe_object(classid, objid, 0), ', '), '')"
      "  FROM pg_depend"
      " WHERE (refclassid = 'pg_class'::regclass AND refobjid = ANY (" +
      array_of(views) +
      ")"
      "        OR refclassid = 'pg_type'::regclass AND refobjid IN ("
      "             SELECT reltype FROM pg_class WHERE oid = ANY (" +
      array_of(views) +
      ")))"
      "   AND (deptype = 'n' OR classid IN ('pg_trigger'::regclass, 'pg_policy'::regclass,"
      "        'pg_publication_rel'::regclass, 'pg_statistic_ext'::regclass))");
  if (!rows) return tl::unexpected(rows.error());
  const std::string found(rows->text(0, 0));
  if (found.empty()) return std::string();
  return "these depend on the view's table and would go on reading the old generation: " + found +
         ". Drop them, replay, and make them anew";
}

Outcome<std::string> why_not_replaceable(Connection& connection, std::span<const View* const> views,
                                         std::int32_t generation) {
  auto reason = dependents(connection, views);
  if (!reason || !reason->empty()) return reason;
  for (const View* view : views) {
    const std::string live = table_of(*view);
    const std::string built = table_of(*view, generation_suffix(generation));
    const std::array<Parameter, 2> tables{live, built};
    const auto rows = connection.query(
        "SELECT (SELECT string_agg(concat_ws(' ', attname, atttypid, attnotnull), ',' ORDER BY "
        "attnum)"
        "          FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
        "           AND NOT attisdropped)"
        "     = (SELECT string_agg(concat_ws(' ', attname, atttypid, attnotnull), ',' ORDER BY "
        "attnum)"
        "          FROM pg_attribute WHERE attrelid = $2::regclass AND attnum > 0"
        "           AND NOT attisdropped)",
        tables);
    if (!rows) return tl::unexpected(rows.error());
    const auto missing = missing_indexes(connection, *view, generation);
    if (!missing) return tl::unexpected(missing.error());
    if (rows->text(0, 0) != "t" || *missing > 0) {
      return std::string(rows->text(0, 0) != "t" ? "columns" : "indexes") + " of " + live +
             " were changed after the replay began: drop what it built (--abort) and begin anew";
    }
  }
  return std::string();
}

Outcome<void> replace_live_table(Connection& connection, const View& view, std::int32_t retired,
                                 std::int32_t generation) {
  const std::string suffix = generation_suffix(generation);
  auto done = run(connection, copy_rights_sql(table_of(view), table_of(view, suffix)));
  if (!done) return done;
  done = rename(connection, view, "", generation_suffix(retired));
  if (!done) return done;
  return rename(connection, view, suffix, "");
}

Outcome<void> drop_generation_table(Connection& connection, const View& view,
                                    std::int32_t generation) {
  return run(connection, "DROP TABLE IF EXISTS " + table_of(view, generation_suffix(generation)));
}

}  // namespace voketag::postgres
