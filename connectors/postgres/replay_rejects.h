#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/connection.h"
#include "events/error.h"
#include "processors/projection.h"
#include "runtime/replayer.h"

namespace voketag::postgres {

struct ListedReject {
  std::string topic;  // empty: a row whose record is not known
  std::int64_t partition = 0;
  std::int64_t offset = 0;
  std::string reason;
  std::string detail;
};

// What a generation could not take: rows of voketag.replay_rejects. Lives no longer than the
// connection and the name that it is given.
class ReplayRejects final : public runtime::ReplayRejectList {
 public:
  // More than these are no list for people, but a projection that does not fit its topics.
  static constexpr std::int64_t kRejectsMax = 100'000;

  ReplayRejects(Connection& connection, std::string_view projection, std::int32_t generation)
      : connection_(connection), projection_(projection), generation_(generation) {}

  events::Status add(std::span<const runtime::ReplayReject> rejects) override;
  // Rows of a view whose key stands in an earlier one, in the transaction that is open on
  // `connection`.
  Outcome<void> add_duplicates(Connection& connection, const processors::View& view,
                               std::span<const std::string> keys) const;
  events::Result<std::int64_t> count();
  events::Result<std::vector<ListedReject>> list(std::int64_t limit);

 private:
  Connection& connection_;
  const std::string_view projection_;
  const std::int32_t generation_;
};

}  // namespace voketag::postgres
