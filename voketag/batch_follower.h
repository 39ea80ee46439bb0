#pragma once

#include <map>
#include <memory>
#include <optional>

#include "events/error.h"
#include "runtime/log.h"
#include "voketag/batch_progress.h"

namespace voketag::cli {

// Reads what the log tells of one batch, and follows it as it goes on. Needs Kafka alone. Not
// thread-safe; the log must outlive it.
class BatchFollower {
 public:
  // Of a batch that will be requested next: what has been said before is not read.
  static events::Result<BatchFollower> before_request(runtime::Log& log,
                                                      const events::Uuid& batch_id);
  // Of a batch that may have been requested long ago: finds its acceptance, and reads on from
  // there.
  static events::Result<BatchFollower> find(runtime::Log& log, const events::Uuid& batch_id);

  // Waits at most timeout_ms for news; true: there were some.
  events::Result<bool> poll(int timeout_ms);
  // Reads on until everything that is in the log now has been read.
  events::Status catch_up();

  const BatchProgress& progress() const { return progress_; }

 private:
  explicit BatchFollower(const events::Uuid& batch_id) : progress_(batch_id) {}

  events::Status find_acceptance(const runtime::TopicPartition& partition, std::int64_t low,
                                 std::int64_t high);
  bool caught_up() const;

  BatchProgress progress_;
  std::unique_ptr<runtime::Fetcher> fetcher_;
  runtime::FetchBatch batch_;
  // Per partition: how far reading has come, and how far the log went when it began.
  struct Place {
    std::int64_t next = 0;
    std::int64_t high = 0;
  };
  std::map<runtime::TopicPartition, Place> places_;
};

}  // namespace voketag::cli
