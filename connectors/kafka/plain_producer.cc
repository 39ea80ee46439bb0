#include "connectors/kafka/plain_producer.h"

namespace voketag::kafka {
namespace {

using events::Result;
using events::Status;

constexpr int kServeMs = 100;

Client::Settings settings_for(const KafkaOptions& options) {
  Client::Settings settings;
  settings.purpose = "producer";
  settings.defaults = {
      // A write hands over all it has and then waits: lingering would only delay it.
      {"linger.ms", "0"},
      {"compression.type", options.compression},
      {"message.timeout.ms", std::to_string(options.commit_timeout_ms)},
      {"queue.buffering.max.messages", "1000000"},
      {"queue.buffering.max.kbytes", std::to_string(options.send_queue_bytes_max / 1024)},
  };
  settings.fixed = {{"enable.idempotence", "true"}, {"partitioner", "murmur2_random"}};
  return settings;
}

}  // namespace

KafkaProducer::KafkaProducer(std::unique_ptr<Client> client)
    : client_(std::move(client)), sender_(*client_) {}

Result<std::unique_ptr<KafkaProducer>> KafkaProducer::open(const KafkaOptions& options) {
  Client::Settings settings = settings_for(options);
  settings.delivered = on_delivered;
  auto client = Client::open(options, std::move(settings));
  if (!client) return tl::unexpected(client.error());
  return std::unique_ptr<KafkaProducer>(new KafkaProducer(std::move(*client)));
}

Status KafkaProducer::write(std::span<const events::OutputRecord> records) {
  Pending pending{.producer = this};
  Status status;
  for (const auto& record : records) {
    status = enqueue(record, pending);
    if (!status) break;
  }
  await(pending);
  if (!status) return status;
  if (pending.error == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return tl::unexpected(client_->error(pending.error, "writing " + std::to_string(records.size()) +
                                                          " records, the first to " +
                                                          describe(*client_, records.front())));
}

Status KafkaProducer::enqueue(const events::OutputRecord& record, Pending& pending) {
  const Deadline deadline(client_->options().commit_timeout_ms);
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      ++pending.unacknowledged;
    }
    const auto code = sender_.enqueue(record, &pending);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    {
      const std::lock_guard lock(mutex_);
      --pending.unacknowledged;
    }
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || deadline.passed()) {
      return tl::unexpected(client_->error(code, "writing to " + describe(*client_, record)));
    }
    rd_kafka_poll(client_->get(), 10);
  }
}

// Every record queued is acknowledged or given up within message.timeout.ms, so this ends.
void KafkaProducer::await(Pending& pending) {
  std::unique_lock lock(mutex_);
  while (pending.unacknowledged > 0) {
    if (serving_) {
      served_.wait(lock);
      continue;
    }
    serving_ = true;
    lock.unlock();
    rd_kafka_poll(client_->get(), kServeMs);
    lock.lock();
    serving_ = false;
    served_.notify_all();
  }
}

void KafkaProducer::on_delivered(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  auto& pending = *static_cast<Pending*>(message->_private);
  KafkaProducer& producer = *pending.producer;
  const std::lock_guard lock(producer.mutex_);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && pending.error == RD_KAFKA_RESP_ERR_NO_ERROR) {
    pending.error = message->err;
  }
  // Notified under the lock: once it is free the waiting call may return and `pending` is gone.
  if (--pending.unacknowledged == 0) producer.served_.notify_all();
}

}  // namespace voketag::kafka
