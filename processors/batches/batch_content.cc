#include "processors/batches/batch_content.h"

#include <array>
#include <cstdint>
#include <optional>

#include "processors/hash/sha256.h"

namespace voketag::processors {
namespace {

constexpr std::array<std::string_view, 9> kFieldNames{"tenant", "product_count", "first_serial",
                                                      "sku",    "gtin",          "lot",
                                                      "name",   "metadata",      "callback_url"};
constexpr std::size_t kMarkDigits = 4;

// Gathers the fields in the order of kFieldNames.
class Fingerprint {
 public:
  void add(std::optional<std::string_view> value) {
    const auto text = value.value_or(std::string_view{});
    // The length keeps neighbours apart, and an absent field from an empty one.
    bytes_ += value ? std::to_string(text.size()) : "-";
    bytes_ += ':';
    bytes_ += text;
    append_mark(value ? fnv1a(text) : 0);
  }

  BatchContent finish() && { return {events::Hash{sha256(bytes_)}, std::move(marks_)}; }

 private:
  static std::uint32_t fnv1a(std::string_view text) {
    std::uint32_t hash = 2166136261U;
    for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
    return hash;
  }

  void append_mark(std::uint32_t hash) {
    const std::uint32_t mark = (hash >> 16) ^ (hash & 0xffff);
    for (int shift = 12; shift >= 0; shift -= 4) marks_ += "0123456789abcdef"[(mark >> shift) & 15];
  }

  std::string bytes_;
  std::string marks_;
};

std::optional<std::string_view> view(const std::optional<std::string>& text) {
  return text ? std::optional<std::string_view>(*text) : std::nullopt;
}

}  // namespace

BatchContent BatchContent::of(const events::BatchAccepted& batch) {
  Fingerprint fingerprint;
  fingerprint.add(batch.tenant);
  fingerprint.add(std::to_string(batch.product_count));
  fingerprint.add(std::to_string(batch.first_serial));
  fingerprint.add(view(batch.sku));
  fingerprint.add(view(batch.gtin));
  fingerprint.add(view(batch.lot));
  fingerprint.add(view(batch.name));
  fingerprint.add(batch.metadata ? std::optional<std::string_view>(batch.metadata->text)
                                 : std::nullopt);
  fingerprint.add(view(batch.callback_url));
  return std::move(fingerprint).finish();
}

std::string BatchContent::differing_fields(const BatchContent& other) const {
  std::string names;
  for (std::size_t i = 0; i < kFieldNames.size(); ++i) {
    const auto at = i * kMarkDigits;
    if (field_marks.compare(at, kMarkDigits, other.field_marks, at, kMarkDigits) == 0) continue;
    if (!names.empty()) names += ", ";
    names += kFieldNames[i];
  }
  return names.empty() ? "content" : names;
}

}  // namespace voketag::processors
