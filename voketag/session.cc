#include "voketag/session.h"

#include <ostream>

namespace voketag::cli {

events::Result<const Configuration*> Session::configuration() {
  if (configuration_ == nullptr) {
    auto file = configuration_file;
    const auto from_environment = environment_.find("VOKETAG_CONFIG");
    if (!file && from_environment != environment_.end() && !from_environment->second.empty()) {
      file = from_environment->second;
    }
    auto loaded = Configuration::load(environment_, file);
    if (!loaded) return tl::unexpected(loaded.error());
    configuration_ = std::make_unique<Configuration>(*std::move(loaded));
    for (const std::string& warning : configuration_->warnings()) warn(warning);
  }
  return configuration_.get();
}

ExitCode Session::report(const events::Error& error) {
  const Paint paint = terminal_.error_paint();
  terminal_.error() << paint(Style::kRed, "error:") << ' ' << error.message << '\n';
  if (json) {
    print(JsonText()
              .begin_object()
              .member("error", events::to_string(error.code))
              .member("message", error.message)
              .end_object());
  }
  return exit_code_of(error.code);
}

void Session::print(const JsonText& json_value) {
  terminal_.output() << json_value.text() << '\n';
  terminal_.output().flush();
}

void Session::warn(const std::string& message) {
  terminal_.error() << terminal_.error_paint()(Style::kYellow, "warning:") << ' ' << message
                    << '\n';
}

}  // namespace voketag::cli
