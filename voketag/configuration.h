#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "events/error.h"
#include "processors/tokens/token_keys.h"
#include "state/database.h"

namespace voketag::cli {

// One environment variable that VokeTag reads. The table of all of them (known_variables) is what
// the reader, the warnings about unknown names and docs/configuration.md are made from.
struct Variable {
  std::string_view name;
  bool secret = false;        // never shown; may also be given as <name>_FILE
  std::string_view fallback;  // what holds when it is not set, for people
  std::string_view example;
  std::string_view meaning;
};
std::span<const Variable> known_variables();

// The parts of the main job that a process may run; `run` takes all of them unless told otherwise.
enum class Role { kIngress, kBatches, kTokens, kMerkle, kAnchoring, kProjections };
std::string_view to_string(Role role);
events::Result<std::set<Role>> parse_roles(std::string_view text);

using Environment = std::map<std::string, std::string>;
// The variables of this process.
Environment process_environment();

enum class LogFormat { kAutomatic, kJson, kText };

// Everything that can be set, read and checked once at start. Immutable afterwards.
//
// The environment wins over the TOML file, whose keys are the variables' names in lower case
// without `voketag_`. A secret that is not needed is never an obstacle: whether it can be read
// shows when it is asked for. No secret is ever part of an error or a warning.
class Configuration {
 public:
  // kInvalid lists everything that is wrong, one line each: the variable, what is wrong with it, an
  // example. Unknown names in the environment are warnings, in the file errors.
  static events::Result<Configuration> load(const Environment& environment,
                                            const std::optional<std::filesystem::path>& file = {});

  // Bootstrap servers; an error when they are not set.
  events::Result<std::string> kafka() const;
  bool has_kafka() const { return kafka_.has_value(); }
  // Properties of librdkafka, in its own spelling: VOKETAG_KAFKA_SASL_USERNAME is sasl.username.
  const std::vector<std::pair<std::string, std::string>>& kafka_properties() const {
    return kafka_properties_;
  }

  // A libpq URL or connection string; an error when it is not set, its file cannot be read, or
  // libpq cannot make sense of it.
  events::Result<std::string> postgres() const;
  bool has_postgres() const { return postgres_.is_set(); }

  events::Result<processors::TokenKeys> token_keys() const;
  bool has_token_keys() const { return token_keys_.is_set(); }

  const std::vector<std::string>& warnings() const { return warnings_; }

  std::filesystem::path state_directory;
  std::string instance;
  std::string topic_prefix = "voketag.";
  std::string verification_url_base = "https://verify.example";
  std::set<Role> roles;
  std::int64_t mock_block_time_ms = 2000;
  std::int64_t commit_interval_ms = 100;
  std::int64_t chunk_size = 1024;
  std::int64_t products_in_flight = 393'216;
  // One per core, four at most: while one waits for its commit, another goes on.
  std::int64_t workers = std::clamp<std::int64_t>(std::thread::hardware_concurrency(), 1, 4);
  // A take-over without them reads the whole changelog; what they cost is disk, and state is
  // little.
  bool standbys = true;
  std::int64_t block_cache_mib = state::DatabaseOptions().block_cache_bytes >> 20U;
  std::int64_t write_buffer_mib = state::DatabaseOptions().write_buffer_bytes >> 20U;
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kAutomatic;

 private:
  friend class ConfigurationReader;

  // A secret's text, or why it cannot be had; empty: it is not set.
  struct Secret {
    std::optional<events::Result<std::string>> value;
    bool is_set() const { return value.has_value(); }
  };

  Configuration() = default;

  std::optional<std::string> kafka_;
  std::vector<std::pair<std::string, std::string>> kafka_properties_;
  Secret postgres_;
  Secret token_keys_;
  std::vector<std::string> warnings_;
};

}  // namespace voketag::cli
