#include "voketag/configuration.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "connectors/kafka/options.h"
#include "connectors/postgres/connection.h"
#include "voketag/nearest_name.h"
#include "voketag/whole_number.h"

extern char** environ;

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;
using events::Status;

constexpr std::string_view kKafkaPassThrough = "VOKETAG_KAFKA_";
constexpr std::string_view kFileSuffix = "_FILE";
// A secret is a line of text; a file of another size is the wrong file.
constexpr std::size_t kSecretFileBytesMax = 64 * 1024;

constexpr std::array kVariables = std::to_array<Variable>({
    {"VOKETAG_KAFKA", false, "none", "broker-1:9092,broker-2:9092",
     "The Kafka brokers to begin with. Any librdkafka property may be set beside it as "
     "VOKETAG_KAFKA_<PROPERTY>, dots written as underscores"},
    {"VOKETAG_POSTGRES", true, "none", "postgresql://voketag:password@db:5432/voketag",
     "The database of the views, as libpq URL"},
    {"VOKETAG_TOKEN_KEYS", true, "none", "1:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA",
     "The keys that sign and verify tokens: id:base64url of at least 32 random bytes, separated by "
     "commas. The first signs, all verify"},
    {"VERIFICATION_URL_BASE", false, "https://verify.example", "https://verify.brand.example",
     "What a token's URL begins with: {base}/r/{token}"},
    {"VOKETAG_STATE_DIR", false, "$XDG_STATE_HOME/voketag, or ~/.local/state/voketag",
     "/var/lib/voketag", "Where the local state lies; can be thrown away, is rebuilt from Kafka"},
    {"VOKETAG_INSTANCE", false, "from host and VOKETAG_STATE_DIR", "factory-1",
     "Names this process among all that run; keep it over restarts, never share it"},
    {"VOKETAG_ROLES", false, "all", "ingress,batches,tokens,merkle,anchoring,projections",
     "Which parts `voketag run` runs"},
    {"VOKETAG_TOPIC_PREFIX", false, "voketag.", "voketag-staging.",
     "What the names of topics, consumer groups and transactional ids begin with"},
    {"VOKETAG_WORKERS", false, "one per core, 4 at most", "2",
     "Workers of what has much to do: batches, tokens, the view of products"},
    {"VOKETAG_STANDBYS", false, "on", "off",
     "Whether the state of the other instances is followed, so that a take-over needs no restore: "
     "on or off"},
    {"VOKETAG_CHUNK_SIZE", false, "1024", "4096",
     "Products per chunk of a batch; a power of two. Batches keep the size they began with"},
    {"VOKETAG_PRODUCTS_IN_FLIGHT", false, "393216", "100000",
     "How many products of one batch are in generation at once: bounds how long a small batch "
     "waits "
     "behind a great one"},
    {"VOKETAG_COMMIT_INTERVAL_MS", false, "100", "20",
     "How long a transaction gathers at most: short for latency, long for throughput"},
    {"VOKETAG_MOCK_BLOCK_TIME_MS", false, "2000", "0", "The simulated chain's time between blocks"},
    {"VOKETAG_BLOCK_CACHE_MIB", false, "48", "256", "Memory to cache state in, of all stores"},
    {"VOKETAG_WRITE_BUFFER_MIB", false, "32", "64", "Memory to buffer state in, of all stores"},
    {"VOKETAG_LOG_LEVEL", false, "info", "debug", "trace, debug, info, warn, error or off"},
    {"VOKETAG_LOG_FORMAT", false, "text on a terminal, else json", "json", "json or text"},
    {"BLOCKCHAIN_RPC_URL", false, "none: the mock chain", "",
     "A chain's JSON-RPC. Refused by this version, which knows the mock chain only"},
    {"BLOCKCHAIN_PRIVATE_KEY", true, "none", "", "Not used by this version"},
    {"BATCH_COMPLETION_WEBHOOK_URL", false, "none", "", "Not used by this version"},
});

