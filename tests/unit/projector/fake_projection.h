#pragma once

#include <array>
#include <new>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "processors/projection.h"

namespace voketag::runtime {

inline constexpr std::array kColumns{processors::Column{"text", processors::ColumnType::kText}};
inline constexpr processors::View kLines{"lines", kColumns, 1, processors::Merge::kInsert};

// One row per word. Three words are errors, after a row: "bad" is refused, "throw" throws, and at
// "memory" there is none left.
class Words final : public processors::Projection {
 public:
  std::string_view name() const override { return "words"; }
  std::vector<std::string_view> inputs() const override { return {"left", "right"}; }
  std::span<const processors::View* const> views() const override { return kViews; }

  events::Status project(const events::RecordView& record, processors::RowWriter& rows) override {
    rows.begin_row(kLines);
    rows.text(*record.value);
    if (*record.value == "bad") return events::fail(events::Errc::kInvalid, "a bad word");
    if (*record.value == "throw") throw std::runtime_error("thrown");
    if (*record.value == "memory") throw std::bad_alloc();
    return {};
  }

 private:
  static constexpr std::array kViews{&kLines};
};

}  // namespace voketag::runtime
