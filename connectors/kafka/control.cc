#include "connectors/kafka/control.h"

#include <algorithm>
#include <array>
#include <thread>

#include "connectors/kafka/metadata.h"

namespace voketag::kafka {
namespace {

using events::Errc;
using events::Result;
using runtime::GroupOffsets;
using runtime::Isolation;
using runtime::TopicPartition;
using runtime::Watermarks;

constexpr int kAskAgainMs = 50;

using AdminOptions =
    std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
using OffsetsRequest = std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t,
                                       Destroy<rd_kafka_ListConsumerGroupOffsets_destroy>>;

// Partition errors of an otherwise successful answer, as the answer to the caller.
struct PartitionFailure {
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string where;
};

std::string name_of(const Client& client, const TopicPartition& partition) {
  return client.full_topic(partition.topic) + " [" + std::to_string(partition.partition) + "]";
}

PartitionFailure read_offsets(const rd_kafka_topic_partition_list_t& answered, const Client& client,
                              std::span<const TopicPartition> asked, GroupOffsets& result) {
  result = GroupOffsets{};
  for (const TopicPartition& partition : asked) {
    const auto* element = rd_kafka_topic_partition_list_find(
        &answered, client.full_topic(partition.topic).c_str(), partition.partition);
    if (element == nullptr) {
      result.offsets.emplace_back();
      continue;
    }
    if (element->err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT) {
      result.unstable = true;
    } else if (element->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return {element->err, name_of(client, partition)};
    }
    if (element->err == RD_KAFKA_RESP_ERR_NO_ERROR && element->offset >= 0) {
      result.offsets.emplace_back(element->offset);
    } else {
      result.offsets.emplace_back();
    }
  }
  return {};
}

PartitionList list_of(const Client& client, std::span<const TopicPartition> partitions) {
  PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const TopicPartition& partition : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), client.full_topic(partition.topic).c_str(),
                                      partition.partition);
  }
  return list;
}

// Whether the failure says that librdkafka's idea of who leads a partition is out of date.
bool led_by_another(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
      return true;
    default:
      return false;
  }
}

// librdkafka's admin requests take leader and epoch from its metadata cache and never renew it for
// them: after a broker has restarted the same request would fail until the cache expires, a quarter
// of an hour later. Asking for a topic's metadata renews its place in the cache. Returns whether
// all topics are known to be there.
bool ask_who_leads(const Client& client, std::span<const TopicPartition> partitions,
                   const Deadline& deadline) {
  std::set<std::string> topics;
  for (const TopicPartition& partition : partitions) {
    topics.insert(client.full_topic(partition.topic));
  }
  bool all_there = true;
  for (const std::string& topic : topics) {
    const TopicHandle handle(rd_kafka_topic_new(client.get(), topic.c_str(), nullptr));
    if (handle == nullptr) continue;
    const auto metadata = fetch_metadata(client, handle.get(), deadline);
    all_there = all_there && metadata && (*metadata)->topic_cnt == 1 &&
                (*metadata)->topics[0].err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  }
  return all_there;
}

std::set<std::string> ids_of(const rd_kafka_ConsumerGroupDescription_t& group) {
  std::set<std::string> ids;
  const std::size_t members = rd_kafka_ConsumerGroupDescription_member_count(&group);
  for (std::size_t i = 0; i < members; ++i) {
    ids.emplace(rd_kafka_MemberDescription_consumer_id(
        rd_kafka_ConsumerGroupDescription_member(&group, i)));
  }
  return ids;
}

void wait_before_asking_again(const Deadline& deadline) {
  std::this_thread::sleep_for(
      std::chrono::milliseconds(std::min(kAskAgainMs, deadline.remaining_ms())));
}

}  // namespace

Result<std::shared_ptr<Control>> Control::open(const KafkaOptions& options) {
  Client::Settings settings;
  settings.purpose = "control";
  auto client = Client::open(options, std::move(settings));
  if (!client) return tl::unexpected(client.error());
  return std::shared_ptr<Control>(new Control(std::move(*client)));
}

