#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "processors/processor.h"

namespace voketag::processors {

struct IngressConfig {
  // The id of the token key that signs: the first of VOKETAG_TOKEN_KEYS. Recorded in each accepted
  // batch, so that a retry or a replay signs with the same key after the keys have been rotated.
  std::uint8_t signing_key_id = 0;
  // Products per chunk, a power of two up to kChunkSizeMax. The larger, the fewer records for a
  // great batch; the smaller, the sooner its first chunk is there. 1024 tokens are 50 KB.
  std::int64_t chunk_size = 1024;
};

// Validates what comes from outside and puts it under its proper key.
//
//    batch-requested   ->  batch-accepted    key batch_id
//    anchor-requested  ->  anchor-accepted   key batch_id, origin "external"
//
// The key is taken from the body: outsiders' partitioners disagree about where a key belongs, so
// another key, or none, is no error. Broker time becomes requested_at; what was left out gets its
// default (tenant "default", first_serial 1). Keeps no state: whether a batch is asked for twice is
// for `batches` to see.
//
// Dead letters: unknown_type, oversized, tombstone, malformed (not the event's JSON), invalid (a
// rule of request_rules.h).
class IngressProcessor : public Processor {
 public:
  explicit IngressProcessor(const IngressConfig& config);

  std::string_view name() const override { return "ingress"; }
  std::vector<std::string_view> inputs() const override;
  void on_record(Context& context, const events::RecordView& record) override;
  void on_timer(Context& context, std::string_view name) override;

 private:
  void accept_batch(Context& context, const events::RecordView& record) const;
  void accept_anchor(Context& context, const events::RecordView& record) const;

  const IngressConfig config_;
};

}  // namespace voketag::processors
