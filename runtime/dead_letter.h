#pragma once

#include <string_view>

#include "events/record.h"

namespace voketag::runtime {

// The record for the topic dead-letters that keeps `record` for people: the raw value and key as
// they came, and headers that say why (`dead_letter_reason`, `dead_letter_detail`), who refused it
// (`dead_letter_processor`) and where it came from (`dead_letter_topic`, `_partition`, `_offset`,
// `_timestamp`); the record's own headers follow, their names behind `original_`. A null key or
// value stays null; `dead_letter_tombstone: true` tells a null value from an empty one.
//
// The id is derived from topic, partition, offset and processor, so that a second letter about the
// same record is recognised as such. A value of more than kDeadLetterBytesMax is cut to that, and
// `dead_letter_cut_from` gives its length.
events::OutputRecord make_dead_letter(const events::RecordView& record, std::string_view processor,
                                      std::string_view reason, std::string_view detail);

}  // namespace voketag::runtime
