#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "events/field.h"
#include "runtime/log.h"

// After a crash the consumer group still counts the dead member in, until its session ends: seconds
// in which nobody else owns its partitions. The process that comes back goes on in its name for
// that long (docs/decisions/0008-going-on-after-a-crash.md).
namespace voketag::runtime {

// What a member of a group was last given; kept in a file beside the state.
struct FormerMember {
  std::string identity;                  // Membership::identity
  std::vector<std::int64_t> partitions;  // of the group's topic
  static constexpr auto fields() {
    return std::tuple{
        events::Field{"identity", &FormerMember::identity, "What proves the membership"},
        events::Field{"partitions", &FormerMember::partitions, "What it owned"}};
  }
};

// What log.resume makes of the file: the dead member, and what it owned. None where there is no
// such file (or `file` is empty), where it cannot be read, or where the group counts the member no
// more; where the group cannot be asked, the log says so. `who` is for the log.
struct ReturnedMember {
  std::unique_ptr<Membership> member;
  std::vector<std::int32_t> partitions;
};
std::optional<ReturnedMember> resume_former_member(Log& log, std::string_view group,
                                                   std::string_view who,
                                                   const std::filesystem::path& file);

// Replaces the file as a whole; an empty `file` keeps nothing. Where that fails a restart takes
// longer, and the log says so.
void write_former_member(const std::filesystem::path& file, const Membership& member,
                         const std::set<std::int32_t>& owned);

void erase_former_member(const std::filesystem::path& file);

}  // namespace voketag::runtime
