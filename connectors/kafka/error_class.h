#pragma once

#include <librdkafka/rdkafka.h>

#include <string_view>

#include "events/error.h"

// The one place that decides what an error of librdkafka means. Pure functions: what they are
// given is all they know.
namespace voketag::kafka {

// The steps in a transactional producer's life that can fail, in their order.
enum class Phase { kInit, kBegin, kSend, kSendOffsets, kCommit, kAbort };

// What to do about it.
enum class Verdict {
  kRetry,    // the same call with identical arguments, while time remains
  kWait,     // send only: the queue is full; serve acknowledgements, then send again
  kRefuse,   // send only: this record cannot be written; the transaction is unharmed
  kAbort,    // abort the transaction; the producer lives on
  kFenced,   // another producer has this transactional id: this one is finished
  kLeft,     // the group does not know this member any more: abort, and give up its partitions
  kStale,    // the group is one generation ahead of this member: abort, and look again
  kUnknown,  // the transaction may have been committed: replace the producer, then ask the log
  kFatal,    // nothing was committed; the producer cannot be used again
};

// An rd_kafka_error_t without its text.
struct ErrorFacts {
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  bool fatal = false;
  bool retriable = false;
  bool requires_abort = false;
  // What made the producer unusable, where the code is only _FATAL.
  rd_kafka_resp_err_t fatal_cause = RD_KAFKA_RESP_ERR_NO_ERROR;
};

// `disturbed`: since this commit began a connection broke or a request timed out. librdkafka then
// sends EndTxn a second time, so a refusal may concern the repetition of what took effect.
Verdict classify(const ErrorFacts& error, Phase phase, bool disturbed);

// The code of a VokeTag error for a librdkafka error.
events::Errc errc_of(rd_kafka_resp_err_t code);

// Whether the same request may succeed a moment later.
bool passing(rd_kafka_resp_err_t code);

// What a person can do about it; never empty.
std::string_view cure_for(rd_kafka_resp_err_t code);

const char* to_string(Phase phase);
const char* to_string(Verdict verdict);

}  // namespace voketag::kafka
