#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "processors/projection.h"
#include "runtime/log.h"

namespace voketag::runtime {

// Where a projection's rows go: rows and positions in one transaction of the database, so that each
// record takes effect exactly once. connectors/postgres implements it; the test driver in memory.
// Not thread-safe: one sink per projector.
class ViewSink {
 public:
  virtual ~ViewSink() = default;

  // The next offset of each of these partitions for this sink's projection and generation; 0 where
  // it has not begun. Retries inside while the database is away, until its timeout.
  virtual events::Result<std::vector<std::int64_t>> positions(
      std::span<const TopicPartition> partitions) = 0;

  // Where to write the rows of the transaction that is being gathered. What is written belongs to
  // the record of the last begin_record.
  virtual processors::RowWriter& rows() = 0;
  virtual void begin_record(const TopicPartition& partition, std::int64_t offset) = 0;
  // Forgets the rows of the record begun last.
  virtual void drop_record() = 0;
  // Forgets everything that was gathered; what the database was already sent is rolled back.
  virtual void abandon() = 0;
  // Bytes gathered so far; the projector commits before this grows past its bound.
  virtual std::size_t gathered_bytes() const = 0;

  // A record whose rows the database refused, and why.
  struct Rejected {
    TopicPartition partition;
    std::int64_t offset = 0;
    std::string detail;
  };
  // Told of refused records before the rest of their transaction commits; an error aborts it. A
  // fenced writer is told nothing: to it, rows of its successor would look like refused ones.
  class RejectHandler {
   public:
    virtual ~RejectHandler() = default;
    virtual events::Status on_rejected(std::span<const Rejected> rejected) = 0;
  };

  struct Advance {
    TopicPartition partition;
    std::int64_t from = 0;  // must be the recorded position, or the write is fenced
    std::int64_t to = 0;
  };
  // Writes what was gathered and moves the positions, all or nothing. kFenced: another projector
  // has moved them; read positions() again. kUnavailable: nothing took effect, or the outcome is
  // unknown; read positions() again, which tells. The reject handler's own error is passed on, and
  // nothing took effect. Any other error will come again: the view and the program do not fit each
  // other. In every case nothing is gathered afterwards.
  virtual events::Status commit(std::span<const Advance> advances, RejectHandler& rejects) = 0;
};

}  // namespace voketag::runtime
