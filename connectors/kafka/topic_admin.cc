#include "connectors/kafka/topic_admin.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <thread>

#include "connectors/kafka/metadata.h"
#include "connectors/kafka/sender.h"
#include "runtime/history.h"

namespace voketag::kafka {
namespace {

using events::Cleanup;
using events::Errc;
using events::Result;
using events::Status;

constexpr int kReplicasMax = 3;
constexpr int kLookAgainMs = 20;
constexpr auto kNoError = RD_KAFKA_RESP_ERR_NO_ERROR;

using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using ConfigResource =
    std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>>;

const rd_kafka_metadata_topic* find(const rd_kafka_metadata_t& metadata, const std::string& topic) {
  for (int i = 0; i < metadata.topic_cnt; ++i) {
    const auto& candidate = metadata.topics[i];
    if (topic == candidate.topic && candidate.err == RD_KAFKA_RESP_ERR_NO_ERROR) return &candidate;
  }
  return nullptr;
}

bool has_leaders(const rd_kafka_metadata_topic& topic, std::int32_t partitions) {
  if (topic.partition_cnt != partitions) return false;
  for (int i = 0; i < topic.partition_cnt; ++i) {
    if (topic.partitions[i].leader < 0) return false;
  }
  return true;
}

std::map<std::string, std::string> config_of(const TopicSpec& spec, const KafkaOptions& options,
                                             int replicas) {
  std::map<std::string, std::string> config = {
      // A processor's now is the broker's clock, never a producer's.
      {"message.timestamp.type", "LogAppendTime"},
      {"cleanup.policy", spec.cleanup == Cleanup::kCompact ? "compact" : "delete"},
      {"retention.ms", "-1"},
      {"retention.bytes", "-1"},
      {"max.message.bytes", std::to_string(limit_with_envelope(spec.message_bytes_max, options))},
      {"min.insync.replicas", std::to_string(std::max(1, replicas - 1))},
  };
  for (const auto& [name, value] : spec.config) config[name] = value;
  return config;
}

std::string wrong_count(const std::string& topic, int is, int wanted) {
  return "Topic " + topic + " has " + std::to_string(is) + " partitions and " +
         std::to_string(wanted) +
         " are needed: with another count, keys would be found in other partitions than their "
         "history. If the topic is empty, delete it and run: voketag topics create. Else give "
         "VOKETAG_TOPIC_PREFIX another value and carry the records over.";
}

Result<NewTopic> new_topic(const TopicSpec& spec, const Client& client, int replicas) {
  std::array<char, 256> reason{};
  const std::string name = client.full_topic(spec.name);
  NewTopic topic(
      rd_kafka_NewTopic_new(name.c_str(), spec.partitions, replicas, reason.data(), reason.size()));
  if (topic == nullptr) {
    return events::fail(Errc::kInvalid, "Topic " + name + " cannot be described: " + reason.data() +
                                            ". Check VOKETAG_TOPIC_PREFIX.");
  }
  for (const auto& [key, value] : config_of(spec, client.options(), replicas)) {
    rd_kafka_NewTopic_set_config(topic.get(), key.c_str(), value.c_str());
  }
  return topic;
}

// Of each topic asked to be created, whether it is there now: somebody else's creating is as good.
Status check_created(const rd_kafka_event_t& event, const Client& client) {
  std::size_t count = 0;
  const auto* result = rd_kafka_event_CreateTopics_result(const_cast<rd_kafka_event_t*>(&event));
  const auto** topics = rd_kafka_CreateTopics_result_topics(result, &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto code = rd_kafka_topic_result_error(topics[i]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
      continue;
    }
    const char* reason = rd_kafka_topic_result_error_string(topics[i]);
    return tl::unexpected(
        client.error(code, std::string("creating topic ") + rd_kafka_topic_result_name(topics[i]),
                     reason == nullptr ? "" : reason));
  }
  return {};
}

Status create(Control& control, std::span<const TopicSpec* const> missing, int replicas) {
  std::vector<NewTopic> topics;
  std::vector<rd_kafka_NewTopic_t*> pointers;
  for (const TopicSpec* spec : missing) {
    auto topic = new_topic(*spec, control.client(), replicas);
    if (!topic) return tl::unexpected(topic.error());
    pointers.push_back(topic->get());
    topics.push_back(std::move(*topic));
  }
  auto event = control.ask(RD_KAFKA_ADMIN_OP_CREATETOPICS, "creating topics", nullptr,
                           [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* answers) {
                             rd_kafka_CreateTopics(control.client().get(), pointers.data(),
                                                   pointers.size(), options, answers);
                           });
  if (!event) return tl::unexpected(event.error());
  return check_created(**event, control.client());
}

// A controller answers before every broker knows.
Status await_metadata(Control& control, std::span<const TopicSpec* const> created,
                      const Deadline& deadline) {
  while (true) {
    auto metadata = fetch_metadata(control.client(), nullptr, deadline);
    if (!metadata) return tl::unexpected(metadata.error());
    std::string waiting;
    for (const TopicSpec* spec : created) {
      const std::string name = control.client().full_topic(spec->name);
      const auto* topic = find(**metadata, name);
      if (topic == nullptr || !has_leaders(*topic, spec->partitions)) waiting = name;
    }
    if (waiting.empty()) return {};
    if (deadline.passed()) {
      return events::fail(Errc::kTimeout,
                          "Kafka at " + control.client().options().bootstrap_servers + ": topic " +
                              waiting + " was created and has no leader yet. Are all brokers up?");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kLookAgainMs));
  }
}

// Nobody should meet a partition that nobody leads. A broker says who leads before that one does:
// so each leader is asked for something that only a leader answers.
Status await_leaders(Control& control, std::span<const TopicSpec* const> created) {
  const Deadline deadline(control.client().options().create_timeout_ms);
  if (auto known = await_metadata(control, created, deadline); !known) return known;
  std::vector<runtime::TopicPartition> partitions;
  for (const TopicSpec* spec : created) {
    for (std::int32_t number = 0; number < spec->partitions; ++number) {
      partitions.push_back({spec->name, number});
    }
  }
  while (true) {
    const auto answered = control.watermarks(partitions, runtime::Isolation::kReadUncommitted);
    if (answered) return {};
    const bool unheard_of = answered.error().code == Errc::kNotFound;  // by that broker, so far
    if (!unheard_of || deadline.passed()) return tl::unexpected(answered.error());
    std::this_thread::sleep_for(std::chrono::milliseconds(kLookAgainMs));
  }
}

using Config = std::map<std::string, std::string>;

Result<std::map<std::string, Config>> fetch_configs(Control& control,
                                                    const std::vector<std::string>& topics) {
  std::vector<ConfigResource> resources;
  std::vector<rd_kafka_ConfigResource_t*> pointers;
  for (const std::string& topic : topics) {
    resources.emplace_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
    pointers.push_back(resources.back().get());
  }
  auto event =
      control.ask(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, "asking for the configuration of topics",
                  nullptr, [&](rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* answers) {
                    rd_kafka_DescribeConfigs(control.client().get(), pointers.data(),
                                             pointers.size(), options, answers);
                  });
  if (!event) return tl::unexpected(event.error());
  std::map<std::string, Config> configs;
  std::size_t count = 0;
  const auto** answers = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = rd_kafka_ConfigResource_name(answers[i]);
    if (const auto code = rd_kafka_ConfigResource_error(answers[i]); code != kNoError) {
      const char* reason = rd_kafka_ConfigResource_error_string(answers[i]);
      return tl::unexpected(control.client().error(
          code, "asking for the configuration of topic " + name, reason == nullptr ? "" : reason));
    }
    Config& config = configs[name];
    std::size_t entries = 0;
    const auto** list = rd_kafka_ConfigResource_configs(answers[i], &entries);
    for (std::size_t j = 0; j < entries; ++j) {
      const char* value = rd_kafka_ConfigEntry_value(list[j]);
      config[rd_kafka_ConfigEntry_name(list[j])] = value == nullptr ? "" : value;
    }
  }
  return configs;
}

