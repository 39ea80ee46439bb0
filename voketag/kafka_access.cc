#include "voketag/kafka_access.h"

#include <cctype>
#include <string_view>
#include <utility>

#include "events/partitioner.h"
#include "voketag/processor_factory.h"

namespace voketag::cli {

events::Result<kafka::KafkaOptions> kafka_options(const Configuration& configuration) {
  const auto servers = configuration.kafka();
  if (!servers) return tl::unexpected(servers.error());
  // The connector reads and checks variables; what came from a file or a TOML setting becomes one.
  std::vector<std::string> variables = {"VOKETAG_KAFKA=" + *servers,
                                        "VOKETAG_TOPIC_PREFIX=" + configuration.topic_prefix,
                                        "VOKETAG_INSTANCE=" + configuration.instance};
  for (const auto& [property, value] : configuration.kafka_properties()) {
    std::string name("VOKETAG_KAFKA_");
    name += property;
    for (char& c : name) {
      c = c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    variables.push_back(std::move(name.append("=").append(value)));
  }
  std::vector<const char*> entries;
  entries.reserve(variables.size() + 1);
  for (const std::string& variable : variables) entries.push_back(variable.c_str());
  entries.push_back(nullptr);
  return kafka::options_from_environment(entries.data());
}

events::Result<std::unique_ptr<kafka::KafkaLog>> open_kafka(const Configuration& configuration) {
  auto options = kafka_options(configuration);
  if (!options) return tl::unexpected(options.error());
  auto log = kafka::KafkaLog::open(*std::move(options));
  if (!log) return log;
  if (const auto brokers = (*log)->topics().brokers(); !brokers) {
    return tl::unexpected(brokers.error());
  }
  return log;
}

std::vector<kafka::TopicSpec> all_topics() {
  std::vector<kafka::TopicSpec> topics = kafka::catalogue_topics();
  for (const std::string_view processor : kProcessorNames) {
    topics.push_back(kafka::changelog_topic(processor, events::kPartitionCount));
    topics.push_back(kafka::history_topic(processor));
  }
  return topics;
}

}  // namespace voketag::cli
