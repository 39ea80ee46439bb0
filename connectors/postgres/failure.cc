#include "connectors/postgres/failure.h"

#include <algorithm>
#include <array>

namespace voketag::postgres {
namespace {

// 40001 serialization failure, 40P01 deadlock, 55P03 lock not available, 57014 statement timeout.
constexpr std::array<std::string_view, 4> kRetried{"40001", "40P01", "55P03", "57014"};

// 57P01 to 57P05: the server shuts down, crashed, starts or ends idle sessions. 25006: the server
// has become a standby. 25P02 and 25P03: the transaction was ended under us.
constexpr std::array<std::string_view, 8> kGone{"57P01", "57P02", "57P03", "57P04",
                                                "57P05", "25006", "25P02", "25P03"};

template <std::size_t Size>
bool contains(const std::array<std::string_view, Size>& states, std::string_view sqlstate) {
  return std::find(states.begin(), states.end(), sqlstate) != states.end();
}

}  // namespace

FailureKind classify(std::string_view sqlstate) {
  if (sqlstate.empty() || contains(kGone, sqlstate)) return FailureKind::kUnavailable;
  if (contains(kRetried, sqlstate)) return FailureKind::kRetry;
  if (sqlstate == kFencedSqlstate) return FailureKind::kFenced;
  // 54000: a value that no index can hold. It is the row's fault as much as a value out of range.
  if (sqlstate == "54000") return FailureKind::kRefused;
  const std::string_view category = sqlstate.substr(0, 2);
  // Data exceptions and broken constraints.
  if (category == "22" || category == "23") return FailureKind::kRefused;
  // Connection exceptions, lack of resources (disk full, memory, connections), system errors.
  if (category == "08" || category == "53" || category == "58") return FailureKind::kUnavailable;
  return FailureKind::kFatal;
}

events::Error to_error(const Failure& failure) {
  std::string message = "PostgreSQL: " + failure.message;
  if (!failure.sqlstate.empty()) message += " (SQLSTATE " + failure.sqlstate + ")";
  switch (failure.kind) {
    case FailureKind::kRetry:
    case FailureKind::kUnavailable:
      return {events::Errc::kUnavailable, std::move(message)};
    case FailureKind::kRefused:
      return {events::Errc::kInvalid, std::move(message)};
    case FailureKind::kFenced:
      return {events::Errc::kFenced, std::move(message)};
    case FailureKind::kFatal:
      break;
  }
  if (failure.sqlstate == "42P01" || failure.sqlstate == "3F000" || failure.sqlstate == "42703" ||
      failure.sqlstate == "42883" || failure.sqlstate == "42704") {
    message += ". Bring the schema up to date: voketag migrate";
  } else if (failure.sqlstate == "42501") {
    message += ". Give the role of VOKETAG_POSTGRES all rights on the schema voketag";
  }
  return {events::Errc::kInternal, std::move(message)};
}

}  // namespace voketag::postgres
