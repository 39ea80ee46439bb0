#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "events/field.h"

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

// None: there is no file, or none that can be read.
std::optional<FormerMember> read_former_member(const std::filesystem::path& file);

// Replaces the file as a whole. Where that fails a restart takes longer, and the log says so.
void write_former_member(const std::filesystem::path& file, const FormerMember& member);

void erase_former_member(const std::filesystem::path& file);

}  // namespace voketag::runtime
