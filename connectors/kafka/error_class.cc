#include "connectors/kafka/error_class.h"

namespace voketag::kafka {
namespace {

using events::Errc;

bool is_fence(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
         code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

bool has_left(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
         code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
}

Verdict classify_send(const ErrorFacts& error) {
  switch (error.code) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return Verdict::kWait;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return Verdict::kRefuse;
    default:
      return Verdict::kAbort;
  }
}

Verdict classify_commit(const ErrorFacts& error, bool disturbed) {
  if (error.fatal) return Verdict::kUnknown;
  if (error.requires_abort) return disturbed ? Verdict::kUnknown : Verdict::kAbort;
  if (error.retriable) return Verdict::kRetry;
  return Verdict::kUnknown;
}

}  // namespace

Verdict classify(const ErrorFacts& error, Phase phase, bool disturbed) {
  // A fence is told from other fatal errors first: it is no fault, and nothing is to be repaired.
  // INVALID_PRODUCER_EPOCH fences only when it is fatal; before that it asks for an abort.
  if (error.fatal && (is_fence(error.code) || is_fence(error.fatal_cause))) return Verdict::kFenced;
  if (phase == Phase::kCommit) return classify_commit(error, disturbed);
  if (error.fatal) return Verdict::kFatal;
  if (phase == Phase::kSend) return classify_send(error);
  if (phase == Phase::kSendOffsets) {
    if (has_left(error.code)) return Verdict::kLeft;
    if (error.code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION) return Verdict::kStale;
  }
  // An abort that itself asks for an abort cannot be repeated for ever.
  if (error.requires_abort) return phase == Phase::kAbort ? Verdict::kFatal : Verdict::kAbort;
  if (error.retriable) return Verdict::kRetry;
  return Verdict::kFatal;
}

Errc errc_of(rd_kafka_resp_err_t code) {
  if (is_fence(code) || has_left(code)) return Errc::kFenced;
  switch (code) {
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
      return Errc::kTimeout;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__NOENT:  // no broker leads the partition that was asked about
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return Errc::kNotFound;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
      return Errc::kInvalid;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return Errc::kExhausted;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
      return Errc::kCorrupt;
    case RD_KAFKA_RESP_ERR__STATE:
    case RD_KAFKA_RESP_ERR__CONFLICT:
    case RD_KAFKA_RESP_ERR__FATAL:
      return Errc::kInternal;
    default:
      return Errc::kUnavailable;
  }
}

bool passing(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
      return true;
    default:
      return false;
  }
}

std::string_view cure_for(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
      return "Is the broker up, is VOKETAG_KAFKA right, and can its advertised.listeners be "
             "reached "
             "from here?";
    case RD_KAFKA_RESP_ERR__RESOLVE:
      return "Check the host names in VOKETAG_KAFKA.";
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      return "Check VOKETAG_KAFKA_SECURITY_PROTOCOL and the VOKETAG_KAFKA_SASL_* and "
             "VOKETAG_KAFKA_SSL_* variables against the broker's listener.";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return "Grant VokeTag's principal Read, Write, Create and Describe on topics, groups and "
             "transactional ids with its prefix.";
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__NOENT:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return "Create the topics: voketag topics create.";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return "Make the record smaller, or raise the topic's max.message.bytes.";
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
      return "Too few replicas are in sync: bring the other brokers back.";
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
      return "The broker's group.min.session.timeout.ms is above VOKETAG_KAFKA_SESSION_TIMEOUT_MS: "
             "change one of them.";
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
      return "The broker's transaction.max.timeout.ms is below "
             "VOKETAG_KAFKA_TRANSACTION_TIMEOUT_MS: change one of them.";
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
      return "Another process has this transactional id. If you did not restart or replace an "
             "instance, two run with the same VOKETAG_INSTANCE.";
    default:
      return "docs/troubleshooting.md may know more.";
  }
}

const char* to_string(Phase phase) {
  switch (phase) {
    case Phase::kInit:
      return "init";
    case Phase::kBegin:
      return "begin";
    case Phase::kSend:
      return "send";
    case Phase::kSendOffsets:
      return "send offsets";
    case Phase::kCommit:
      return "commit";
    case Phase::kAbort:
      return "abort";
  }
  return "?";
}

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRetry:
      return "retry";
    case Verdict::kWait:
      return "wait";
    case Verdict::kRefuse:
      return "refuse";
    case Verdict::kAbort:
      return "abort";
    case Verdict::kFenced:
      return "fenced";
    case Verdict::kLeft:
      return "left";
    case Verdict::kStale:
      return "stale";
    case Verdict::kUnknown:
      return "unknown";
    case Verdict::kFatal:
      return "fatal";
  }
  return "?";
}

}  // namespace voketag::kafka