// Set by ./dev env for other programs, or read by others of ours: no reason to warn.
constexpr std::array<std::string_view, 3> kForOthers = {"VOKETAG_URL", "VOKETAG_ADMIN_TOKEN",
                                                        "VOKETAG_CONFIG"};

// Properties of librdkafka whose values must not be shown, so that they too can come from a file.
constexpr std::array<std::string_view, 7> kSecretKafkaProperties = {
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase"};

constexpr std::array kRoles = std::to_array<std::pair<Role, std::string_view>>({
    {Role::kIngress, "ingress"},
    {Role::kBatches, "batches"},
    {Role::kTokens, "tokens"},
    {Role::kMerkle, "merkle"},
    {Role::kAnchoring, "anchoring"},
    {Role::kProjections, "projections"},
});

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string shown(std::string_view text) {
  constexpr std::size_t kShownBytesMax = 80;
  std::string result = "\"";
  for (const char c : text.substr(0, kShownBytesMax)) result += c >= ' ' && c <= '~' ? c : '?';
  return result + (text.size() > kShownBytesMax ? "...\"" : "\"");
}

const Variable& variable(std::string_view name) {
  return *std::ranges::find(kVariables, name, &Variable::name);
}

bool ends_with_file(std::string_view name) {
  return name.ends_with(kFileSuffix);
}

// sasl.username of VOKETAG_KAFKA_SASL_USERNAME. No property of librdkafka that holds a value has an
// underscore in its name.
std::string kafka_property(std::string_view name) {
  std::string property = lower(name.substr(kKafkaPassThrough.size()));
  std::ranges::replace(property, '_', '.');
  return property;
}

bool is_secret_kafka_property(std::string_view property) {
  return std::ranges::find(kSecretKafkaProperties, property) != kSecretKafkaProperties.end();
}

// A file's key is the variable's name in lower case, without the prefix that most have.
std::string file_key(std::string_view name) {
  constexpr std::string_view kPrefix = "VOKETAG_";
  if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
  return lower(name);
}

std::string legible_instance(std::string_view name) {
  std::string result;
  for (const char c : lower(name)) {
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    result += allowed ? c : '-';
  }
  return result.substr(0, 64);
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "voketag";
  return legible_instance(name.data());
}

// Two processes on one host have different state directories, and so different names; one that
// comes back has both again. FNV-1a, 24 bits of it.
std::string host_name_for(const std::filesystem::path& state_directory) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : state_directory.lexically_normal().string()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  std::array<char, 8> digits{};
  std::snprintf(digits.data(), digits.size(), "%06x", static_cast<unsigned>(hash & 0xffffffU));
  return host_name() + "-" + digits.data();
}

std::filesystem::path default_state_directory(const Environment& environment) {
  const auto value = [&](const char* name) -> std::string {
    const auto found = environment.find(name);
    return found == environment.end() ? "" : found->second;
  };
  if (const std::string base = value("XDG_STATE_HOME"); !base.empty()) {
    return std::filesystem::path(base) / "voketag";
  }
  if (const std::string home = value("HOME"); !home.empty()) {
    return std::filesystem::path(home) / ".local/state/voketag";
  }
  return "/var/lib/voketag";
}

Result<std::string> read_secret_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Errc::kInvalid, "cannot read the file " + path + ": " + strerror(errno));
  std::string text(kSecretFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return fail(Errc::kInvalid, "cannot read the file " + path);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kSecretFileBytesMax) {
    return fail(Errc::kInvalid, "the file " + path + " is too large to hold a secret");
  }
  text = std::string(trimmed(text));
  if (text.empty()) return fail(Errc::kInvalid, "the file " + path + " is empty");
  return text;
}

}  // namespace

std::span<const Variable> known_variables() {
  return kVariables;
}

std::string_view to_string(Role role) {
  return std::ranges::find(kRoles, role, &std::pair<Role, std::string_view>::first)->second;
}

