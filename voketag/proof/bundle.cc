#include "voketag/proof/bundle.h"

#include <simdjson.h>

#include <array>
#include <limits>

#include "voketag/json_text.h"
#include "voketag/proof/hex.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;

constexpr std::string_view kFormat = "voketag-proof";
constexpr std::int64_t kFormatVersion = 1;
constexpr std::size_t kDepthMax = 8;
// A tree of 2^64 leaves is this high.
constexpr std::size_t kPathMax = 64;

void write_place(JsonText& json, const TreePlace& place) {
  json.member("index", static_cast<std::int64_t>(place.index)).name("path").begin_array();
  for (const processors::Hash& hash : place.path) json.value(hash_hex(hash));
  json.end_array().member("size", static_cast<std::int64_t>(place.size));
}

// Reads members that must be there. The first that is missing or of another type is the error.
class BundleReader {
 public:
  Result<ProofBundle> read(simdjson::dom::element root) {
    const std::int64_t version = integer(root, "version");
    if (problem_.empty() && text(root, "format") != kFormat)
      problem_ = "format is not voketag-proof";
    if (problem_.empty() && version != kFormatVersion) {
      problem_ = "it has version " + std::to_string(version) + "; this program knows version 1";
    }
    ProofBundle bundle;
    bundle.token = text(root, "token");
    const auto batch = object(root, "batch");
    bundle.batch_id = uuid(batch, "id");
    bundle.batch = place(batch);
    bundle.aggregate = place(object(root, "aggregate"));
    const auto transaction = object(root, "transaction");
    const std::string network = text(transaction, "network");
    if (problem_.empty() && network != "mock") {
      problem_ = "it is anchored on another network; this program knows the mock chain only";
    }
    bundle.transaction.calldata = text(transaction, "calldata");
    bundle.transaction.id = text(transaction, "id");
    bundle.transaction.nonce = integer(transaction, "nonce");
    if (!problem_.empty()) return fail(Errc::kInvalid, problem_);
    return bundle;
  }

 private:
  template <class Value>
  Value member(simdjson::dom::element parent, std::string_view name, const char* what) {
    Value value{};
    if (problem_.empty() && parent.at_key(name).get(value) != simdjson::SUCCESS) {
      problem_ = std::string(name) + " is missing or is not " + what;
    }
    return value;
  }

  simdjson::dom::element object(simdjson::dom::element parent, std::string_view name) {
    if (!problem_.empty()) return parent;
    simdjson::dom::element value;
    if (parent.at_key(name).get(value) != simdjson::SUCCESS || !value.is_object()) {
      problem_ = std::string(name) + " is missing or is not an object";
      return parent;
    }
    return value;
  }
  std::string text(simdjson::dom::element parent, std::string_view name) {
    return std::string(member<std::string_view>(parent, name, "a text"));
  }
  std::int64_t integer(simdjson::dom::element parent, std::string_view name) {
    const auto number = member<std::int64_t>(parent, name, "a whole number");
    if (number < 0 && problem_.empty()) problem_ = std::string(name) + " is negative";
    return number;
  }
  events::Uuid uuid(simdjson::dom::element parent, std::string_view name) {
    const auto parsed = events::Uuid::parse(text(parent, name));
    if (!parsed && problem_.empty()) problem_ = std::string(name) + " is not a UUID";
    return parsed.value_or(events::Uuid{});
  }
  TreePlace place(simdjson::dom::element parent) {
    TreePlace result;
    result.index = static_cast<std::uint64_t>(integer(parent, "index"));
    result.size = static_cast<std::uint64_t>(integer(parent, "size"));
    const auto path = member<simdjson::dom::array>(parent, "path", "an array");
    if (!problem_.empty()) return result;
    if (path.size() > kPathMax) problem_ = "path is longer than any tree is high";
    for (const simdjson::dom::element element : path) {
      if (!problem_.empty()) break;
      std::string_view digits;
      const bool is_text = element.get(digits) == simdjson::SUCCESS;
      const auto hash = is_text ? parse_hash_hex(digits) : std::nullopt;
      if (hash) {
        result.path.push_back(*hash);
      } else {
        problem_ = "path holds something that is not 64 lower-case hex digits";
      }
    }
    return result;
  }

  std::string problem_;
};

}  // namespace

std::string encode_bundle(const ProofBundle& bundle) {
  JsonText json;
  json.begin_object().name("aggregate").begin_object();
  write_place(json, bundle.aggregate);
  json.end_object().name("batch").begin_object().member("id", bundle.batch_id.to_string());
  write_place(json, bundle.batch);
  json.end_object()
      .member("format", kFormat)
      .member("token", bundle.token)
      .name("transaction")
      .begin_object()
      .member("calldata", bundle.transaction.calldata)
      .member("id", bundle.transaction.id)
      .member("network", "mock")
      .member("nonce", bundle.transaction.nonce)
      .end_object()
      .member("version", kFormatVersion)
      .end_object();
  return json.text() + "\n";
}

Result<ProofBundle> decode_bundle(std::string_view json) {
  if (json.size() > kBundleBytesMax) {
    return fail(Errc::kInvalid, "the file is too large to be a proof bundle");
  }
  simdjson::dom::parser parser(kBundleBytesMax);
  simdjson::dom::element root;
  if (parser.allocate(kBundleBytesMax, kDepthMax) != simdjson::SUCCESS) {
    return fail(Errc::kExhausted, "there is no memory to read the proof bundle");
  }
  if (const auto error = parser.parse(json.data(), json.size()).get(root);
      error != simdjson::SUCCESS || !root.is_object()) {
    return fail(Errc::kInvalid, std::string("the file is not a proof bundle: ") +
                                    (error != simdjson::SUCCESS ? simdjson::error_message(error)
                                                                : "its JSON is no object"));
  }
  auto bundle = BundleReader().read(root);
  if (!bundle)
    return fail(Errc::kInvalid, "the file is not a proof bundle: " + bundle.error().message);
  if (encode_bundle(*bundle) != json) {
    return fail(
        Errc::kInvalid,
        "the file holds a proof bundle, but not spelt as one must be (RFC 8785 and one line "
        "end), so parts of it would go unchecked. If it was only reformatted: jq -cS . FILE");
  }
  return bundle;
}

}  // namespace voketag::cli
