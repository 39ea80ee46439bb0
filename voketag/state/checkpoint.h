#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "events/error.h"
#include "events/field.h"
#include "events/timestamp.h"

namespace voketag::cli {

// The file beside a checkpoint's database that says what belongs to it. It is written last: where
// it is, the checkpoint is whole.
inline constexpr const char* kCheckpointManifest = "checkpoint.json";
inline constexpr const char* kCheckpointFormat = "voketag-checkpoint-1";

struct CheckpointFile {
  std::string name;  // below the checkpoint's directory
  std::int64_t size_bytes = 0;
  events::Hash sha256;
  static constexpr auto fields() {
    using E = CheckpointFile;
    return std::tuple{events::Field{"name", &E::name, "Path below the checkpoint's directory"},
                      events::Field{"size_bytes", &E::size_bytes, "Its size", events::at_least(0)},
                      events::Field{"sha256", &E::sha256, "SHA-256 of its bytes"}};
  }
};

struct CheckpointManifest {
  std::string format;  // kCheckpointFormat
  events::Timestamp created_at;
  std::string instance;
  std::string topic_prefix;  // whose changelogs the state was made from
  std::string version;       // of the program
  std::vector<CheckpointFile> files;
  static constexpr auto fields() {
    using E = CheckpointManifest;
    return std::tuple{
        events::Field{"format", &E::format, "voketag-checkpoint-1"},
        events::Field{"created_at", &E::created_at, "When it was made"},
        events::Field{"instance", &E::instance, "Whose state it is"},
        events::Field{"topic_prefix", &E::topic_prefix, "Before the names of its changelogs"},
        events::Field{"version", &E::version, "The program that made it"},
        events::Field{"files", &E::files, "Every file of it but this one, by name"}};
  }
  std::int64_t size_bytes() const;
};

// Copies the state under `state_directory` into `target`, which must not be there or be empty, and
// writes the manifest, whose names the caller has filled in and whose files are filled in here.
// Nobody may hold the state meanwhile (kConflict); kNotFound: there is none; kCorrupt: it is.
events::Status make_checkpoint(const std::filesystem::path& state_directory,
                               const std::filesystem::path& target, CheckpointManifest& manifest);

bool is_checkpoint(const std::filesystem::path& directory);
events::Result<CheckpointManifest> read_manifest(const std::filesystem::path& directory);
// What is wrong with the files of a checkpoint, a line each; none: they are as they were written.
events::Result<std::vector<std::string>> check_files(const std::filesystem::path& directory,
                                                     const CheckpointManifest& manifest);

}  // namespace voketag::cli