Result<std::set<Role>> parse_roles(std::string_view text) {
  std::set<Role> roles;
  for (const std::string_view name : split(text, ',')) {
    const auto found = std::ranges::find(kRoles, name, &std::pair<Role, std::string_view>::second);
    if (found != kRoles.end()) {
      roles.insert(found->first);
      continue;
    }
    if (name == "all") {
      for (const auto& role : kRoles) roles.insert(role.first);
      continue;
    }
    std::vector<std::string> names;
    names.reserve(kRoles.size());
    for (const auto& role : kRoles) names.emplace_back(role.second);
    const auto meant = nearest_name(name, names);
    return fail(Errc::kInvalid, "there is no role " + shown(name) +
                                    (meant ? "; did you mean " + *meant + "?" : ".") +
                                    " The roles: ingress, batches, tokens, merkle, anchoring, "
                                    "projections, all");
  }
  return roles;
}

Environment process_environment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

// Reads one configuration; gathers what is wrong instead of stopping at the first.
class ConfigurationReader {
 public:
  explicit ConfigurationReader(const Environment& environment) : environment_(environment) {}

  Result<Configuration> read(const std::optional<std::filesystem::path>& file) {
    if (file) read_file(*file);
    read_kafka();
    read_places();
    read_numbers();
    read_choices();
    read_chain();
    warn_about_unknown_names();
    if (problems_.empty()) return std::move(result_);
    std::string message;
    for (const std::string& problem : problems_) {
      message += (message.empty() ? "" : "\n") + problem;
    }
    return fail(Errc::kInvalid, message);
  }

 private:
  struct Found {
    std::string text;
    std::string where;  // the variable or the file's key, for messages
  };

  // An empty variable counts as one that is not set: that is how many tools unset one.
  std::optional<Found> find(std::string_view name) const {
    const auto set = environment_.find(std::string(name));
    if (set != environment_.end() && !trimmed(set->second).empty()) {
      return Found{std::string(trimmed(set->second)), std::string(name)};
    }
    const auto in_file = file_values_.find(file_key(name));
    if (in_file != file_values_.end()) {
      return Found{in_file->second, in_file->first + " (in " + file_name_ + ")"};
    }
    return std::nullopt;
  }

  void problem(std::string_view where, std::string_view what, std::string_view example = {}) {
    std::string text = std::string(where) + ": " + std::string(what);
    if (!example.empty()) text += "; for example " + std::string(example);
    problems_.push_back(std::move(text));
  }

  static std::string example_of(std::string_view name) {
    return std::string(name) + "=" + std::string(variable(name).example);
  }

  // ---- the file

  void read_file(const std::filesystem::path& path) {
    file_name_ = path.string();
    const toml::parse_result parsed = toml::parse_file(file_name_);
    if (!parsed) {
      std::ostringstream where;
      where << file_name_ << " line " << parsed.error().source().begin.line;
      problem(where.str(), parsed.error().description());
      return;
    }
    for (const auto& [key, node] : parsed.table()) {
      const std::string name(key.str());
      if (!is_known_file_key(name)) {
        const auto meant = nearest_name(name, known_file_keys());
        problem(file_name_, "there is no setting " + shown(name) +
                                (meant ? "; did you mean " + *meant + "?" : ""));
        continue;
      }
      read_file_value(name, node);
    }
  }

  void read_file_value(const std::string& name, const toml::node& node) {
    if (const auto text = node.value_exact<std::string>()) {
      file_values_[name] = std::string(trimmed(*text));
    } else if (const auto number = node.value_exact<std::int64_t>()) {
      file_values_[name] = std::to_string(*number);
    } else if (const auto flag = node.value_exact<bool>()) {
      file_values_[name] = *flag ? "true" : "false";
    } else {
      problem(name + " (in " + file_name_ + ")", "must be a text or a whole number");
    }
    if (file_values_[name].empty()) file_values_.erase(name);
  }

  static std::vector<std::string> known_file_keys() {
    std::vector<std::string> keys;
    for (const Variable& known : kVariables) {
      keys.push_back(file_key(known.name));
      if (known.secret) keys.push_back(keys.back() + "_file");
    }
    return keys;
  }

