#include "runtime/former_member.h"

#include <spdlog/spdlog.h>

#include <fstream>
#include <iterator>
#include <system_error>

#include "events/codec_impl.h"

namespace voketag::events {

template Result<runtime::FormerMember> decode<runtime::FormerMember>(std::string_view);
template std::string encode<runtime::FormerMember>(const runtime::FormerMember&);

}  // namespace voketag::events

namespace voketag::runtime {

namespace {

std::optional<FormerMember> read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto member = events::decode<FormerMember>(text);
  if (!member) return std::nullopt;
  return *std::move(member);
}

}  // namespace

std::optional<ReturnedMember> resume_former_member(Log& log, std::string_view group,
                                                   std::string_view who,
                                                   const std::filesystem::path& file) {
  const auto former = read(file);
  if (!former) return std::nullopt;
  auto member = log.resume(group, former->identity);
  if (!member) {
    spdlog::warn("{} waits for its group: {}", who, member.error().message);
    return std::nullopt;
  }
  if (*member == nullptr) return std::nullopt;
  ReturnedMember returned{*std::move(member), {}};
  for (const auto partition : former->partitions) {
    returned.partitions.push_back(static_cast<std::int32_t>(partition));
  }
  spdlog::info("{} goes on with {} partitions until its group has noticed the crash", who,
               returned.partitions.size());
  return returned;
}

void write_former_member(const std::filesystem::path& file, const Membership& member,
                         const std::set<std::int32_t>& owned) {
  if (file.empty()) return;
  const FormerMember former{member.identity(), {owned.begin(), owned.end()}};
  const std::filesystem::path next = file.string() + ".next";
  bool written = false;
  {
    std::ofstream out(next, std::ios::binary | std::ios::trunc);
    out << events::encode(former);
    out.close();
    written = out.good();
  }
  std::error_code failed;
  if (written) std::filesystem::rename(next, file, failed);
  if (written && !failed) return;
  spdlog::warn(
      "{} was not written: after a crash this process waits for the session of its dead "
      "member; the state directory must be writable",
      file.string());
}

void erase_former_member(const std::filesystem::path& file) {
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
}

}  // namespace voketag::runtime
