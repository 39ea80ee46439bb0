#include "voketag/state/checkpoint.h"

#include <openssl/evp.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "events/codec_impl.h"
#include "state/database.h"
#include "voketag/output_file.h"

namespace voketag::events {

using cli::CheckpointFile;
using cli::CheckpointManifest;

template Result<CheckpointFile> decode<CheckpointFile>(std::string_view);
template std::string encode<CheckpointFile>(const CheckpointFile&);
template Result<CheckpointManifest> decode<CheckpointManifest>(std::string_view);
template std::string encode<CheckpointManifest>(const CheckpointManifest&);

}  // namespace voketag::events

namespace voketag::cli {
namespace {

namespace fs = std::filesystem;
using events::Errc;
using events::fail;
using events::Result;
using events::Status;

constexpr std::size_t kReadBytes = 1U << 20;

Result<events::Hash> hash_of(const fs::path& path) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  std::ifstream file(path, std::ios::binary);
  if (!file || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return fail(Errc::kCorrupt, "cannot read " + path.string());
  }
  std::vector<char> bytes(kReadBytes);
  while (file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())) || file.gcount() > 0) {
    EVP_DigestUpdate(context.get(), bytes.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) return fail(Errc::kCorrupt, "cannot read " + path.string() + " to its end");
  events::Hash hash;
  EVP_DigestFinal_ex(context.get(), hash.bytes.data(), nullptr);
  return hash;
}

// Names below `directory`, sorted, without the manifest.
Result<std::vector<std::string>> files_below(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->is_regular_file()) continue;
    const std::string name = entry->path().lexically_relative(directory).generic_string();
    if (name != kCheckpointManifest) names.push_back(name);
  }
  if (error) {
    return fail(Errc::kCorrupt, "cannot list " + directory.string() + ": " + error.message());
  }
  std::ranges::sort(names);
  return names;
}

Result<CheckpointFile> describe(const fs::path& directory, const std::string& name) {
  std::error_code error;
  CheckpointFile file;
  file.name = name;
  file.size_bytes = static_cast<std::int64_t>(fs::file_size(directory / name, error));
  if (error) return fail(Errc::kCorrupt, "cannot read " + name + ": " + error.message());
  auto hash = hash_of(directory / name);
  if (!hash) return tl::unexpected(hash.error());
  file.sha256 = *hash;
  return file;
}

Status write_manifest(const fs::path& directory, const CheckpointManifest& manifest) {
  auto file = OutputFile::create(directory / kCheckpointManifest);
  if (!file) return tl::unexpected(file.error());
  if (auto written = file->write(events::encode(manifest) + "\n"); !written) return written;
  return file->commit();
}

}  // namespace

std::int64_t CheckpointManifest::size_bytes() const {
  std::int64_t sum = 0;
  for (const auto& file : files) sum += file.size_bytes;
  return sum;
}

Status make_checkpoint(const fs::path& state_directory, const fs::path& target,
                       CheckpointManifest& manifest) {
  if (!state::Database::exists(state_directory)) {
    return fail(Errc::kNotFound, "there is no state in " + state_directory.string() +
                                     "; VOKETAG_STATE_DIR says where it is");
  }
  std::error_code error;
  if (fs::exists(target, error) && !fs::is_empty(target, error)) {
    return fail(Errc::kInvalid,
                target.string() + " is not empty; name a directory that is to be made");
  }
  auto database = state::Database::open(state_directory, {.move_corrupt_aside = false});
  if (!database) return tl::unexpected(database.error());
  fs::create_directories(target, error);
  if (error) {
    return fail(Errc::kInvalid, "cannot make " + target.string() + ": " + error.message());
  }
  if (auto copied = (*database)->checkpoint(target); !copied) return copied;
  auto names = files_below(target);
  if (!names) return tl::unexpected(names.error());
  for (const std::string& name : *names) {
    auto file = describe(target, name);
    if (!file) return tl::unexpected(file.error());
    manifest.files.push_back(*std::move(file));
  }
  manifest.format = kCheckpointFormat;
  return write_manifest(target, manifest);
}

bool is_checkpoint(const fs::path& directory) {
  std::error_code ignored;
  return fs::exists(directory / kCheckpointManifest, ignored);
}

Result<CheckpointManifest> read_manifest(const fs::path& directory) {
  const fs::path path = directory / kCheckpointManifest;
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto manifest = events::decode<CheckpointManifest>(text);
  if (!manifest) {
    return fail(Errc::kCorrupt, path.string() + " cannot be read: " + manifest.error().message);
  }
  if (manifest->format != kCheckpointFormat) {
    return fail(Errc::kCorrupt, path.string() + " is of a format that this program does not know");
  }
  return manifest;
}

Result<std::vector<std::string>> check_files(const fs::path& directory,
                                             const CheckpointManifest& manifest) {
  const auto names = files_below(directory);
  if (!names) return tl::unexpected(names.error());
  std::set<std::string> present(names->begin(), names->end());
  std::vector<std::string> faults;
  for (const auto& file : manifest.files) {
    if (present.erase(file.name) == 0) {
      faults.push_back(file.name + " is missing");
      continue;
    }
    const auto now = describe(directory, file.name);
    if (!now) {
      faults.push_back(now.error().message);
    } else if (now->size_bytes != file.size_bytes) {
      faults.push_back(file.name + " has " + std::to_string(now->size_bytes) + " bytes, not " +
                       std::to_string(file.size_bytes));
    } else if (now->sha256 != file.sha256) {
      faults.push_back(file.name + " has other bytes than it was written with");
    }
  }
  for (const auto& name : present) faults.push_back(name + " does not belong to it");
  return faults;
}

}  // namespace voketag::cli