  static bool is_known_file_key(const std::string& key) {
    const auto keys = known_file_keys();
    return key.starts_with("kafka_") || std::ranges::find(keys, key) != keys.end();
  }

  // ---- secrets

  std::optional<Result<std::string>> read_secret(std::string_view name) {
    const std::string file_variable = std::string(name) + std::string(kFileSuffix);
    const auto value = find(name);
    const auto path = find(file_variable);
    if (value && path) {
      problem(name, "is set, and so is " + path->where + ": unset one of them");
      return std::nullopt;
    }
    if (value) return value->text;
    if (!path) return std::nullopt;
    auto text = read_secret_file(path->text);
    if (!text) return fail(text.error().code, path->where + ": " + text.error().message);
    return text;
  }

  // ---- groups of settings

  void read_kafka() {
    if (const auto servers = find("VOKETAG_KAFKA")) {
      if (check_servers(*servers)) result_.kafka_ = servers->text;
    }
    std::map<std::string, std::string> names;  // property -> variable
    for (const auto& [name, text] : environment_) {
      if (name.starts_with(kKafkaPassThrough) && !trimmed(text).empty()) add_kafka(name, names);
    }
    for (const auto& [key, text] : file_values_) {
      std::string name = "VOKETAG_" + key;
      for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      if (name.starts_with(kKafkaPassThrough)) add_kafka(name, names);
    }
    for (const auto& [property, name] : names) read_kafka_property(property, name);
  }

  static void add_kafka(const std::string& name, std::map<std::string, std::string>& names) {
    std::string property = kafka_property(name);
    std::string base = name;
    if (ends_with_file(name)) {
      const std::string without = name.substr(0, name.size() - kFileSuffix.size());
      if (is_secret_kafka_property(kafka_property(without))) {
        property = kafka_property(without);
        base = without;
      }
    }
    names.emplace(std::move(property), std::move(base));
  }

  void read_kafka_property(const std::string& property, const std::string& name) {
    if (kafka::reserved_property(property)) {
      const bool servers = property == "bootstrap.servers" || property == "metadata.broker.list";
      problem(name, servers ? "the brokers are set by VOKETAG_KAFKA"
                            : property + " is VokeTag's own: exactly-once depends on it; unset it");
      return;
    }
    if (is_secret_kafka_property(property)) {
      const auto secret = read_secret(name);
      if (!secret) return;
      if (!*secret) {
        problems_.push_back(secret->error().message);
      } else {
        result_.kafka_properties_.emplace_back(property, **secret);
      }
      return;
    }
    if (const auto value = find(name))
      result_.kafka_properties_.emplace_back(property, value->text);
  }

  bool check_servers(const Found& servers) {
    if (servers.text.find('@') != std::string::npos) {
      // What stands before the @ is a password, most likely, and is not repeated.
      problem(servers.where,
              "contains an @, but takes host:port alone: user and password are set by "
              "VOKETAG_KAFKA_SASL_USERNAME and VOKETAG_KAFKA_SASL_PASSWORD or "
              "VOKETAG_KAFKA_SASL_PASSWORD_FILE",
              example_of("VOKETAG_KAFKA"));
      return false;
    }
    for (const std::string_view server : split(servers.text, ',')) {
      const std::size_t colon = server.rfind(':');
      const std::string_view port =
          colon == std::string_view::npos ? "9092" : server.substr(colon + 1);
      int number = 0;
      const auto read = std::from_chars(port.data(), port.data() + port.size(), number);
      const bool port_is_good = read.ec == std::errc() && read.ptr == port.data() + port.size() &&
                                number > 0 && number <= 65535;
      if (server.empty() || colon == 0 || !port_is_good ||
          server.find_first_of(" /") != std::string_view::npos) {
        problem(servers.where,
                "must be host:port, several separated by commas, not " + shown(servers.text),
                example_of("VOKETAG_KAFKA"));
        return false;
      }
    }
    return true;
  }

