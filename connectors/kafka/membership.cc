#include "connectors/kafka/membership.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <charconv>

namespace voketag::kafka {
namespace {

using events::Result;
using events::Status;

// Bound of a leave: two rebalance callbacks and a request.
constexpr int kLeaveTimeoutMs = 10000;
// Bound of leaving without anything to hand over.
constexpr int kAbandonTimeoutMs = 3000;
// Each client that stays behind keeps its threads and connections: so many are enough.
constexpr int kLeftBehindMax = 8;
std::atomic<int> left_behind = 0;
// Bound of one poll: a rebalance is a handful of events.
constexpr int kEventsMax = 64;

// A member learns from a heartbeat's answer that its group rebalances, and those whose partitions
// move wait for the last one to learn it: of the pause of a rebalance this is the largest part that
// is ours to choose (bench case rebalance-pause).
int heartbeat_ms(const KafkaOptions& options) {
  return std::clamp(options.session_timeout_ms / 40, 100, 2000);
}

Client::Settings settings_for(const KafkaOptions& options, std::string_view group,
                              std::string_view topic) {
  Client::Settings settings;
  settings.consumer = true;
  settings.purpose = "member-" + std::string(topic);
  settings.events = RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR;
  settings.defaults = {
      {"session.timeout.ms", std::to_string(options.session_timeout_ms)},
      {"heartbeat.interval.ms", std::to_string(heartbeat_ms(options))},
      {"max.poll.interval.ms", std::to_string(options.poll_interval_max_ms)},
      // What little is fetched before the pause takes hold.
      {"queued.min.messages", "1"},
      {"queued.max.messages.kbytes", "64"},
      {"fetch.message.max.bytes", "1024"},
  };
  settings.fixed = {
      {"group.id", std::string(group)}, {"partition.assignment.strategy", "cooperative-sticky"},
      {"enable.auto.commit", "false"},  {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "latest"},  {"allow.auto.create.topics", "false"},
  };
  return settings;
}

// For a member whose owner has given everything up already.
class Nobody final : public runtime::RebalanceListener {
  void on_assigned(std::span<const std::int32_t> /*partitions*/) override {}
  void on_revoked(std::span<const std::int32_t> /*partitions*/) override {}
  void on_lost(std::span<const std::int32_t> /*partitions*/) override {}
};

PartitionList copy_at_end(const rd_kafka_topic_partition_list_t& partitions) {
  PartitionList copy(rd_kafka_topic_partition_list_copy(&partitions));
  for (int i = 0; i < copy->cnt; ++i) copy->elems[i].offset = RD_KAFKA_OFFSET_END;
  return copy;
}

}  // namespace

KafkaMembership::KafkaMembership(std::unique_ptr<Client> client, std::string group,
                                 std::string topic)
    : client_(std::move(client)),
      group_(std::move(group)),
      full_topic_(std::move(topic)),
      queue_(rd_kafka_queue_get_consumer(client_->get())) {}

Result<std::unique_ptr<KafkaMembership>> KafkaMembership::join(const KafkaOptions& options,
                                                               std::string_view group,
                                                               std::string_view topic) {
  auto client = Client::open(options, settings_for(options, group, topic));
  if (!client) return tl::unexpected(client.error());
  if (left_behind >= kLeftBehindMax) {
    return events::fail(events::Errc::kInternal,
                        std::to_string(left_behind) +
                            " clients of this process could not be closed: the network or the "
                            "brokers failed again and again while groups rebalanced. Start the "
                            "process anew; it goes on where it stopped");
  }
  std::string full_topic = (*client)->full_topic(topic);
  std::unique_ptr<KafkaMembership> member(
      new KafkaMembership(std::move(*client), std::string(group), full_topic));
  const PartitionList topics(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(topics.get(), full_topic.c_str(), RD_KAFKA_PARTITION_UA);
  const auto code = rd_kafka_subscribe(member->client_->get(), topics.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return tl::unexpected(member->client_->error(
        code, "joining group " + member->group_ + " on topic " + full_topic));
  }
  return member;
}

Status KafkaMembership::poll(runtime::RebalanceListener& listener) {
  rd_kafka_poll(client_->get(), 0);
  for (int i = 0; i < kEventsMax; ++i) {
    const Event event(rd_kafka_queue_poll(queue_.get(), 0));
    if (event == nullptr) break;
    serve(*event, listener);
  }
  return failure_;
}

int clients_left_behind() {
  return left_behind;
}

KafkaMembership::~KafkaMembership() {
  Nobody nobody;
  if (!left_) closed_ = close(nobody, kAbandonTimeoutMs);
  if (closed_) return;
  ++left_behind;
  spdlog::warn("Kafka at {}: a client of group {} could not be closed and stays behind.",
               client_->options().bootstrap_servers, group_);
  // It may outlive the log of the process, which ends before it does.
  rd_kafka_set_log_level(client_->get(), 0);
  static_cast<void>(queue_.release());
  static_cast<void>(client_.release());
}

void KafkaMembership::leave(runtime::RebalanceListener& listener) {
  if (std::exchange(left_, true)) return;
  closed_ = close(listener, kLeaveTimeoutMs);
  if (closed_) return;
  spdlog::warn(
      "Kafka at {}: group {} did not confirm within {} ms that this member left; its partitions "
      "move when its session times out.",
      client_->options().bootstrap_servers, group_, kLeaveTimeoutMs);
}

bool KafkaMembership::close(runtime::RebalanceListener& listener, int timeout_ms) {
  Queue closing(rd_kafka_queue_new(client_->get()));
  const ErrorObject error(rd_kafka_consumer_close_queue(client_->get(), closing.get()));
  if (error != nullptr) {
    spdlog::warn("{}", client_->error(*error, "leaving group " + group_).message);
    return false;
  }
  const Deadline deadline(timeout_ms);
  while (rd_kafka_consumer_closed(client_->get()) == 0 && !deadline.passed()) {
    const Event event(rd_kafka_queue_poll(closing.get(), 100));
    if (event != nullptr) serve(*event, listener);
  }
  if (rd_kafka_consumer_closed(client_->get()) != 0) return true;
  // The client stays behind, and what it still has to say goes here.
  static_cast<void>(closing.release());
  return false;
}

void KafkaMembership::serve(rd_kafka_event_t& event, runtime::RebalanceListener& listener) {
  switch (rd_kafka_event_type(&event)) {
    case RD_KAFKA_EVENT_REBALANCE: {
      const auto* partitions = rd_kafka_event_topic_partition_list(&event);
      if (rd_kafka_event_error(&event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        assign(*partitions, listener);
      } else {
        revoke(*partitions, listener);
      }
      break;
    }
    case RD_KAFKA_EVENT_ERROR:
      note_error(rd_kafka_event_error(&event), rd_kafka_event_error_string(&event));
      break;
    default:
      break;  // a record that came before the pause took hold
  }
}

void KafkaMembership::assign(const rd_kafka_topic_partition_list_t& partitions,
                             runtime::RebalanceListener& listener) {
  const PartitionList list = copy_at_end(partitions);
  const ErrorObject error(rd_kafka_incremental_assign(client_->get(), list.get()));
  if (error != nullptr) {
    failure_ = tl::unexpected(client_->error(*error, "taking partitions of " + full_topic_));
    return;
  }
  rd_kafka_pause_partitions(client_->get(), list.get());
  const auto assigned = numbers(partitions);
  if (!assigned.empty()) listener.on_assigned(assigned);
  listener.on_generation();
}

// The listener comes first: as long as the partitions are not given back, no other member gets
// them, and the offsets of a last commit are accepted.
void KafkaMembership::revoke(const rd_kafka_topic_partition_list_t& partitions,
                             runtime::RebalanceListener& listener) {
  const auto revoked = numbers(partitions);
  if (!revoked.empty()) {
    if (rd_kafka_assignment_lost(client_->get()) != 0) {
      listener.on_lost(revoked);
    } else {
      listener.on_revoked(revoked);
    }
  }
  const ErrorObject error(rd_kafka_incremental_unassign(client_->get(), &partitions));
  if (error != nullptr) {
    failure_ = tl::unexpected(client_->error(*error, "giving back partitions of " + full_topic_));
  }
}

std::vector<std::int32_t> KafkaMembership::numbers(
    const rd_kafka_topic_partition_list_t& partitions) const {
  std::vector<std::int32_t> result;
  for (int i = 0; i < partitions.cnt; ++i) {
    if (partitions.elems[i].topic == full_topic_) result.push_back(partitions.elems[i].partition);
  }
  std::sort(result.begin(), result.end());
  return result;
}

void KafkaMembership::note_error(rd_kafka_resp_err_t code, const char* reason) {
  if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF) return;
  const auto error =
      client_->error(code, "membership in group " + group_ + " on topic " + full_topic_,
                     reason == nullptr ? "" : reason);
  // A topic that is not there yet may come; the group is joined all the same.
  const bool goes_on = passing(code) || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
                       code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                       code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
  spdlog::warn("{}", error.message);
  if (!goes_on) failure_ = tl::unexpected(error);
}

std::unique_ptr<KafkaFormerMember> KafkaFormerMember::of(std::string_view group,
                                                         std::string_view identity) {
  std::int32_t generation = -1;
  const auto [end, failed] =
      std::from_chars(identity.data(), identity.data() + identity.size(), generation);
  const std::string_view rest(end,
                              static_cast<std::size_t>(identity.data() + identity.size() - end));
  if (failed != std::errc() || generation < 0 || rest.size() < 2 || rest.front() != ' ') {
    return nullptr;
  }
  return std::unique_ptr<KafkaFormerMember>(
      new KafkaFormerMember(group, generation, rest.substr(1)));
}

std::string KafkaFormerMember::identity() const {
  return std::to_string(generation_) + " " + id_;
}

GroupMetadata KafkaFormerMember::metadata() const {
  return GroupMetadata(rd_kafka_consumer_group_metadata_new_with_genid(group_.c_str(), generation_,
                                                                       id_.c_str(), nullptr));
}

std::string KafkaMembership::identity() const {
  const GroupMetadata current = metadata();
  if (current == nullptr) return {};
  return std::to_string(rd_kafka_consumer_group_metadata_generation_id(current.get())) + " " +
         rd_kafka_consumer_group_metadata_member_id(current.get());
}

GroupMetadata KafkaMembership::metadata() const {
  GroupMetadata metadata(rd_kafka_consumer_group_metadata(client_->get()));
  if (metadata == nullptr) return nullptr;
  const char* id = rd_kafka_consumer_group_metadata_member_id(metadata.get());
  if (id == nullptr || *id == '\0' ||
      rd_kafka_consumer_group_metadata_generation_id(metadata.get()) < 0) {
    return nullptr;
  }
  return metadata;
}

std::string KafkaMembership::member_id() const {
  char* id = rd_kafka_memberid(client_->get());
  if (id == nullptr) return {};
  std::string result(id);
  rd_kafka_mem_free(client_->get(), id);
  return result;
}

Status KafkaMembership::commit_hint(
    std::span<const runtime::TopicPartitionOffset> positions) const {
  if (positions.empty()) return {};
  const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const auto& position : positions) {
    rd_kafka_topic_partition_list_add(list.get(), client_->full_topic(position.topic).c_str(),
                                      position.partition)
        ->offset = position.offset;
  }
  const auto code = rd_kafka_commit(client_->get(), list.get(), 1);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return tl::unexpected(client_->error(code, "committing offsets of group " + group_));
}

}  // namespace voketag::kafka
