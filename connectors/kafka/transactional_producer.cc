#include "connectors/kafka/transactional_producer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace voketag::kafka {
namespace {

using events::Result;
using events::Status;
using runtime::CommitOutcome;
using runtime::CommitResult;

// Delivery reports are served once in so many records or bytes, and whenever the queue is full:
// what was delivered is freed with its report.
constexpr std::size_t kPollEvery = 256;
constexpr std::size_t kPollEveryBytes = 1U << 20;
// A value of this size is not copied on its way to the socket, neither by us nor by librdkafka: it
// is lent. A smaller one is cheaper to copy than to keep account of.
constexpr std::size_t kLentBytesMin = 16U << 10;
// Bound of one call into librdkafka within a longer wait.
constexpr int kCallMs = 1000;
// How often an answer to init is looked for, and how many clients one open may use.
constexpr int kInitCallMs = 20;
constexpr int kFreshStartsMax = 6;
// A commit of a healthy cluster takes milliseconds.
constexpr std::int64_t kSlowCommitMs = 2000;

Client::Settings settings_for(const KafkaOptions& options, std::string_view id) {
  Client::Settings settings;
  settings.purpose = "transactions-" + std::string(id);
  settings.defaults = {
      {"linger.ms", std::to_string(options.linger_ms)},
      {"batch.size", std::to_string(options.batch_bytes)},
      {"compression.type", options.compression},
      {"message.copy.max.bytes", std::to_string(kLentBytesMin)},
      {"transaction.timeout.ms", std::to_string(options.transaction_timeout_ms)},
      {"message.timeout.ms", std::to_string(options.transaction_timeout_ms)},
      {"socket.timeout.ms",
       std::to_string(std::min(options.request_timeout_ms, options.transaction_timeout_ms))},
      {"queue.buffering.max.messages", "1000000"},
      {"queue.buffering.max.kbytes", std::to_string(options.send_queue_bytes_max / 1024)},
      // Partitions and offsets of a transaction are registered with the coordinator, which answers
      // "later" while it still writes the markers of the one before: a few milliseconds.
      {"retry.backoff.ms", "2"},
      {"retry.backoff.max.ms", "200"},
  };
  settings.fixed = {
      {"transactional.id", std::string(id)},
      {"enable.idempotence", "true"},
      {"partitioner", "murmur2_random"},
  };
  return settings;
}

}  // namespace

KafkaTransactionalProducer::KafkaTransactionalProducer(std::unique_ptr<Client> client,
                                                       std::string id)
    : client_(std::move(client)), id_(std::move(id)), sender_(*client_) {}

Result<std::unique_ptr<KafkaTransactionalProducer>> KafkaTransactionalProducer::open(
    const KafkaOptions& options, std::string_view transactional_id) {
  const Deadline deadline(options.open_timeout_ms);
  for (int attempt = 1;; ++attempt) {
    Client::Settings settings = settings_for(options, transactional_id);
    settings.delivered = on_delivered;
    auto client = Client::open(options, std::move(settings));
    if (!client) return tl::unexpected(client.error());
    std::unique_ptr<KafkaTransactionalProducer> producer(
        new KafkaTransactionalProducer(std::move(*client), std::string(transactional_id)));
    const auto ending = producer->initialise(deadline, attempt < kFreshStartsMax);
    if (ending.success) return producer;
    if (ending.verdict != Verdict::kRetry) return tl::unexpected(ending.error);
  }
}

// The coordinator answers "later" while it aborts what a predecessor left, which takes a few
// milliseconds; librdkafka then waits for 500 ms, twice. A new client asks at once. It must not be
// started while a request of the old one is on its way, which would fence the new one: so only upon
// that very answer, when librdkafka has just begun to wait.
KafkaTransactionalProducer::Ending KafkaTransactionalProducer::initialise(const Deadline& deadline,
                                                                          bool may_start_afresh) {
  const auto call = [&](int timeout_ms) {
    return rd_kafka_init_transactions(client_->get(), timeout_ms);
  };
  if (!may_start_afresh) return retry(Phase::kInit, deadline.remaining_ms(), call);
  while (true) {
    const ErrorObject error(call(std::max(1, std::min(kInitCallMs, deadline.remaining_ms()))));
    if (error == nullptr) return Ending{.success = true};
    const ErrorFacts facts = client_->facts(*error);
    const Verdict verdict = classify(facts, Phase::kInit, false);
    const bool settling = facts.code == RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS;
    if (verdict == Verdict::kRetry && !settling && !deadline.passed()) continue;
    return failure(Phase::kInit, *error, deadline.passed() ? Verdict::kFatal : verdict);
  }
}