std::int64_t number(const std::string& text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

constexpr std::string_view kMessageBytes = "max.message.bytes";

// A processor's now would be a producer's clock, or records would be gone that a replay needs. Only
// too small a limit on messages loses nothing: what does not fit is refused when it is written.
bool forbids_work(std::string_view property) {
  return property != kMessageBytes;
}

// Retention says nothing about a topic that is only compacted; and where records may expire, when
// is the operators' choice: what the topic was created with is a beginning.
bool matters(std::string_view property, const TopicSpec& spec) {
  const bool keeps_all = spec.cleanup == Cleanup::kKeep && !spec.config.contains("retention.ms");
  return keeps_all || !property.starts_with("retention.");
}

std::string wrong_config(const std::string& topic, const std::string& property,
                         const std::string& is, const std::string& wanted,
                         const KafkaOptions& options) {
  return "Topic " + topic + " has " + property + "=" + is + " and " + wanted +
         " is needed. Run: kafka-configs.sh --bootstrap-server " + options.bootstrap_servers +
         " --alter --entity-type topics --entity-name " + topic + " --add-config " + property +
         "=" + wanted;
}

void compare_configs(const Config& is, const TopicSpec& spec, const KafkaOptions& options,
                     TopicReport& report) {
  const Config wanted = config_of(spec, options, report.replicas);
  for (const std::string property : {"message.timestamp.type", "cleanup.policy", "retention.ms",
                                     "retention.bytes", "max.message.bytes"}) {
    const auto found = is.find(property);
    if (found == is.end() || found->second == wanted.at(property)) continue;
    if (!matters(property, spec)) continue;
    if (property == kMessageBytes && number(found->second) >= number(wanted.at(property))) continue;
    report.problems.push_back(
        {wrong_config(report.full_name, property, found->second, wanted.at(property), options),
         forbids_work(property)});
  }
}

TopicReport examine(const rd_kafka_metadata_t& metadata, const TopicSpec& spec,
                    const Client& client) {
  TopicReport report{.name = spec.name, .full_name = client.full_topic(spec.name)};
  const auto* topic = find(metadata, report.full_name);
  if (topic == nullptr) {
    report.problems.push_back(
        {"Topic " + report.full_name + " does not exist. Run: voketag topics create"});
    return report;
  }
  report.exists = true;
  report.partitions = topic->partition_cnt;
  for (int i = 0; i < topic->partition_cnt; ++i) {
    const auto& partition = topic->partitions[i];
    report.replicas = std::max(report.replicas, partition.replica_cnt);
    const std::string where = report.full_name + " [" + std::to_string(partition.id) + "]";
    if (partition.leader < 0) {
      report.problems.push_back(
          {"Partition " + where + " has no leader: bring the brokers that hold it back up."});
    } else if (partition.isr_cnt < partition.replica_cnt) {
      report.problems.push_back({"Partition " + where + " has " +
                                 std::to_string(partition.isr_cnt) + " of " +
                                 std::to_string(partition.replica_cnt) +
                                 " replicas in sync: bring the other brokers back up."});
    }
  }
  if (report.partitions != spec.partitions) {
    report.problems.push_back(
        {wrong_count(report.full_name, report.partitions, spec.partitions), true});
  }
  return report;
}

// The first reason why nothing may run on these topics, and how many more there are.
Status check_fit_for_work(std::span<const TopicReport> reports, const KafkaOptions& options) {
  std::string first;
  int count = 0;
  for (const TopicReport& report : reports) {
    for (const TopicProblem& problem : report.problems) {
      if (!problem.forbids_work) continue;
      if (count++ == 0) first = problem.text;
    }
  }
  if (count == 0) return {};
  const std::string others =
      count == 1 ? "" : " (And " + std::to_string(count - 1) + " more: voketag doctor)";
  return events::fail(Errc::kConflict,
                      "Kafka at " + options.bootstrap_servers + ": " + first + others);
}

}  // namespace

