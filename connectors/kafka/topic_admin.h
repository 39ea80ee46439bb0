#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "connectors/kafka/control.h"
#include "events/topics.h"

namespace voketag::kafka {

// How a topic is to be.
struct TopicSpec {
  std::string name;  // without the prefix
  events::Cleanup cleanup = events::Cleanup::kKeep;
  std::int32_t partitions = 12;
  std::int64_t message_bytes_max = 0;         // of a value; 0: the largest we write
  std::map<std::string, std::string> config;  // beyond what follows from the above
};

// All topics of the catalogue.
std::vector<TopicSpec> catalogue_topics();
// "<processor>-changelog", with as many partitions as the processor's input.
TopicSpec changelog_topic(std::string_view processor, std::int32_t partitions);

// What a topic is, against how it is to be.
struct TopicReport {
  std::string name;       // without the prefix
  std::string full_name;  // with it
  bool exists = false;
  std::int32_t partitions = 0;
  std::int32_t replicas = 0;
  std::vector<std::string> problems;  // each with its cure; none: as it should be
};

// Creates and examines topics. Thread-safe.
class TopicAdmin {
 public:
  static events::Result<std::unique_ptr<TopicAdmin>> open(const KafkaOptions& options);
  explicit TopicAdmin(std::shared_ptr<Control> control) : control_(std::move(control)) {}

  // Creates what is missing, and returns when every topic has leaders; how many were created.
  // Replicas: three, or as many as there are brokers; one less has to be in sync. kConflict: one
  // exists with another number of partitions; nothing was created.
  events::Result<int> ensure_topics(std::span<const TopicSpec> topics);

  // One report per topic, in order.
  events::Result<std::vector<TopicReport>> describe(std::span<const TopicSpec> topics);

  // Asks for the cluster's brokers: how many there are. The cheapest proof that one answers.
  events::Result<int> brokers();

 private:
  std::shared_ptr<Control> control_;
};

}  // namespace voketag::kafka
