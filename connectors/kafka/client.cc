#include "connectors/kafka/client.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace voketag::kafka {
namespace {

using events::Errc;
using events::Result;

// A cluster that is away is told of once in this time, and not with every attempt to reach it.
constexpr std::int64_t kTroubleEveryMs = 10000;

// librdkafka's log levels are syslog's.
spdlog::level::level_enum level_of(int syslog_level) {
  if (syslog_level <= 3) return spdlog::level::err;
  if (syslog_level == 4) return spdlog::level::warn;
  if (syslog_level <= 6) return spdlog::level::info;
  return spdlog::level::debug;
}

// Lines that tell of librdkafka's inner life, or repeat what an error of ours will say.
bool is_chatter(std::string_view facility) {
  constexpr std::array<std::string_view, 11> kChatter = {
      "ADDOFFSETS", "ADDPARTS", "CONFWARN",  "FAIL",      "FATAL", "GETPID",
      "MAXPOLL",    "REQTMOUT", "SUBSCRIBE", "TERMINATE", "TXNERR"};
  return std::find(kChatter.begin(), kChatter.end(), facility) != kChatter.end();
}

events::Status set(rd_kafka_conf_t& conf, const Properties& properties, bool may_be_unknown) {
  for (const auto& [name, value] : properties) {
    std::array<char, 512> reason{};
    const auto result =
        rd_kafka_conf_set(&conf, name.c_str(), value.c_str(), reason.data(), reason.size());
    if (result == RD_KAFKA_CONF_OK) continue;
    if (result == RD_KAFKA_CONF_UNKNOWN && may_be_unknown) continue;
    return events::fail(Errc::kInvalid, "librdkafka refuses the property " + name + ": " +
                                            reason.data() +
                                            ". Check the VOKETAG_KAFKA_* variables.");
  }
  return {};
}

Properties common_properties(const KafkaOptions& options, const std::string& purpose) {
  return {
      {"client.id", "voketag-" + options.instance + "-" + purpose},
      {"broker.address.ttl", "30000"},
      // Without it a small request waits for the acknowledgement of the packet before.
      {"socket.nagle.disable", "true"},
      {"socket.timeout.ms", std::to_string(options.request_timeout_ms)},
      {"socket.connection.setup.timeout.ms", "5000"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "2000"},
      {"retry.backoff.ms", "20"},
      {"retry.backoff.max.ms", "500"},
      {"log.connection.close", "false"},
  };
}

Properties fixed_properties(const KafkaOptions& options) {
  return {
      {"bootstrap.servers", options.bootstrap_servers},
      {"message.max.bytes", std::to_string(options.record_bytes_max)},
  };
}

}  // namespace

Client::Client(const KafkaOptions& options, const Settings& settings)
    : options_(options), purpose_(settings.purpose) {}

Result<std::unique_ptr<Client>> Client::open(const KafkaOptions& options, Settings settings) {
  std::unique_ptr<Client> client(new Client(options, settings));
  Conf conf(rd_kafka_conf_new());
  const Properties given(options.properties.begin(), options.properties.end());
  // Our defaults tune; a packaged librdkafka that is older may not know some of them.
  for (const auto& [properties, may_be_unknown] :
       {std::pair{common_properties(options, settings.purpose), true},
        {settings.defaults, true},
        {given, false},
        {fixed_properties(options), false},
        {settings.fixed, false}}) {
    if (auto done = set(*conf, properties, may_be_unknown); !done) {
      return tl::unexpected(done.error());
    }
  }
  rd_kafka_conf_set_opaque(conf.get(), client.get());
  rd_kafka_conf_set_log_cb(conf.get(), on_log);
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  rd_kafka_conf_set_closesocket_cb(conf.get(), on_close_socket);
  if (settings.events != 0) rd_kafka_conf_set_events(conf.get(), settings.events);
  if (settings.delivered != nullptr) {
    rd_kafka_conf_set_dr_msg_cb(conf.get(), settings.delivered);
  }
  std::array<char, 512> reason{};
  client->handle_ = rd_kafka_new(settings.consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER,
                                 conf.get(), reason.data(), reason.size());
  if (client->handle_ == nullptr) {
    return events::fail(Errc::kInvalid, "Kafka at " + options.bootstrap_servers + ": " +
                                            settings.purpose +
                                            " cannot be set up: " + reason.data() +
                                            ". Check the VOKETAG_KAFKA_* variables.");
  }
  // Owned by the handle from here on.
  static_cast<void>(conf.release());
  return client;
}

