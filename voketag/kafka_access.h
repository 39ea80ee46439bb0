#pragma once

#include <memory>
#include <vector>

#include "connectors/kafka/kafka_log.h"
#include "events/error.h"
#include "voketag/configuration.h"

namespace voketag::cli {

// The connector's options of a configuration; an error names the variable that is at fault.
events::Result<kafka::KafkaOptions> kafka_options(const Configuration& configuration);

// Opens the log, and makes sure that a broker answers: the first question of a command should fail
// at once and clearly. kUnavailable: none does.
events::Result<std::unique_ptr<kafka::KafkaLog>> open_kafka(const Configuration& configuration);

// Every topic that VokeTag needs: the catalogue, the changelogs and the histories.
std::vector<kafka::TopicSpec> all_topics();

}  // namespace voketag::cli
