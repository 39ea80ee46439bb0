#include "voketag/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>

#include "events/timestamp.h"
#include "voketag/json_text.h"

namespace voketag::cli {
namespace {

// spdlog's patterns do not escape, and a message may hold anything.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    const events::Timestamp time{
        duration_cast<milliseconds>(message.time.time_since_epoch()).count()};
    const auto level = spdlog::level::to_string_view(message.level);
    JsonText json;
    json.begin_object()
        .member("time", time.to_string())
        .member("level", std::string_view(level.data(), level.size()))
        .member("thread", static_cast<std::int64_t>(message.thread_id));
    if (message.logger_name.size() > 0) {
      json.member("logger",
                  std::string_view(message.logger_name.data(), message.logger_name.size()));
    }
    json.member("message", std::string_view(message.payload.data(), message.payload.size()))
        .end_object();
    line.append(json.text());
    line.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

void set_default_logger(bool json, bool colour) {
  std::shared_ptr<spdlog::logger> logger;
  if (json) {
    logger =
        std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    const auto mode = colour ? spdlog::color_mode::automatic : spdlog::color_mode::never;
    logger = std::make_shared<spdlog::logger>(
        "", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(mode));
    logger->set_pattern("%H:%M:%S.%e %^%-5l%$ %v");
  }
  // A line that was written before a crash is worth its system call.
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

bool colour_wanted() {
  return std::getenv("NO_COLOR") == nullptr;
}

}  // namespace

void start_logging(const Configuration& configuration, bool error_is_terminal) {
  const bool json = configuration.log_format == LogFormat::kJson ||
                    (configuration.log_format == LogFormat::kAutomatic && !error_is_terminal);
  set_default_logger(json, colour_wanted());
  spdlog::set_level(spdlog::level::from_str(configuration.log_level));
}

void start_quiet_logging(bool verbose) {
  set_default_logger(false, colour_wanted());
  spdlog::set_level(verbose ? spdlog::level::debug : spdlog::level::off);
}

}  // namespace voketag::cli
