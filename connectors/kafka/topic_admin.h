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
// "<processor>-commits", of one partition and 35 days: runtime/history.h says what is in it.
TopicSpec history_topic(std::string_view processor);

// One way in which a topic is not as it should be.
struct TopicProblem {
  std::string text;           // topic, property, what was found, what is wanted, and the cure
  bool forbids_work = false;  // on such a topic records would be lost, or replayed otherwise
};

// What a topic is, against how it is to be.
struct TopicReport {
  std::string name;       // without the prefix
  std::string full_name;  // with it
  bool exists = false;
  std::int32_t partitions = 0;
  std::int32_t replicas = 0;
  std::vector<TopicProblem> problems;  // none: as it should be
};

// Creates and examines topics. Thread-safe.
class TopicAdmin {
 public:
  static events::Result<std::unique_ptr<TopicAdmin>> open(const KafkaOptions& options);
  explicit TopicAdmin(std::shared_ptr<Control> control) : control_(std::move(control)) {}

  // Creates what is missing, and returns when the leader of each partition created serves it; how
  // many were created. Replicas: three, or as many as there are brokers; one less has to be in
  // sync. kConflict: one exists on which nothing may run (TopicProblem::forbids_work): it has
  // another number of partitions, producers' times, or loses records; nothing was created.
  events::Result<int> ensure_topics(std::span<const TopicSpec> topics);

  // One report per topic, in order.
  events::Result<std::vector<TopicReport>> describe(std::span<const TopicSpec> topics);

  // Asks for the cluster's brokers: how many there are. The cheapest proof that one answers.
  events::Result<int> brokers();

 private:
  std::shared_ptr<Control> control_;
};

}  // namespace voketag::kafka