Result<Event> Control::ask(
    rd_kafka_admin_op_t operation, std::string_view what,
    const std::function<void(rd_kafka_AdminOptions_t*)>& configure,
    const std::function<void(rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& request,
    std::optional<int> timeout_ms) {
  const Deadline deadline(timeout_ms.value_or(client_->options().request_timeout_ms));
  while (true) {
    const AdminOptions options(rd_kafka_AdminOptions_new(client_->get(), operation));
    std::array<char, 256> reason{};
    rd_kafka_AdminOptions_set_request_timeout(options.get(), std::max(1, deadline.remaining_ms()),
                                              reason.data(), reason.size());
    if (configure) configure(options.get());
    const Queue answers(rd_kafka_queue_new(client_->get()));
    request(options.get(), answers.get());
    // librdkafka answers each request within its timeout; the second on top is for its thread.
    Event event(rd_kafka_queue_poll(answers.get(), deadline.remaining_ms() + 1000));
    const auto code =
        event == nullptr ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event.get());
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return event;
    if (!passing(code) || deadline.passed()) {
      const char* text = event == nullptr ? nullptr : rd_kafka_event_error_string(event.get());
      return tl::unexpected(client_->error(code, what, text == nullptr ? "" : text));
    }
    wait_before_asking_again(deadline);
  }
}

Result<GroupOffsets> Control::committed(std::string_view group,
                                        std::span<const TopicPartition> partitions) {
  const std::string group_name(group);
  const std::string what = "asking for the offsets of group " + group_name;
  const PartitionList list = list_of(*client_, partitions);
  const Deadline deadline(client_->options().request_timeout_ms);
  while (true) {
    OffsetsRequest request(rd_kafka_ListConsumerGroupOffsets_new(group_name.c_str(), list.get()));
    auto event = ask(
        RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, what,
        [](rd_kafka_AdminOptions_t* options) {
          const ErrorObject error(rd_kafka_AdminOptions_set_require_stable_offsets(options, 1));
        },
        [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* answers) {
          rd_kafka_ListConsumerGroupOffsets_t* requests = request.get();
          rd_kafka_ListConsumerGroupOffsets(client_->get(), &requests, 1, options, answers);
        });
    if (!event) return tl::unexpected(event.error());
    std::size_t count = 0;
    const auto* answer = rd_kafka_event_ListConsumerGroupOffsets_result(event->get());
    const auto** groups = rd_kafka_ListConsumerGroupOffsets_result_groups(answer, &count);
    if (count != 1) return tl::unexpected(client_->error(RD_KAFKA_RESP_ERR__BAD_MSG, what));
    PartitionFailure failure;
    GroupOffsets result;
    if (const auto* error = rd_kafka_group_result_error(groups[0]); error != nullptr) {
      failure.code = rd_kafka_error_code(error);
    } else {
      failure =
          read_offsets(*rd_kafka_group_result_partitions(groups[0]), *client_, partitions, result);
    }
    if (failure.code == RD_KAFKA_RESP_ERR_NO_ERROR) return result;
    if (!passing(failure.code) || deadline.passed()) {
      return tl::unexpected(client_->error(failure.code, what + " " + failure.where));
    }
    wait_before_asking_again(deadline);
  }
}

Result<std::set<std::string>> Control::member_ids(std::string_view group) {
  const std::string group_name(group);
  const std::string what = "asking for the members of group " + group_name;
  const char* names[] = {group_name.c_str()};
  const Deadline deadline(client_->options().request_timeout_ms);
  while (true) {
    auto event = ask(RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, what, {},
                     [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* answers) {
                       rd_kafka_DescribeConsumerGroups(client_->get(), names, 1, options, answers);
                     });
    if (!event) return tl::unexpected(event.error());
    std::size_t count = 0;
    const auto* answer = rd_kafka_event_DescribeConsumerGroups_result(event->get());
    const auto** groups = rd_kafka_DescribeConsumerGroups_result_groups(answer, &count);
    if (count != 1) return tl::unexpected(client_->error(RD_KAFKA_RESP_ERR__BAD_MSG, what));
    const auto* error = rd_kafka_ConsumerGroupDescription_error(groups[0]);
    if (error == nullptr) return ids_of(*groups[0]);
    const auto code = rd_kafka_error_code(error);
    if (code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) return std::set<std::string>{};
    if (!passing(code) || deadline.passed()) return tl::unexpected(client_->error(*error, what));
    wait_before_asking_again(deadline);
  }
}

