#include "events/tokens_view.h"

#include <cassert>
#include <charconv>
#include <cstring>
#include <utility>

#include "events/codec.h"
#include "events/topics.h"

namespace voketag::events {
namespace {

constexpr std::string_view kBatchId = "{\"batch_id\":\"";
constexpr std::string_view kChunkIndex = "\",\"chunk_index\":";
constexpr std::string_view kFirstSerial = ",\"first_serial\":";
constexpr std::string_view kCount = ",\"count\":";
constexpr std::string_view kTokens = ",\"tokens\":[";
constexpr std::string_view kTail = "]}";
constexpr std::size_t kUuidBytes = 36;

bool take(std::string_view& rest, std::string_view expected) {
  if (!rest.starts_with(expected)) return false;
  rest.remove_prefix(expected.size());
  return true;
}

bool take_uuid(std::string_view& rest, Uuid& out) {
  const auto uuid = Uuid::parse(rest.substr(0, kUuidBytes));
  if (!uuid) return false;
  out = *uuid;
  rest.remove_prefix(kUuidBytes);
  return true;
}

// A whole number from `minimum` as JSON has it: no sign, no leading zero.
bool take_number(std::string_view& rest, std::int64_t minimum, std::int64_t& out) {
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  const auto length = static_cast<std::size_t>(parsed.ptr - rest.data());
  if (parsed.ec != std::errc{} || out < minimum) return false;
  if (rest[0] == '-' || (rest[0] == '0' && length > 1)) return false;
  rest.remove_prefix(length);
  return true;
}

// Sixteen characters at once; both compilers turn this into the machine's vector instructions.
using Lanes = signed char __attribute__((vector_size(16)));

Lanes load(const char* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

// Marks the characters that cannot stand in a JSON string as they are, or are not ASCII. As signed
// numbers, all of the latter are below the space, as the control characters are.
Lanes unfit(Lanes c) {
  return (c < ' ') | (c == '"') | (c == '\\') | (c == 0x7f);
}

// Whether `count` tokens stand at `body` in our own spelling. Three loads cover the 46 characters
// of one; the second and third overlap. What is wrong is gathered and looked at once, at the end:
// a branch per token would cost more than the work.
bool is_own_body(const char* body, std::size_t count) {
  Lanes wrong{};
  unsigned misplaced = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const char* const element = body + i * kTokenStrideBytes;
    const char* const token = element + 1;
    wrong |= unfit(load(token)) | unfit(load(token + 16)) | unfit(load(token + 30));
    misplaced |= static_cast<unsigned>(element[0] ^ '"') |
                 static_cast<unsigned>(element[kTokenTextBytes + 1] ^ '"');
    if (i + 1 < count) misplaced |= static_cast<unsigned>(element[kTokenTextBytes + 2] ^ ',');
  }
  std::uint64_t halves[2];
  std::memcpy(halves, &wrong, sizeof halves);
  return misplaced == 0 && (halves[0] | halves[1]) == 0;
}

}  // namespace

Status TokensView::read(std::string_view json) {
  clear();
  if (json.size() <= static_cast<std::size_t>(kInputBytesMax) && read_own_spelling(json)) return {};
  auto status = read_any_spelling(json);
  if (!status) clear();
  return status;
}

bool TokensView::read_own_spelling(std::string_view json) {
  std::string_view rest = json;
  std::int64_t count = 0;
  const bool head = take(rest, kBatchId) && take_uuid(rest, batch_id_) && take(rest, kChunkIndex) &&
                    take_number(rest, 0, chunk_index_) && take(rest, kFirstSerial) &&
                    take_number(rest, 0, first_serial_) && take(rest, kCount) &&
                    take_number(rest, 1, count) && take(rest, kTokens);
  if (!head || !rest.ends_with(kTail)) return false;
  rest.remove_suffix(kTail.size());
  const auto tokens = static_cast<std::size_t>(count);
  if (tokens > rest.size() || rest.size() != tokens * kTokenStrideBytes - 1) return false;
  if (!is_own_body(rest.data(), tokens)) return false;
  tokens_.resize(tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    tokens_[i] = std::string_view(rest.data() + 1 + i * kTokenStrideBytes, kTokenTextBytes);
  }
  return true;
}

Status TokensView::read_any_spelling(std::string_view json) {
  auto decoded = decode<TokensGenerated>(json);
  if (!decoded) return tl::unexpected<Error>(decoded.error());
  decoded_ = *std::move(decoded);
  if (decoded_.count != static_cast<std::int64_t>(decoded_.tokens.size())) {
    return fail(Errc::kInvalid, "count must be the number of tokens, " +
                                    std::to_string(decoded_.tokens.size()) + ", not " +
                                    std::to_string(decoded_.count));
  }
  tokens_.reserve(decoded_.tokens.size());
  for (const std::string& token : decoded_.tokens) {
    bool ok = token.size() == kTokenTextBytes;
    for (const char c : token) ok = ok && c > ' ' - 1 && c < 0x7f;
    if (!ok) {
      return fail(Errc::kInvalid, "tokens[" + std::to_string(tokens_.size()) +
                                      "] must be 46 characters of printable ASCII, not " +
                                      std::to_string(token.size()) + " bytes");
    }
    tokens_.push_back(token);
  }
  batch_id_ = decoded_.batch_id;
  chunk_index_ = decoded_.chunk_index;
  first_serial_ = decoded_.first_serial;
  return {};
}

void TokensView::clear() {
  batch_id_ = {};
  chunk_index_ = 0;
  first_serial_ = 0;
  tokens_.clear();
}

TokensGeneratedWriter::TokensGeneratedWriter(const Uuid& batch_id, std::int64_t chunk_index,
                                             std::int64_t first_serial, std::int64_t count) {
  assert(count >= 1);
  std::string head(kBatchId);
  head += batch_id.to_string();
  head += kChunkIndex;
  head += std::to_string(chunk_index);
  head += kFirstSerial;
  head += std::to_string(first_serial);
  head += kCount;
  head += std::to_string(count);
  head += kTokens;
  head_bytes_ = head.size();
  json_.reserve(head_bytes_ + static_cast<std::size_t>(count) * kTokenStrideBytes - 1 + kTailBytes);
  json_ = head;
  json_.resize(head_bytes_ + static_cast<std::size_t>(count) * kTokenStrideBytes - 1 + kTailBytes);
  std::memcpy(json_.data() + json_.size() - kTailBytes, kTail.data(), kTailBytes);
}

void TokensGeneratedWriter::punctuate() {
  char* const from = body();
  const std::size_t bytes = body_bytes();
  for (std::size_t i = 0; i < bytes; i += kTokenStrideBytes) {
    from[i] = '"';
    from[i + kTokenTextBytes + 1] = '"';
    if (i + kTokenTextBytes + 2 < bytes) from[i + kTokenTextBytes + 2] = ',';
  }
}

}  // namespace voketag::events
