#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "events/events.h"
#include "events/field.h"

namespace voketag::processors {

// What makes two requests of one batch_id the same or not, in 100 bytes that are kept for ever: the
// content itself would keep 16 KiB of metadata for each batch.
//
// Content is what the producer said, after defaults: tenant, product_count, first_serial, sku,
// gtin, lot, name, metadata (by RFC 8785), callback_url. What ingress added (requested_at, key_id,
// chunk_size) is not content.
struct BatchContent {
  events::Hash digest;      // SHA-256 over all fields, each with its name's place, length and bytes
  std::string field_marks;  // 4 hex digits per field, to name the fields that differ

  static BatchContent of(const events::BatchAccepted& batch);

  bool same_as(const BatchContent& other) const { return digest == other.digest; }

  // The names of the fields that differ, comma-separated. Two fields in 65,536 share a mark; when
  // every mark is the same and yet the digest differs, "content".
  std::string differing_fields(const BatchContent& other) const;

  static constexpr auto fields() {
    using E = BatchContent;
    return std::tuple{events::Field{"digest", &E::digest, "SHA-256 over the content"},
                      events::Field{"field_marks", &E::field_marks, "Four hex digits per field"}};
  }
};

}  // namespace voketag::processors