  void read_places() {
    result_.postgres_.value = read_secret("VOKETAG_POSTGRES");
    result_.token_keys_.value = read_secret("VOKETAG_TOKEN_KEYS");
    result_.state_directory = default_state_directory(environment_);
    result_.instance = host_name();
    if (const auto directory = find("VOKETAG_STATE_DIR")) {
      result_.state_directory = directory->text;
      result_.instance = host_name_for(result_.state_directory);
    }
    if (const auto instance = find("VOKETAG_INSTANCE")) read_instance(*instance);
    if (const auto prefix = find("VOKETAG_TOPIC_PREFIX")) read_prefix(*prefix);
    if (const auto base = find("VERIFICATION_URL_BASE")) read_url_base(*base);
  }

  void read_instance(const Found& instance) {
    if (legible_instance(instance.text) != instance.text) {
      problem(
          instance.where,
          "may have at most 64 lower-case letters, digits, - and _, not " + shown(instance.text),
          "VOKETAG_INSTANCE=" + legible_instance(instance.text));
      return;
    }
    result_.instance = instance.text;
  }

  void read_prefix(const Found& prefix) {
    const bool legible = std::ranges::all_of(prefix.text, [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
    });
    if (!legible || prefix.text.size() > 64) {
      problem(prefix.where,
              "may have at most 64 letters, digits, dots, - and _, not " + shown(prefix.text),
              example_of("VOKETAG_TOPIC_PREFIX"));
      return;
    }
    result_.topic_prefix = prefix.text;
  }

  void read_url_base(const Found& base) {
    std::string text = base.text;
    while (text.ends_with('/')) text.pop_back();
    const bool http = text.starts_with("https://") || text.starts_with("http://");
    const std::size_t host = text.find("://");
    if (!http || host + 3 >= text.size() || text.find_first_of(" ?#\"<>") != std::string::npos) {
      problem(base.where, "must be an http or https URL without query, not " + shown(base.text),
              example_of("VERIFICATION_URL_BASE"));
      return;
    }
    result_.verification_url_base = text;
  }

