#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/error.h"
#include "events/events.h"
#include "events/uuid.h"

// TokensGenerated without a string per token: by far the most frequent bytes of the system. Both
// classes speak of the same text, which is what encode(TokensGenerated) writes, byte for byte:
//
//     head   {"batch_id":"<36>","chunk_index":<n>,"first_serial":<n>,"count":<n>,"tokens":[
//     body   "<46>","<46>",...,"<46>"          count * 49 - 1 bytes
//     tail   ]}
//
// <36> is a lower-case UUID, <n> decimal digits without leading zeros, <46> a token. The first
// character of token i stands at head + 1 + 49 * i. There is no white space. docs/formats/events.md
// has an example.
namespace voketag::events {

inline constexpr std::size_t kTokenTextBytes = 46;
inline constexpr std::size_t kTokenStrideBytes = kTokenTextBytes + 3;  // with "" and the comma

// Reads such an event: 4 us for 1,000 tokens where decode() takes 60 us (one core at 2 GHz or so).
// Any other spelling of the same event (white space, another order, escapes) is read too, at the
// speed of decode().
//
// A view is made to be used again: it keeps its memory. Not thread-safe.
class TokensView {
 public:
  // Takes the place of whatever was read before. The tokens point into `json`, which must outlive
  // their use, or into this object. Errors (kInvalid): as of decode<TokensGenerated>, and a `count`
  // that is not the number of tokens, and a token that is not 46 characters of printable ASCII.
  // After an error the view holds nothing.
  Status read(std::string_view json);

  const Uuid& batch_id() const { return batch_id_; }
  std::int64_t chunk_index() const { return chunk_index_; }
  std::int64_t first_serial() const { return first_serial_; }
  std::int64_t count() const { return static_cast<std::int64_t>(tokens_.size()); }
  std::span<const std::string_view> tokens() const { return tokens_; }

 private:
  bool read_own_spelling(std::string_view json);
  Status read_any_spelling(std::string_view json);
  void clear();

  Uuid batch_id_;
  std::int64_t chunk_index_ = 0;
  std::int64_t first_serial_ = 0;
  std::vector<std::string_view> tokens_;
  TokensGenerated decoded_;  // owns the tokens of another spelling
};

// Lays such an event out, so that its tokens can be written where they are to stand. Writes head
// and tail; the body is the caller's, in one of two ways: all of it with its quotes and commas
// (body()), or punctuate() and then only the tokens, 49 bytes apart (first_token()).
class TokensGeneratedWriter {
 public:
  // `count` is at least 1, and what makes at most 6 MiB.
  TokensGeneratedWriter(const Uuid& batch_id, std::int64_t chunk_index, std::int64_t first_serial,
                        std::int64_t count);

  // The body: body_bytes() characters, of which none is written yet.
  char* body() { return json_.data() + head_bytes_; }
  std::size_t body_bytes() const { return json_.size() - head_bytes_ - kTailBytes; }

  // Writes the quotes and commas of the body, and nothing else.
  void punctuate();
  char* first_token() { return body() + 1; }

  // The event. The caller has written all of the body.
  std::string finish() && { return std::move(json_); }

 private:
  static constexpr std::size_t kTailBytes = 2;

  std::string json_;
  std::size_t head_bytes_ = 0;
};

}  // namespace voketag::events
