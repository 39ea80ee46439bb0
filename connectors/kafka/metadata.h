#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>

#include "connectors/kafka/client.h"

namespace voketag::kafka {

using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;

// Brokers, topics and leaders, as a broker knows them: of one topic, or of all where it is null.
// Asked again until the deadline while the errors are passing ones. The client learns from the
// answer, so that it forgets brokers that are gone.
events::Result<Metadata> fetch_metadata(const Client& client, rd_kafka_topic_t* topic,
                                        const Deadline& deadline);

}  // namespace voketag::kafka