// Calls until it succeeds, a verdict other than kRetry is reached, or the time is over; the last
// verdict is then kUnknown for a commit and kFatal for the rest: in no other phase can anything
// have taken effect.
template <class Call>
KafkaTransactionalProducer::Ending KafkaTransactionalProducer::retry(Phase phase, int timeout_ms,
                                                                     Call call) {
  const Deadline deadline(timeout_ms);
  while (true) {
    const ErrorObject error(call(std::max(1, std::min(kCallMs, deadline.remaining_ms()))));
    if (error == nullptr) return Ending{.success = true};
    rd_kafka_poll(client_->get(), 0);
    const bool disturbed = client_->disturbances() != disturbances_before_;
    const Verdict verdict = classify(client_->facts(*error), phase, disturbed);
    if (verdict == Verdict::kRetry && !deadline.passed()) continue;
    if (verdict != Verdict::kRetry) return failure(phase, *error, verdict);
    return failure(phase, *error,
                   phase == Phase::kCommit        ? Verdict::kUnknown
                   : phase == Phase::kSendOffsets ? Verdict::kAbort
                                                  : Verdict::kFatal);
  }
}

KafkaTransactionalProducer::Ending KafkaTransactionalProducer::failure(
    Phase phase, const rd_kafka_error_t& error, Verdict verdict) const {
  Ending ending{.verdict = verdict,
                .error = client_->error(
                    error, std::string(to_string(phase)) + " of transactional id " + id_)};
  if (verdict == Verdict::kFenced) ending.error.code = events::Errc::kFenced;
  return ending;
}

Status KafkaTransactionalProducer::begin() {
  sender_.forget();
  disturbances_before_ = client_->disturbances();
  const auto ending = retry(Phase::kBegin, client_->options().commit_timeout_ms,
                            [&](int) { return rd_kafka_begin_transaction(client_->get()); });
  if (!ending.success) return tl::unexpected(ending.error);
  open_ = true;
  return {};
}

Status KafkaTransactionalProducer::send(events::OutputRecord record) {
  serve_deliveries(record.value ? record.value->size() : 0);
  if (!record.value || record.value->size() < kLentBytesMin) return enqueue(record, nullptr);
  Lent& lent = lent_.emplace_back(Lent{std::move(record), &lent_, {}});
  lent.place = std::prev(lent_.end());
  auto sent = enqueue(lent.record, &lent);
  if (!sent) lent_.pop_back();
  return sent;
}

void KafkaTransactionalProducer::serve_deliveries(std::size_t sent_bytes) {
  sent_since_poll_bytes_ += sent_bytes;
  if (++sent_since_poll_ < kPollEvery && sent_since_poll_bytes_ < kPollEveryBytes) return;
  sent_since_poll_ = sent_since_poll_bytes_ = 0;
  rd_kafka_poll(client_->get(), 0);
}

// Once it is queued, `lent` may be gone at any poll.
Status KafkaTransactionalProducer::enqueue(const events::OutputRecord& record, Lent* lent) {
  const Deadline deadline(client_->options().commit_timeout_ms);
  const auto value = lent == nullptr ? Sender::Value::kCopied : Sender::Value::kLent;
  while (true) {
    const auto code = sender_.enqueue(record, lent, value);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    ErrorFacts facts{.code = code};
    facts.fatal_cause = rd_kafka_fatal_error(client_->get(), nullptr, 0);
    facts.fatal = facts.fatal_cause != RD_KAFKA_RESP_ERR_NO_ERROR;
    const Verdict verdict = classify(facts, Phase::kSend, false);
    if (verdict == Verdict::kWait && !deadline.passed()) {
      rd_kafka_poll(client_->get(), std::min(50, deadline.remaining_ms()));
      continue;
    }
    auto error = client_->error(
        code, "sending to " + describe(*client_, record) + " in a transaction of " + id_);
    error.message = with_delivery_error(std::move(error.message));
    if (verdict == Verdict::kFenced) error.code = events::Errc::kFenced;
    // kInvalid promises that the transaction is unharmed.
    if (verdict != Verdict::kRefuse && error.code == events::Errc::kInvalid) {
      error.code = events::Errc::kUnavailable;
    }
    return tl::unexpected(std::move(error));
  }
}

KafkaTransactionalProducer::Ending KafkaTransactionalProducer::send_offsets(
    std::span<const runtime::TopicPartitionOffset> positions, const KafkaMember& member,
    int timeout_ms) {
  const GroupMetadata metadata = member.metadata();
  if (metadata == nullptr) {
    return Ending{.verdict = Verdict::kLeft,
                  .error = client_->error(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
                                          "commit of transactional id " + id_)};
  }
  const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const auto& position : positions) {
    rd_kafka_topic_partition_list_add(list.get(), client_->full_topic(position.topic).c_str(),
                                      position.partition)
        ->offset = position.offset;
  }
  return retry(Phase::kSendOffsets, timeout_ms, [&](int call_ms) {
    return rd_kafka_send_offsets_to_transaction(client_->get(), list.get(), metadata.get(),
                                                call_ms);
  });
}