std::vector<TopicSpec> catalogue_topics() {
  std::vector<TopicSpec> specs;
  for (const events::Topic& topic : events::topic_catalogue()) {
    specs.push_back(TopicSpec{.name = std::string(topic.name),
                              .cleanup = topic.cleanup,
                              .partitions = topic.partitions,
                              .message_bytes_max = topic.message_bytes_max});
  }
  return specs;
}

TopicSpec changelog_topic(std::string_view processor, std::int32_t partitions) {
  TopicSpec spec{.name = std::string(processor) + "-changelog",
                 .cleanup = Cleanup::kCompact,
                 .partitions = partitions};
  spec.config = {
      // A rebuild reads the whole changelog, and only closed segments are compacted: so segments
      // are small and closed within the hour, and cleaned when a quarter is superseded. A cleaner
      // then writes at most four bytes for each new one.
      {"segment.bytes", std::to_string(64 * 1024 * 1024)},
      {"segment.ms", std::to_string(60 * 60 * 1000)},
      {"min.cleanable.dirty.ratio", "0.25"},
      // A state directory that was away for less than this still sees every deletion when it rolls
      // forward; an older one is rebuilt.
      {"delete.retention.ms", std::to_string(7LL * 24 * 60 * 60 * 1000)},
  };
  return spec;
}

