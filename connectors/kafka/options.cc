#include "connectors/kafka/options.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

namespace voketag::kafka {
namespace {

using events::Errc;
using events::Result;

constexpr std::string_view kServers = "VOKETAG_KAFKA";
constexpr std::string_view kPrefix = "VOKETAG_TOPIC_PREFIX";
constexpr std::string_view kInstance = "VOKETAG_INSTANCE";
constexpr std::string_view kProperty = "VOKETAG_KAFKA_";
constexpr std::string_view kFile = "_FILE";

bool known_property(const std::string& name) {
  const std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)> conf(
      rd_kafka_conf_new(), rd_kafka_conf_destroy);
  return rd_kafka_conf_set(conf.get(), name.c_str(), "", nullptr, 0) != RD_KAFKA_CONF_UNKNOWN;
}

std::string property_name(std::string_view variable_rest) {
  std::string name(variable_rest);
  for (char& c : name) {
    if (c == '_') c = '.';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

Result<std::string> read_secret(const std::string& variable, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (!file || !(content << file.rdbuf())) {
    return events::fail(Errc::kInvalid, variable + " names the file '" + path +
                                            "', which cannot be read or is empty. Check the path "
                                            "and its permissions.");
  }
  std::string value = content.str();
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.pop_back();
  return value;
}

// A variable that is one of ours by its plain name or with _FILE appended.
struct Variable {
  std::string name;
  std::string value;

  Result<std::optional<std::string>> value_of(std::string_view wanted) const {
    if (name == wanted) return value;
    if (name == std::string(wanted) + std::string(kFile)) {
      auto content = read_secret(name, value);
      if (!content) return tl::unexpected(content.error());
      return std::move(*content);
    }
    return std::nullopt;
  }
};

events::Status read_property(const Variable& variable, KafkaOptions& options) {
  std::string name = property_name(std::string_view(variable.name).substr(kProperty.size()));
  std::string value = variable.value;
  if (!known_property(name) && name.ends_with(".file")) {
    name.resize(name.size() - 5);
    auto content = read_secret(variable.name, value);
    if (!content) return tl::unexpected(content.error());
    value = std::move(*content);
  }
  if (!known_property(name)) {
    return events::fail(Errc::kInvalid,
                        variable.name + ": librdkafka has no property '" + name +
                            "'. See its CONFIGURATION.md; write dots as underscores.");
  }
  if (reserved_property(name)) {
    return events::fail(Errc::kInvalid, variable.name + ": VokeTag decides '" + name +
                                            "' itself, exactly-once rests on it. Unset it.");
  }
  options.properties[name] = value;
  return {};
}

// The timeouts that our own bounds are derived from.
events::Status adopt_integer(const KafkaOptions& options, const char* property, int& value) {
  const auto found = options.properties.find(property);
  if (found == options.properties.end()) return {};
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value > 0) return {};
  return events::fail(Errc::kInvalid, std::string("The Kafka property ") + property + " is '" +
                                          text + "'; a positive number of milliseconds is needed.");
}

events::Status read_variable(const Variable& variable, KafkaOptions& options) {
  const std::array<std::pair<std::string_view, std::string*>, 3> plain = {{
      {kServers, &options.bootstrap_servers},
      {kPrefix, &options.topic_prefix},
      {kInstance, &options.instance},
  }};
  for (const auto& [name, target] : plain) {
    auto value = variable.value_of(name);
    if (!value) return tl::unexpected(value.error());
    if (*value) {
      *target = std::move(**value);
      return {};
    }
  }
  if (variable.name.starts_with(kProperty)) return read_property(variable, options);
  return {};
}

}  // namespace

bool reserved_property(std::string_view name) {
  constexpr std::array<std::string_view, 17> kReserved = {
      "acks",
      "allow.auto.create.topics",
      "auto.offset.reset",
      "bootstrap.servers",
      "enable.auto.commit",
      "enable.auto.offset.store",
      "enable.idempotence",
      "enable.partition.eof",
      "group.id",
      "group.instance.id",
      "group.protocol",
      "isolation.level",
      "metadata.broker.list",
      "partition.assignment.strategy",
      "partitioner",
      "request.required.acks",
      "transactional.id",
  };
  return std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
}

Result<KafkaOptions> options_from_environment(const char* const* environment) {
  KafkaOptions options;
  for (const char* const* entry = environment; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const Variable variable{std::string(text.substr(0, equals)),
                            std::string(text.substr(equals + 1))};
    if (auto read = read_variable(variable, options); !read) return tl::unexpected(read.error());
  }
  if (options.bootstrap_servers.empty()) {
    return events::fail(Errc::kInvalid,
                        "VOKETAG_KAFKA is not set. Set it to the cluster's bootstrap servers, for "
                        "example 127.0.0.1:9092; of a running ./dev stack: eval \"$(./dev env)\".");
  }
  for (const auto& [property, value] :
       {std::pair{"session.timeout.ms", &options.session_timeout_ms},
        {"transaction.timeout.ms", &options.transaction_timeout_ms},
        {"max.poll.interval.ms", &options.poll_interval_max_ms}}) {
    if (auto adopted = adopt_integer(options, property, *value); !adopted) {
      return tl::unexpected(adopted.error());
    }
  }
  return options;
}

}  // namespace voketag::kafka