CommitResult KafkaTransactionalProducer::commit(
    std::span<const runtime::TopicPartitionOffset> positions, const runtime::Membership& member) {
  const auto& kafka_member = static_cast<const KafkaMember&>(member);
  const std::int64_t started_ms = monotonic_ms();
  disturbances_before_ = client_->disturbances();
  const Deadline deadline(client_->options().commit_timeout_ms);
  if (!positions.empty()) {
    const std::string member_id = kafka_member.member_id();
    const Ending sent = send_offsets(positions, kafka_member, deadline.remaining_ms());
    if (!sent.success) return give_up(sent, &kafka_member, member_id);
  }
  const Ending committed = retry(Phase::kCommit, deadline.remaining_ms(), [&](int timeout_ms) {
    return rd_kafka_commit_transaction(client_->get(), timeout_ms);
  });
  if (!committed.success) return give_up(committed, nullptr, {});
  open_ = false;
  rd_kafka_poll(client_->get(), 0);
  return {.outcome = CommitOutcome::kCommitted, .replace_producer = troubled(started_ms)};
}

bool KafkaTransactionalProducer::troubled(std::int64_t started_ms) const {
  return client_->disturbances() != disturbances_before_ ||
         monotonic_ms() - started_ms > kSlowCommitMs;
}

// Turns a verdict that is not success into the outcome, aborting where that is what it asks for.
CommitResult KafkaTransactionalProducer::give_up(const Ending& ending, const KafkaMember* member,
                                                 const std::string& member_id) {
  const std::string detail = with_delivery_error(ending.error.message);
  switch (ending.verdict) {
    case Verdict::kFenced:
      open_ = false;
      return {.outcome = CommitOutcome::kFenced, .detail = detail};
    case Verdict::kUnknown:
      open_ = false;
      return {.outcome = CommitOutcome::kUnknown, .detail = detail};
    case Verdict::kAbort:
    case Verdict::kLeft:
    case Verdict::kStale:
      break;
    default:
      open_ = false;
      return {.outcome = CommitOutcome::kFatal, .detail = detail};
  }
  CommitResult aborted = abort();
  if (aborted.outcome != CommitOutcome::kAborted) {
    aborted.detail = detail + " Then: " + aborted.detail;
    return aborted;
  }
  aborted.detail = detail;
  // Behind by a generation and still the same member: the answer to its join is on the way, and
  // its partitions stay its own until its listener has been told otherwise.
  const bool still_member = ending.verdict == Verdict::kStale && member != nullptr &&
                            !member_id.empty() && member->member_id() == member_id;
  if (ending.verdict != Verdict::kAbort && !still_member) {
    aborted.outcome = CommitOutcome::kFenced;
    aborted.expelled = true;
  }
  return aborted;
}

CommitResult KafkaTransactionalProducer::abort() {
  if (!open_) return {.outcome = CommitOutcome::kAborted};
  open_ = false;
  const std::int64_t started_ms = monotonic_ms();
  const Ending ending =
      retry(Phase::kAbort, client_->options().commit_timeout_ms,
            [&](int timeout_ms) { return rd_kafka_abort_transaction(client_->get(), timeout_ms); });
  if (ending.success) {
    rd_kafka_poll(client_->get(), 0);
    return {.outcome = CommitOutcome::kAborted, .replace_producer = troubled(started_ms)};
  }
  return {.outcome =
              ending.verdict == Verdict::kFenced ? CommitOutcome::kFenced : CommitOutcome::kFatal,
          .detail = with_delivery_error(ending.error.message)};
}

std::optional<std::int64_t> KafkaTransactionalProducer::last_offset(
    const runtime::TopicPartition& partition) const {
  const SendTopic* topic = sender_.find(partition.topic);
  const auto* last = topic == nullptr ? nullptr : topic->last(partition.partition);
  if (last == nullptr) return std::nullopt;
  return last->offset;
}

std::optional<events::Timestamp> KafkaTransactionalProducer::last_time(
    const runtime::TopicPartition& partition) const {
  const SendTopic* topic = sender_.find(partition.topic);
  const auto* last = topic == nullptr ? nullptr : topic->last(partition.partition);
  if (last == nullptr || last->time_ms < 0) return std::nullopt;
  return events::Timestamp{last->time_ms};
}

void KafkaTransactionalProducer::on_delivered(rd_kafka_t*, const rd_kafka_message_t* message,
                                              void*) {
  if (auto* const lent = static_cast<Lent*>(message->_private)) lent->all->erase(lent->place);
  auto& topic = *static_cast<SendTopic*>(rd_kafka_topic_opaque(message->rkt));
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    // Any other kind of time would be this machine's.
    rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const std::int64_t time_ms = rd_kafka_message_timestamp(message, &kind);
    const bool is_brokers = kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    topic.acknowledge(message->partition, {message->offset, is_brokers ? time_ms : -1});
    return;
  }
  // Purged: by our own abort.
  if (message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
      message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
    return;
  }
  auto& first = topic.delivery_error;
  if (first.empty()) {
    first = "A record to " + topic.full_name + " [" + std::to_string(message->partition) +
            "] was not accepted: " + rd_kafka_err2str(message->err) + " (" +
            rd_kafka_err2name(message->err) + "). " + std::string(cure_for(message->err));
  }
}

std::string KafkaTransactionalProducer::with_delivery_error(std::string detail) const {
  const std::string cause = sender_.first_delivery_error();
  if (!cause.empty()) detail += " " + cause;
  return detail;
}

}  // namespace voketag::kafka
