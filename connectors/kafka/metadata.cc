#include "connectors/kafka/metadata.h"

#include <algorithm>
#include <string>

namespace voketag::kafka {
namespace {

// A call of librdkafka stays with the broker that it has chosen, even if that one dies: so it is
// given little time at first, and more each time in case that the brokers are only slow.
constexpr int kFirstCallMs = 1000;

}  // namespace

events::Result<Metadata> fetch_metadata(const Client& client, rd_kafka_topic_t* topic,
                                        const Deadline& deadline) {
  for (int call_ms = kFirstCallMs;; call_ms *= 2) {
    const rd_kafka_metadata_t* metadata = nullptr;
    const int timeout_ms = std::max(1, std::min(call_ms, deadline.remaining_ms()));
    const auto code =
        rd_kafka_metadata(client.get(), topic == nullptr ? 1 : 0, topic, &metadata, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return Metadata(metadata);
    if (passing(code) && !deadline.passed()) continue;
    const std::string what = topic == nullptr ? std::string("the brokers and topics")
                                              : std::string(rd_kafka_topic_name(topic));
    return tl::unexpected(client.error(code, "asking for " + what));
  }
}

}  // namespace voketag::kafka