  void read_numbers() {
    read_number("VOKETAG_MOCK_BLOCK_TIME_MS", 0, 3'600'000, result_.mock_block_time_ms);
    read_number("VOKETAG_COMMIT_INTERVAL_MS", 1, 10'000, result_.commit_interval_ms);
    read_number("VOKETAG_CHUNK_SIZE", 1, 65'536, result_.chunk_size);
    read_number("VOKETAG_PRODUCTS_IN_FLIGHT", 1, 10'000'000, result_.products_in_flight);
    read_number("VOKETAG_WORKERS", 1, 12, result_.workers);
    read_number("VOKETAG_BLOCK_CACHE_MIB", 1, 65'536, result_.block_cache_mib);
    read_number("VOKETAG_WRITE_BUFFER_MIB", 1, 65'536, result_.write_buffer_mib);
    if (!std::has_single_bit(static_cast<std::uint64_t>(result_.chunk_size))) {
      problem("VOKETAG_CHUNK_SIZE",
              "must be a power of two, not " + std::to_string(result_.chunk_size),
              example_of("VOKETAG_CHUNK_SIZE"));
    }
  }

  void read_number(std::string_view name, std::int64_t minimum, std::int64_t maximum,
                   std::int64_t& value) {
    const auto found = find(name);
    if (!found) return;
    const auto number = parse_whole_number(found->text, minimum, maximum);
    if (!number) {
      problem(found->where, number.error().message, example_of(name));
      return;
    }
    value = *number;
  }

  void read_choices() {
    result_.roles = *parse_roles("all");
    if (const auto roles = find("VOKETAG_ROLES")) {
      auto parsed = parse_roles(roles->text);
      if (parsed) {
        result_.roles = *std::move(parsed);
      } else {
        problem(roles->where, parsed.error().message);
      }
    }
    if (const auto standbys = find("VOKETAG_STANDBYS")) {
      if (standbys->text != "on" && standbys->text != "off") {
        problem(standbys->where, "must be on or off, not " + shown(standbys->text));
      }
      result_.standbys = standbys->text == "on";
    }
    if (const auto level = find("VOKETAG_LOG_LEVEL")) {
      constexpr std::array<std::string_view, 6> kLevels = {"trace", "debug", "info",
                                                           "warn",  "error", "off"};
      if (std::ranges::find(kLevels, level->text) == kLevels.end()) {
        problem(level->where,
                "must be trace, debug, info, warn, error or off, not " + shown(level->text));
      }
      result_.log_level = level->text;
    }
    if (const auto format = find("VOKETAG_LOG_FORMAT")) {
      if (format->text != "json" && format->text != "text") {
        problem(format->where, "must be json or text, not " + shown(format->text));
      }
      result_.log_format = format->text == "json" ? LogFormat::kJson : LogFormat::kText;
    }
  }

  void read_chain() {
    // The URL of an RPC provider often carries its key: it is not repeated.
    if (find("BLOCKCHAIN_RPC_URL")) {
      problem("BLOCKCHAIN_RPC_URL",
              "is set, but this version anchors on the mock chain only, and will not pretend "
              "otherwise: unset it (unset BLOCKCHAIN_RPC_URL) to go on with the mock chain");
    }
    for (const char* name : {"BLOCKCHAIN_PRIVATE_KEY", "BLOCKCHAIN_PRIVATE_KEY_FILE",
                             "BATCH_COMPLETION_WEBHOOK_URL"}) {
      if (find(name)) {
        result_.warnings_.push_back(std::string(name) +
                                    " is set, but this version does not use it");
      }
    }
  }

  void warn_about_unknown_names() {
    std::vector<std::string> known;
    for (const Variable& each : kVariables) {
      known.emplace_back(each.name);
      if (each.secret) known.push_back(known.back() + std::string(kFileSuffix));
    }
    for (const auto& [name, text] : environment_) {
      const bool ours = name.starts_with("VOKETAG_") || name.starts_with("BLOCKCHAIN_");
      if (!ours || name.starts_with(kKafkaPassThrough)) continue;
      if (std::ranges::find(known, name) != known.end()) continue;
      if (std::ranges::find(kForOthers, name) != kForOthers.end()) continue;
      const auto meant = nearest_name(name, known);
      result_.warnings_.push_back("the environment variable " + name + " is not known" +
                                  (meant ? "; did you mean " + *meant + "?" : ""));
    }
  }

  const Environment& environment_;
  std::map<std::string, std::string> file_values_;
  std::string file_name_;
  std::vector<std::string> problems_;
  Configuration result_;
};

Result<Configuration> Configuration::load(const Environment& environment,
                                          const std::optional<std::filesystem::path>& file) {
  return ConfigurationReader(environment).read(file);
}

namespace {

tl::unexpected<events::Error> not_set(std::string_view name) {
  const Variable& missing = variable(name);
  return fail(Errc::kInvalid, std::string(name) + " is not set. " + std::string(missing.meaning) +
                                  ".\n  For example: export " + std::string(name) + "=" +
                                  std::string(missing.example) +
                                  "\n  A development stack's: eval \"$(./dev env)\"");
}

}  // namespace

Result<std::string> Configuration::kafka() const {
  if (!kafka_) return not_set("VOKETAG_KAFKA");
  return *kafka_;
}

Result<std::string> Configuration::postgres() const {
  if (!postgres_.is_set()) return not_set("VOKETAG_POSTGRES");
  const auto& text = *postgres_.value;
  if (!text) return text;
  if (const auto good = postgres::check_url(*text); !good) return tl::unexpected(good.error());
  return text;
}

Result<processors::TokenKeys> Configuration::token_keys() const {
  if (!token_keys_.is_set()) return not_set("VOKETAG_TOKEN_KEYS");
  const auto& text = *token_keys_.value;
  if (!text) return tl::unexpected(text.error());
  auto keys = processors::TokenKeys::parse(*text);
  if (!keys) {
    return fail(keys.error().code, "VOKETAG_TOKEN_KEYS: " + keys.error().message);
  }
  return keys;
}

}  // namespace voketag::cli
