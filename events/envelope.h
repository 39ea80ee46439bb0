#pragma once

#include <string>
#include <string_view>

#include "events/record.h"
#include "events/timestamp.h"

namespace voketag::events {

// The CloudEvents 1.0 attributes of a record (Kafka protocol binding, binary mode).
struct Envelope {
  std::string id;           // unique per source
  std::string source;       // "/voketag/<processor>"
  std::string type;         // "voketag.<topic>.v1"
  Timestamp time;
  std::string traceparent;  // W3C Trace Context; of the hop that produced the record
};

// Reads a record's envelope. A producer that knows nothing of CloudEvents is welcome: without
// ce_ headers the topic gives the type and "topic/partition/offset" the id, and the trace begins
// here, derived from the id so that a replay gives the same.
Envelope read_envelope(const RecordView& record);

// The envelope of the `ordinal`-th event (from 0) that `source` derives from `cause` for `topic`:
// id = UUIDv5 of (cause's id, type, ordinal), the same trace with a derived span.
Envelope derive_envelope(const Envelope& cause, std::string_view source, std::string_view topic,
                         int ordinal, Timestamp time);

// The envelope as the headers of a JSON record, in a fixed order.
Headers to_headers(const Envelope& envelope);

}  // namespace voketag::events
