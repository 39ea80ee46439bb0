#!/usr/bin/env bash
# Times psql's \copy (text) into the empty products table.
#
#   psql_copy.sh DATABASE_URL DDL_FILE ROWS_FILE
#
# DDL_FILE makes the schema `voketag` as the real one is (pg_dump --schema-only); it replaces that
# of the given database, which must therefore be a scratch database. ROWS_FILE holds the rows of the
# real table in their order.
# Prints one JSON line: rows, seconds, rows_per_second.
set -euo pipefail

[[ $# -eq 3 ]] || { echo "psql_copy.sh DATABASE_URL DDL_FILE ROWS_FILE" >&2; exit 2; }
database=$1 ddl=$2 rows=$3
sql=(psql -XAtq -v ON_ERROR_STOP=1 "$database")

"${sql[@]}" -c 'SET client_min_messages = warning' -c 'DROP SCHEMA IF EXISTS voketag CASCADE' \
  >/dev/null
"${sql[@]}" -f "$ddl" >/dev/null
"${sql[@]}" -c CHECKPOINT
cat "$rows" >/dev/null # both sides read from memory

started=$(date +%s%N)
"${sql[@]}" -c "\\copy voketag.products from '$rows'"
ended=$(date +%s%N)

count=$("${sql[@]}" -c 'SELECT count(*) FROM voketag.products')
awk -v rows="$count" -v ns=$((ended - started)) \
  'BEGIN { seconds = ns / 1e9; printf "{\"rows\":%d,\"seconds\":%.4f,\"rows_per_second\":%.0f}\n",
           rows, seconds, rows / seconds }'
