#include "events/uuid.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <string_view>
#include <tuple>

namespace voketag::events {
namespace {

Uuid uuid(std::string_view text) {
  const auto parsed = Uuid::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed.value_or(Uuid{});
}

// Namespaces of RFC 9562 §6.6; the first answer is its appendix A.4, the others are what Python's
// uuid module gives.
TEST(UuidV5, KnownAnswers) {
  const std::tuple<std::string_view, std::string_view, std::string_view> kAnswers[] = {
      {"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com",
       "2ed6657d-e927-568b-95e1-2665a8aea6a2"},
      {"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "python.org",
       "886313e1-3b8a-5372-9b90-0c9aee199e5d"},
      {"6ba7b811-9dad-11d1-80b4-00c04fd430c8", "http://python.org/",
       "4c565f0d-3f5a-5890-b41b-20cf47701c5e"},
      {"6ba7b812-9dad-11d1-80b4-00c04fd430c8", "1.3.6.1", "1447fa61-5277-5fef-a9b3-fbc6e44f4af3"}};
  for (const auto& [name_space, name, answer] : kAnswers) {
    EXPECT_EQ(Uuid::v5(uuid(name_space), name).to_string(), answer);
  }
}

// Another value would change the id of every derived event.
TEST(Uuid, OurNamespaceIsFixed) {
  EXPECT_EQ(kNamespace.to_string(), "8f0b2a5e-6d1c-5f33-9a47-766f6b657461");
}

TEST(Uuid, AcceptsEitherCaseAndNothingElse) {
  EXPECT_EQ(uuid("0B7F3A52-4C3E-4D59-9D0C-5F2D1E6A7B80").to_string(),
            "0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80");
  for (const std::string_view text :
       {"", "0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b8", "0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b800",
        "{0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80}", "0b7f3a524c3e4d599d0c5f2d1e6a7b80",
        "0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b8g", "0b7f3a524-c3e-4d59-9d0c-5f2d1e6a7b80",
        "0b7f3a52_4c3e-4d59-9d0c-5f2d1e6a7b80", "urn:uuid:0b7f3a52-4c3e-4d59-9d0c-5f2d1e6a7b80"}) {
    EXPECT_FALSE(Uuid::parse(text)) << text;
  }
}

RC_GTEST_PROP(Uuid, TextReadsBack, ()) {
  Uuid value;
  for (auto& byte : value.bytes) byte = *rc::gen::arbitrary<std::uint8_t>();
  RC_ASSERT(Uuid::parse(value.to_string()) == value);
}

RC_GTEST_PROP(UuidV5, CarriesVersionAndVariant, (const std::string& name)) {
  const Uuid value = Uuid::v5(kNamespace, name);
  RC_ASSERT((value.bytes[6] & 0xf0) == 0x50);
  RC_ASSERT((value.bytes[8] & 0xc0) == 0x80);
}

}  // namespace
}  // namespace voketag::events
