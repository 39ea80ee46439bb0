#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "connectors/kafka/client.h"
#include "connectors/kafka/sender.h"
#include "runtime/log.h"

namespace voketag::kafka {

// An idempotent producer. Thread-safe: of the threads that wait for acknowledgements one serves the
// callbacks of all; the others sleep until theirs are in.
class KafkaProducer final : public runtime::Producer {
 public:
  static events::Result<std::unique_ptr<KafkaProducer>> open(const KafkaOptions& options);
  ~KafkaProducer() override = default;

  events::Status write(std::span<const events::OutputRecord> records) override;

 private:
  // One call of write, waiting.
  struct Pending {
    KafkaProducer* producer = nullptr;
    std::size_t unacknowledged = 0;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;  // the first
  };

  explicit KafkaProducer(std::unique_ptr<Client> client);
  static void on_delivered(rd_kafka_t* handle, const rd_kafka_message_t* message, void* opaque);

  events::Status enqueue(const events::OutputRecord& record, Pending& pending);
  void await(Pending& pending);

  std::unique_ptr<Client> client_;
  Sender sender_;
  std::mutex mutex_;  // guards every Pending and serving_
  std::condition_variable served_;
  bool serving_ = false;
};

}  // namespace voketag::kafka