TopicSpec history_topic(std::string_view processor) {
  // A month can be replayed whenever it is over.
  constexpr std::int64_t kRetentionMs = 35LL * 24 * 60 * 60 * 1000;
  TopicSpec spec{.name = runtime::history_topic(processor), .partitions = 1};
  spec.config = {{"retention.ms", std::to_string(kRetentionMs)}};
  return spec;
}

Result<std::unique_ptr<TopicAdmin>> TopicAdmin::open(const KafkaOptions& options) {
  auto control = Control::open(options);
  if (!control) return tl::unexpected(control.error());
  return std::make_unique<TopicAdmin>(std::move(*control));
}

Result<int> TopicAdmin::brokers() {
  const Deadline deadline(control_->client().options().request_timeout_ms);
  auto metadata = fetch_metadata(control_->client(), nullptr, deadline);
  if (!metadata) return tl::unexpected(metadata.error());
  return (*metadata)->broker_cnt;
}

Result<int> TopicAdmin::ensure_topics(std::span<const TopicSpec> topics) {
  const auto reports = describe(topics);
  if (!reports) return tl::unexpected(reports.error());
  if (auto fit = check_fit_for_work(*reports, control_->client().options()); !fit) {
    return tl::unexpected(fit.error());
  }
  std::vector<const TopicSpec*> missing;
  for (std::size_t i = 0; i < topics.size(); ++i) {
    if (!(*reports)[i].exists) missing.push_back(&topics[i]);
  }
  if (missing.empty()) return 0;
  const auto brokers = this->brokers();
  if (!brokers) return tl::unexpected(brokers.error());
  const int replicas = std::clamp(*brokers, 1, kReplicasMax);
  if (auto created = create(*control_, missing, replicas); !created) {
    return tl::unexpected(created.error());
  }
  if (auto led = await_leaders(*control_, missing); !led) return tl::unexpected(led.error());
  return static_cast<int>(missing.size());
}

Result<std::vector<TopicReport>> TopicAdmin::describe(std::span<const TopicSpec> topics) {
  Client& client = control_->client();
  const Deadline deadline(client.options().request_timeout_ms);
  auto metadata = fetch_metadata(client, nullptr, deadline);
  if (!metadata) return tl::unexpected(metadata.error());
  std::vector<TopicReport> reports;
  std::vector<std::string> existing;
  for (const TopicSpec& spec : topics) {
    reports.push_back(examine(**metadata, spec, client));
    if (reports.back().exists) existing.push_back(reports.back().full_name);
  }
  if (existing.empty()) return reports;
  auto configs = fetch_configs(*control_, existing);
  if (!configs) return tl::unexpected(configs.error());
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const auto config = configs->find(reports[i].full_name);
    if (config == configs->end()) continue;
    compare_configs(config->second, topics[i], client.options(), reports[i]);
  }
  return reports;
}

}  // namespace voketag::kafka
