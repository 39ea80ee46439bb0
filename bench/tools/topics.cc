// Creates or deletes topics, without the broker's Java tools.
//
//   topics --create peer.tokens-generated --partitions 12 [--cleanup compact]
//   topics --delete-prefix peer.

#include <cstdio>

#include "tools/kafka_tool.h"

using namespace voketag::bench;

int main(int argument_count, char** arguments) {
  const Options options(argument_count, arguments,
                        {{"bootstrap", "127.0.0.1:9092"},
                         {"create", ""},
                         {"partitions", "12"},
                         {"cleanup", "delete"},
                         {"delete-prefix", ""}});
  const Client client =
      make_client(RD_KAFKA_PRODUCER, {{"bootstrap.servers", options.text("bootstrap")}});
  if (!options.text("create").empty()) {
    create_topic(client.get(), options.text("create"),
                 static_cast<int>(options.number("partitions")),
                 {{"cleanup.policy", options.text("cleanup")}});
  }
  if (!options.text("delete-prefix").empty()) {
    std::printf("%d topics deleted\n", delete_topics(client.get(), options.text("delete-prefix")));
  }
  return 0;
}