Client::~Client() {
  // Whoever is a member of a group leaves it before, in bounded time; closing again would not be.
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

std::string Client::full_topic(std::string_view topic) const {
  std::string full;
  full.reserve(options_.topic_prefix.size() + topic.size());
  full.append(options_.topic_prefix).append(topic);
  return full;
}

std::string_view Client::short_topic(std::string_view full) const {
  if (full.starts_with(options_.topic_prefix)) full.remove_prefix(options_.topic_prefix.size());
  return full;
}

events::Error Client::error(rd_kafka_resp_err_t code, std::string_view what,
                            std::string_view reason) const {
  // Connection troubles wait in the queue of the handle until it is polled.
  rd_kafka_poll(handle_, 0);
  std::string text = "Kafka at " + options_.bootstrap_servers + ": ";
  text.append(what).append(" failed: ");
  text.append(reason.empty() ? rd_kafka_err2str(code) : reason);
  text.append(" (").append(rd_kafka_err2name(code)).append("). ");
  if (passing(code)) {
    const std::lock_guard lock(trouble_mutex_);
    if (!trouble_.empty()) text.append("Last trouble: ").append(trouble_).append(". ");
  }
  text.append(cure_for(code));
  return events::Error{errc_of(code), std::move(text)};
}

events::Error Client::error(const rd_kafka_error_t& error_object, std::string_view what) const {
  const ErrorFacts known = facts(error_object);
  events::Error result = error(known.code, what, rd_kafka_error_string(&error_object));
  if (known.fatal_cause != RD_KAFKA_RESP_ERR_NO_ERROR) {
    result.code = errc_of(known.fatal_cause);
  }
  return result;
}

ErrorFacts Client::facts(const rd_kafka_error_t& error_object) const {
  ErrorFacts known;
  known.code = rd_kafka_error_code(&error_object);
  known.fatal = rd_kafka_error_is_fatal(&error_object) != 0;
  known.retriable = rd_kafka_error_is_retriable(&error_object) != 0;
  known.requires_abort = rd_kafka_error_txn_requires_abort(&error_object) != 0;
  known.fatal_cause = rd_kafka_fatal_error(handle_, nullptr, 0);
  // Once the handle is dead, a call may be refused for its state alone: the cause is the fatal one.
  if (known.fatal_cause != RD_KAFKA_RESP_ERR_NO_ERROR) known.fatal = true;
  return known;
}

void Client::on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
  auto* client = static_cast<Client*>(rd_kafka_opaque(handle));
  const std::string_view name(facility);
  auto log_level = level_of(level);
  if (is_chatter(name)) {
    log_level = spdlog::level::debug;
  }
  spdlog::log(log_level, "kafka {}: {}: {}", client == nullptr ? "?" : client->purpose_, name,
              text);
}

void Client::on_error(rd_kafka_t* handle, int code, const char* reason, void* opaque) {
  auto* client = static_cast<Client*>(opaque);
  const auto error_code = static_cast<rd_kafka_resp_err_t>(code);
  if (error_code == RD_KAFKA_RESP_ERR__FATAL) {
    std::array<char, 512> cause{};
    const auto fatal = rd_kafka_fatal_error(handle, cause.data(), cause.size());
    // The call that meets it returns it as an error, which says more.
    spdlog::debug("kafka {}: finished: {} ({})", client->purpose_, cause.data(),
                  rd_kafka_err2name(fatal));
    return;
  }
  const bool is_news =
      error_code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && client->note_trouble(reason);
  spdlog::log(is_news ? spdlog::level::warn : spdlog::level::debug, "kafka {} at {}: {} ({})",
              client->purpose_, client->options_.bootstrap_servers, reason,
              rd_kafka_err2name(error_code));
}

// Logs and errors of broken connections are thinned out; this comes with each. A request that times
// out closes its connection too.
int Client::on_close_socket(int socket, void* opaque) {
  static_cast<Client*>(opaque)->disturbances_.fetch_add(1, std::memory_order_relaxed);
  return close(socket);
}

bool Client::note_trouble(std::string text) {
  const std::int64_t now_ms = monotonic_ms();
  const std::lock_guard lock(trouble_mutex_);
  trouble_ = std::move(text);
  if (now_ms - trouble_logged_at_ms_ < kTroubleEveryMs) return false;
  trouble_logged_at_ms_ = now_ms;
  return true;
}

std::int64_t monotonic_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Deadline::Deadline(int timeout_ms) : at_ms_(monotonic_ms() + timeout_ms) {}

int Deadline::remaining_ms() const {
  return static_cast<int>(std::max<std::int64_t>(0, at_ms_ - monotonic_ms()));
}

}  // namespace voketag::kafka
