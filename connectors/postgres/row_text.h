#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "processors/projection.h"

namespace voketag::postgres {

// Takes rows in the form of ViewRows apart: one piece of `rows` for each row. Borrows.
std::vector<std::string_view> split_rows(const processors::View& view, std::string_view rows);

// A row's table and key for people, as "products product_id=0b64..."; at most some 100 bytes per
// key column. `row` is one piece of split_rows.
std::string key_text(const processors::View& view, std::string_view row);

}  // namespace voketag::postgres
