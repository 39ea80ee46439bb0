#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/connection.h"
#include "processors/projection.h"

// The tables of a generation that is not live: as those of the live one, with a suffix. Every
// function runs in the transaction that is open on its connection, if there is one.
namespace voketag::postgres {

// "_g2", behind the names of tables and of their indexes.
std::string generation_suffix(std::int32_t generation);
// "voketag.batches_g2, voketag.products_g2"
std::string table_list(std::span<const processors::View* const> views,
                       std::string_view suffix = {});

// Makes the table of a view in a generation: columns, defaults, checks, storage options and
// tablespace as the live table has them, no index.
Outcome<void> create_generation_table(Connection& connection, const processors::View& view,
                                      std::int32_t generation);

// While a table is loaded there is nothing to clean up, and rows stay in the order of writing only
// where no room is given back. With `on` as the live table has it.
Outcome<void> set_autovacuum(Connection& connection, const processors::View& view,
                             std::int32_t generation, bool on);

// Makes the indexes and key constraints that the live table has and this one lacks, whoever made
// them. kRefused (23505): a unique one meets rows that it forbids.
Outcome<void> create_missing_indexes(Connection& connection, const processors::View& view,
                                     std::int32_t generation);
// How many are missing.
Outcome<int> missing_indexes(Connection& connection, const processors::View& view,
                             std::int32_t generation);

// Of rows with one key, keeps the one that was written first; the keys of the others, as people
// read them. Only for a table that no row was ever deleted from, nor vacuumed.
Outcome<std::vector<std::string>> delete_later_duplicates(Connection& connection,
                                                          const processors::View& view,
                                                          std::int32_t generation);

// Why the tables cannot take the place of the live ones, for people; empty: they can. Objects that
// depend on a live table would go on reading the old one; partitions would be dropped with it;
// columns may have changed since.
Outcome<std::string> why_not_replaceable(Connection& connection,
                                         std::span<const processors::View* const> views,
                                         std::int32_t generation);
// The first half of that, before there are tables of the new generation.
Outcome<std::string> dependents(Connection& connection,
                                std::span<const processors::View* const> views);

// Gives the table of a generation the view's own name, rights and index names, and the live one
// `retired`'s suffix.
Outcome<void> replace_live_table(Connection& connection, const processors::View& view,
                                 std::int32_t retired, std::int32_t generation);

Outcome<void> drop_generation_table(Connection& connection, const processors::View& view,
                                    std::int32_t generation);

}  // namespace voketag::postgres
