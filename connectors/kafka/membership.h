#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "connectors/kafka/client.h"
#include "runtime/log.h"

namespace voketag::kafka {

// What a transaction's offsets are proved with.
class KafkaMember : public runtime::Membership {
 public:
  // What proves to the group coordinator that a transaction's offsets come from a current member.
  // None: this is no member at the moment. (The broker checks nothing when it is given no member
  // id, so such metadata must never be sent.)
  virtual GroupMetadata metadata() const = 0;
  // Empty: none, or none that could come back.
  virtual std::string member_id() const = 0;
};

// One that died without leaving, in whose name transactions go on until its group has noticed. Its
// identity: "<generation> <member id>".
class KafkaFormerMember final : public KafkaMember {
 public:
  // None: the identity is not one.
  static std::unique_ptr<KafkaFormerMember> of(std::string_view group, std::string_view identity);

  events::Status poll(runtime::RebalanceListener&) override { return {}; }
  void leave(runtime::RebalanceListener&) override {}
  std::string identity() const override;
  GroupMetadata metadata() const override;
  std::string member_id() const override { return {}; }
  const std::string& former_id() const { return id_; }

 private:
  KafkaFormerMember(std::string_view group, std::int32_t generation, std::string_view id)
      : group_(group), generation_(generation), id_(id) {}

  const std::string group_;
  const std::int32_t generation_;
  const std::string id_;
};

// How many clients of this process could not be closed and still run. While there are any, the
// process must end without its destructors (std::_Exit): their threads use what these destroy.
int clients_left_behind();

// A member of a consumer group, for its assignment alone: partitions are handed out cooperatively
// and sticky (those that stay are not interrupted), and are paused as soon as they are assigned, so
// that nothing is fetched. Librdkafka's thread keeps up the heartbeats.
//
// poll and leave are for one thread at a time; metadata and commit_hint for any.
class KafkaMembership final : public KafkaMember {
 public:
  static events::Result<std::unique_ptr<KafkaMembership>> join(const KafkaOptions& options,
                                                               std::string_view group,
                                                               std::string_view topic);
  // Without leave() before: leaves all the same, telling nobody what is revoked. A consumer that is
  // destroyed while its group rebalances never ends (librdkafka waits for the assignment to be
  // served), and the caller with it. Takes kAbandonTimeoutMs at most; if the group has not
  // confirmed by then, the client stays behind, and the log says so.
  ~KafkaMembership() override;

  events::Status poll(runtime::RebalanceListener& listener) override;
  void leave(runtime::RebalanceListener& listener) override;

  std::string identity() const override;
  GroupMetadata metadata() const override;
  std::string member_id() const override;

  events::Status commit_hint(std::span<const runtime::TopicPartitionOffset> positions) const;

 private:
  KafkaMembership(std::unique_ptr<Client> client, std::string group, std::string topic);

  // Whether the group has confirmed in time.
  bool close(runtime::RebalanceListener& listener, int timeout_ms);
  void serve(rd_kafka_event_t& event, runtime::RebalanceListener& listener);
  void assign(const rd_kafka_topic_partition_list_t& partitions,
              runtime::RebalanceListener& listener);
  void revoke(const rd_kafka_topic_partition_list_t& partitions,
              runtime::RebalanceListener& listener);
  std::vector<std::int32_t> numbers(const rd_kafka_topic_partition_list_t& partitions) const;
  void note_error(rd_kafka_resp_err_t code, const char* reason);

  std::unique_ptr<Client> client_;
  std::string group_;
  std::string full_topic_;
  Queue queue_;
  events::Status failure_;  // set when this member cannot go on
  bool left_ = false;
  bool closed_ = false;  // the group has confirmed; the client can be destroyed
};

}  // namespace voketag::kafka
