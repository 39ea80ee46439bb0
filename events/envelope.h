#pragma once

#include <string>
#include <string_view>

#include "events/record.h"
#include "events/timestamp.h"

namespace voketag::events {

// The CloudEvents 1.0 attributes of a record (Kafka protocol binding, binary mode).
struct Envelope {
  std::string id;      // unique per source
  std::string source;  // "/voketag/<processor>"
  std::string type;    // "voketag.<topic>.v1"
  Timestamp time;
  std::string traceparent;  // W3C Trace Context, 55 characters; of the hop that wrote the record
};

// The ce_type of a topic's events: "voketag.<topic>.v1".
std::string event_type(std::string_view topic);

// Reads a record's envelope. A producer that knows nothing of CloudEvents is welcome: without
// ce_ headers the topic gives the type and "topic/partition/offset" the id, and the trace begins
// here, derived from the id so that a replay gives the same. Each attribute that is absent, empty,
// longer than 256 bytes or (time, traceparent) malformed is filled in by itself: the source with
// "/external", the time with the broker's. An id may be any bytes: only hashes of it go further.
Envelope read_envelope(const RecordView& record);

// The type alone, as read_envelope gives it.
std::string read_type(const RecordView& record);

// The envelope of something that no record caused (a timer): a trace of its own, derived from the
// id.
Envelope begin_envelope(std::string id, std::string_view source, std::string_view type,
                        Timestamp time);

// The envelope of the `ordinal`-th event (from 0) that `source` derives from `cause` for `topic`:
// id = UUIDv5 (in kNamespace) of "<cause's id>/<type>/<ordinal>", the same trace and flags with a
// span derived from the new id. `cause` comes from read_envelope or derive_envelope.
Envelope derive_envelope(const Envelope& cause, std::string_view source, std::string_view topic,
                         int ordinal, Timestamp time);

// The envelope as the headers of a JSON record, in a fixed order.
Headers to_headers(const Envelope& envelope);

}  // namespace voketag::events
