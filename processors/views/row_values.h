#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "events/codec.h"
#include "events/error.h"
#include "events/field.h"
#include "events/record.h"
#include "events/timestamp.h"
#include "events/uuid.h"
#include "processors/projection.h"

// What the projections of merged rows share: an event fills some columns of a row and leaves others
// null, for other events to fill.
namespace voketag::processors {

inline void put(RowWriter& rows, const std::optional<std::string_view>& text) {
  text ? rows.text(*text) : rows.null();
}
inline void put(RowWriter& rows, const std::optional<std::int64_t>& number) {
  number ? rows.int64(*number) : rows.null();
}
inline void put(RowWriter& rows, const std::optional<events::Timestamp>& time) {
  time ? rows.timestamp(*time) : rows.null();
}
inline void put(RowWriter& rows, const std::optional<events::Hash>& hash) {
  hash ? rows.hash(*hash) : rows.null();
}
inline void put(RowWriter& rows, const std::optional<events::Uuid>& id) {
  id ? rows.uuid(*id) : rows.null();
}

// Borrows; an absent string stays absent.
inline std::optional<std::string_view> borrow(const std::optional<std::string>& text) {
  return text ? std::optional<std::string_view>(*text) : std::nullopt;
}

// Decodes a projection's record as `Event` and hands it on; an error says what is wrong with it.
template <class Event, class Write>
events::Status decode_and_write(const events::RecordView& record, Write&& write) {
  if (!record.value) {
    return events::fail(events::Errc::kInvalid,
                        "the record has no value; an event of this topic needs one");
  }
  const auto event = events::decode<Event>(*record.value);
  if (!event) return tl::unexpected(event.error());
  write(*event);
  return {};
}

}  // namespace voketag::processors
