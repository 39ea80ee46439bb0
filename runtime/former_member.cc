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

std::optional<FormerMember> read_former_member(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto member = events::decode<FormerMember>(text);
  if (!member) return std::nullopt;
  return *std::move(member);
}

void write_former_member(const std::filesystem::path& file, const FormerMember& member) {
  const std::filesystem::path next = file.string() + ".next";
  bool written = false;
  {
    std::ofstream out(next, std::ios::binary | std::ios::trunc);
    out << events::encode(member);
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
