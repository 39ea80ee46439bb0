#include "processors/views/products_projection.h"

#include <array>
#include <string>

#include "events/events.h"
#include "events/tokens_view.h"
#include "processors/tokens/token.h"

namespace voketag::processors {
namespace {

constexpr std::array kColumns{
    Column{"product_id", ColumnType::kUuid}, Column{"batch_id", ColumnType::kUuid},
    Column{"serial", ColumnType::kInt64}, Column{"token", ColumnType::kText},
    Column{"status", ColumnType::kEnum, "product_status"}};
constexpr View kProducts{"products", kColumns, 1, Merge::kInsert};
constexpr std::array kViews{&kProducts};

}  // namespace

std::vector<std::string_view> ProductsProjection::inputs() const {
  return {events::TokensGenerated::kTopic};
}

std::span<const View* const> ProductsProjection::views() const {
  return kViews;
}

events::Status ProductsProjection::project(const events::RecordView& record, RowWriter& rows) {
  if (!record.value) {
    return events::fail(events::Errc::kInvalid,
                        "the record has no value; an event of this topic needs one");
  }
  // Keeps its memory from record to record; an object may serve several threads.
  thread_local events::TokensView chunk;
  if (auto status = chunk.read(*record.value); !status) return status;
  auto serial = chunk.first_serial();
  for (const auto text : chunk.tokens()) {
    const auto token = parse_token(text);
    if (!token) {
      return events::fail(events::Errc::kInvalid,
                          "serial " + std::to_string(serial) + ": " + token.error().message);
    }
    rows.begin_row(kProducts);
    rows.uuid(token->product_id);
    rows.uuid(chunk.batch_id());
    rows.int64(serial++);
    rows.text(text);
    rows.enumeration("active");
  }
  return {};
}

}  // namespace voketag::processors