Result<std::vector<Watermarks>> Control::watermarks(std::span<const TopicPartition> partitions,
                                                    Isolation isolation) {
  // list_offsets asks for an eighth of the time of a request, for a quarter, for half: together
  // less than one; so there is as much again for a question that takes all of it.
  const Deadline deadline(2 * client_->options().request_timeout_ms);
  std::vector<Watermarks> marks(partitions.size());
  if (marks.empty()) return marks;
  const auto low = list_offsets(partitions, RD_KAFKA_OFFSET_SPEC_EARLIEST, isolation, deadline);
  if (!low) return tl::unexpected(low.error());
  const auto high = list_offsets(partitions, RD_KAFKA_OFFSET_SPEC_LATEST, isolation, deadline);
  if (!high) return tl::unexpected(high.error());
  for (std::size_t i = 0; i < marks.size(); ++i) marks[i] = {(*low)[i], (*high)[i]};
  return marks;
}

namespace {

// What an answer says of each partition asked for.
PartitionFailure read_listed(const rd_kafka_ListOffsets_result_t* answer, const Client& client,
                             std::span<const TopicPartition> asked,
                             std::vector<std::int64_t>& offsets) {
  std::size_t count = 0;
  const auto** infos = rd_kafka_ListOffsets_result_infos(answer, &count);
  offsets.assign(asked.size(), -1);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const std::string topic = client.full_topic(asked[i].topic);
    for (std::size_t j = 0; j < count; ++j) {
      const auto* found = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[j]);
      if (found->partition != asked[i].partition || topic != found->topic) continue;
      if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR) return {found->err, name_of(client, asked[i])};
      offsets[i] = found->offset;
    }
    // So it is told of a partition whose leader died before it could answer.
    if (offsets[i] < 0) return {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, name_of(client, asked[i])};
  }
  return {};
}

}  // namespace

Result<std::vector<std::int64_t>> Control::list_offsets(std::span<const TopicPartition> partitions,
                                                        std::int64_t which, Isolation isolation,
                                                        const Deadline& deadline) {
  const std::string what = "asking for the watermarks of " + name_of(*client_, partitions.front()) +
                           (partitions.size() > 1 ? " and others" : "");
  const PartitionList list = list_of(*client_, partitions);
  for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = which;
  // A question stays with the leader that it was sent to, even if that one dies, and is answered
  // when its time is over. The first is short, so that the next leader is soon asked; on a slow
  // cluster those after it get the time that they need.
  for (int timeout_ms = client_->options().request_timeout_ms / 8;;
       timeout_ms = std::min(2 * timeout_ms, client_->options().request_timeout_ms)) {
    auto event = ask(
        RD_KAFKA_ADMIN_OP_LISTOFFSETS, what,
        [&](rd_kafka_AdminOptions_t* options) {
          const ErrorObject error(rd_kafka_AdminOptions_set_isolation_level(
              options, isolation == Isolation::kReadCommitted
                           ? RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
                           : RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED));
        },
        [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* answers) {
          rd_kafka_ListOffsets(client_->get(), list.get(), options, answers);
        },
        std::min(timeout_ms, deadline.remaining_ms()));
    if (!event) {
      // librdkafka says "not found" of a topic that nobody leads for a moment, too.
      const auto code = event.error().code;
      if ((code != Errc::kTimeout && code != Errc::kNotFound) || deadline.passed()) {
        return tl::unexpected(event.error());
      }
      const bool all_there = ask_who_leads(*client_, partitions, deadline);
      if (code == Errc::kNotFound && !all_there) return tl::unexpected(event.error());
      wait_before_asking_again(deadline);
      continue;
    }
    std::vector<std::int64_t> offsets;
    const PartitionFailure failure =
        read_listed(rd_kafka_event_ListOffsets_result(event->get()), *client_, partitions, offsets);
    if (failure.code == RD_KAFKA_RESP_ERR_NO_ERROR) return offsets;
    if (!passing(failure.code) || deadline.passed()) {
      return tl::unexpected(client_->error(failure.code, what + " " + failure.where));
    }
    wait_before_asking_again(deadline);
    if (led_by_another(failure.code)) {
      static_cast<void>(ask_who_leads(*client_, partitions, deadline));
    }
  }
}

}  // namespace voketag::kafka
