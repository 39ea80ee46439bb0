#include "connectors/postgres/failure.h"

#include <gmock/gmock.h>

#include <string_view>

namespace voketag::postgres {
namespace {

TEST(FailureTest, EverySqlstateAllowsOneThing) {
  const std::pair<std::string_view, FailureKind> cases[] = {
      {"40001", FailureKind::kRetry},        // serialization failure
      {"40P01", FailureKind::kRetry},        // deadlock
      {"55P03", FailureKind::kRetry},        // lock timeout
      {"57014", FailureKind::kRetry},        // statement timeout
      {"22021", FailureKind::kRefused},      // not in the encoding
      {"22P02", FailureKind::kRefused},      // no such enum label
      {"23505", FailureKind::kRefused},      // unique violation
      {"23502", FailureKind::kRefused},      // not null violation
      {"54000", FailureKind::kRefused},      // too large for an index
      {"VT001", FailureKind::kFenced},       //
      {"", FailureKind::kUnavailable},       // the server said nothing more
      {"08006", FailureKind::kUnavailable},  // connection failure
      {"53100", FailureKind::kUnavailable},  // disk full
      {"57P01", FailureKind::kUnavailable},  // administrator's shutdown
      {"25006", FailureKind::kUnavailable},  // now a standby
      {"42P01", FailureKind::kFatal},        // no such table
      {"42501", FailureKind::kFatal},        // not allowed
      {"28P01", FailureKind::kFatal},        // wrong password
  };
  for (const auto& [sqlstate, kind] : cases) EXPECT_EQ(classify(sqlstate), kind) << sqlstate;
}

TEST(FailureTest, AMissingTableNamesTheCure) {
  const auto error = to_error({FailureKind::kFatal, "42P01", "no table"});
  EXPECT_EQ(error.code, events::Errc::kInternal);
  EXPECT_THAT(error.message, ::testing::HasSubstr("voketag migrate"));
}

}  // namespace
}  // namespace voketag::postgres
