#include "processors/ingress/ingress_processor.h"

#include <stdexcept>
#include <string>

#include "events/envelope.h"
#include "events/events.h"
#include "events/topics.h"
#include "processors/ingress/request_rules.h"
#include "processors/tokens/chunks.h"

namespace voketag::processors {
namespace {

using events::AnchorAccepted;
using events::AnchorRequested;
using events::BatchAccepted;
using events::BatchRequested;

// Whether the record is of a size and a type that ingress reads; if not, it is a dead letter.
bool is_readable(Context& context, const events::RecordView& record) {
  if (record.value && static_cast<std::int64_t>(record.value->size()) > events::kInputBytesMax) {
    context.dead_letter("oversized", "the event has " + std::to_string(record.value->size()) +
                                         " bytes; at most " +
                                         std::to_string(events::kInputBytesMax) + " are read");
    return false;
  }
  const auto expected = events::event_type(record.topic);
  if (events::read_type(record) != expected) {
    // The type that was sent stands in the dead letter's headers; a stranger chose it.
    context.dead_letter("unknown_type", "ce_type must be " + expected +
                                            " on this topic, and is another; send that type, or "
                                            "leave the header out");
    return false;
  }
  return true;
}

events::Status check_rules(const BatchRequested& request) {
  if (request.gtin) {
    if (auto status = check_gtin(*request.gtin); !status) return status;
  }
  if (request.callback_url) {
    if (auto status = check_callback_url(*request.callback_url); !status) return status;
  }
  return {};
}

}  // namespace

IngressProcessor::IngressProcessor(const IngressConfig& config) : config_(config) {
  if (!is_chunk_size(config.chunk_size)) {
    throw std::invalid_argument("the chunk size must be a power of two from 1 to " +
                                std::to_string(kChunkSizeMax) + ", not " +
                                std::to_string(config.chunk_size));
  }
}

std::vector<std::string_view> IngressProcessor::inputs() const {
  return {BatchRequested::kTopic, AnchorRequested::kTopic};
}

void IngressProcessor::on_record(Context& context, const events::RecordView& record) {
  if (!is_readable(context, record)) return;
  if (record.topic == BatchRequested::kTopic) {
    accept_batch(context, record);
  } else {
    accept_anchor(context, record);
  }
}

void IngressProcessor::on_timer(Context&, std::string_view) {}

void IngressProcessor::accept_batch(Context& context, const events::RecordView& record) const {
  decode_and_handle<BatchRequested>(context, record, [&](const BatchRequested& request) {
    if (const auto status = check_rules(request); !status) {
      context.dead_letter("invalid", status.error().message);
      return;
    }
    BatchAccepted accepted;
    accepted.batch_id = request.batch_id;
    accepted.tenant = request.tenant.value_or("default");
    accepted.product_count = request.product_count;
    accepted.first_serial = request.first_serial.value_or(1);
    accepted.sku = request.sku;
    accepted.gtin = request.gtin;
    accepted.lot = request.lot;
    accepted.name = request.name;
    accepted.metadata = request.metadata;
    accepted.callback_url = request.callback_url;
    accepted.key_id = config_.signing_key_id;
    accepted.chunk_size = config_.chunk_size;
    accepted.requested_at = record.timestamp;
    context.emit(request.batch_id.to_string(), accepted);
  });
}

void IngressProcessor::accept_anchor(Context& context, const events::RecordView& record) const {
  decode_and_handle<AnchorRequested>(context, record, [&](const AnchorRequested& request) {
    if (request.callback_url) {
      if (const auto status = check_callback_url(*request.callback_url); !status) {
        context.dead_letter("invalid", status.error().message);
        return;
      }
    }
    AnchorAccepted accepted;
    accepted.batch_id = request.batch_id;
    accepted.merkle_root = request.merkle_root;
    accepted.product_count = request.product_count;
    accepted.callback_url = request.callback_url;
    accepted.origin = "external";
    accepted.requested_at = record.timestamp;
    context.emit(request.batch_id.to_string(), accepted);
  });
}

}  // namespace voketag::processors
