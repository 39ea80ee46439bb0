#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "connectors/kafka/client.h"
#include "connectors/kafka/membership.h"
#include "connectors/kafka/sender.h"
#include "runtime/log.h"

namespace voketag::kafka {

// A producer with a transactional id. Every error goes through classify() (error_class.h), and the
// comments there say what each verdict rests on.
//
// For one thread at a time; the delivery callbacks run on it too, within these calls.
class KafkaTransactionalProducer final : public runtime::TransactionalProducer {
 public:
  // Initialises the id, in open_timeout_ms at most. kFenced: another producer initialised the same
  // id at the same time; kTimeout, kUnavailable: ask again.
  static events::Result<std::unique_ptr<KafkaTransactionalProducer>> open(
      const KafkaOptions& options, std::string_view transactional_id);
  // An open transaction stays open until the id is initialised again or it times out.
  ~KafkaTransactionalProducer() override = default;

  events::Status begin() override;
  events::Status send(events::OutputRecord record) override;
  runtime::CommitResult commit(std::span<const runtime::TopicPartitionOffset> positions,
                               const runtime::Membership& member) override;
  runtime::CommitResult abort() override;
  std::optional<std::int64_t> last_offset(const runtime::TopicPartition& partition) const override;
  std::optional<events::Timestamp> last_time(
      const runtime::TopicPartition& partition) const override;

 private:
  // A record whose value the send queue borrows until it has been delivered or given up.
  struct Lent {
    events::OutputRecord record;
    std::list<Lent>* all = nullptr;
    std::list<Lent>::iterator place;
  };

  KafkaTransactionalProducer(std::unique_ptr<Client> client, std::string id);
  static void on_delivered(rd_kafka_t* handle, const rd_kafka_message_t* message, void* opaque);

  // What a call came to after retries: success, or the verdict that ended it.
  struct Ending {
    bool success = false;
    Verdict verdict = Verdict::kFatal;
    events::Error error;
  };
  template <class Call>
  Ending retry(Phase phase, int timeout_ms, Call call);
  Ending failure(Phase phase, const rd_kafka_error_t& error, Verdict verdict) const;

  void serve_deliveries(std::size_t sent_bytes);
  events::Status enqueue(const events::OutputRecord& record, Lent* lent);

  // Verdict kRetry: start afresh with another client.
  Ending initialise(const Deadline& deadline, bool may_start_afresh);

  Ending send_offsets(std::span<const runtime::TopicPartitionOffset> positions,
                      const KafkaMember& member, int timeout_ms);
  runtime::CommitResult give_up(const Ending& ending, const KafkaMember* member,
                                const std::string& member_id);
  bool troubled(std::int64_t started_ms) const;
  std::string with_delivery_error(std::string detail) const;

  std::list<Lent> lent_;  // outlives the client, which reads from it
  std::unique_ptr<Client> client_;
  std::string id_;
  Sender sender_;
  bool open_ = false;                      // a transaction is
  std::uint64_t disturbances_before_ = 0;  // at the start of the commit
  std::size_t sent_since_poll_ = 0;        // records
  std::size_t sent_since_poll_bytes_ = 0;
};

}  // namespace voketag::kafka
