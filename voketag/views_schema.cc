#include "voketag/views_schema.h"

#include <spdlog/spdlog.h>

#include "connectors/postgres/migrations.h"
#include "voketag/patience.h"
#include "voketag/views.h"

namespace voketag::cli {

using events::Status;

ViewsSchema::ViewsSchema(const Configuration& configuration)
    : configuration_(configuration),
      ready_(events::fail(events::Errc::kUnavailable, "the views' schema is not ready yet")),
      thread_([this] { prepare(); }) {}

ViewsSchema::~ViewsSchema() {
  end();
}

Status ViewsSchema::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_;
}

bool ViewsSchema::end() {
  ended_ = true;
  if (thread_.joinable()) thread_.join();
  return !left_behind_;
}

void ViewsSchema::prepare() {
  const auto say = [](const events::Error& error) {
    spdlog::warn(
        "the views wait for PostgreSQL, the processors do not: {}. Is it up, and is "
        "VOKETAG_POSTGRES right? See `voketag doctor`",
        error.message);
  };
  auto done = patiently([this] { return migrate(); }, [this] { return ended_.load(); }, say);
  left_behind_ = !done;
  if (!done) return;
  const std::lock_guard lock(mutex_);
  ready_ = *std::move(done);
}

Status ViewsSchema::migrate() const {
  auto connection = open_views(configuration_);
  if (!connection) return tl::unexpected(connection.error());
  const auto migrated = postgres::migrate(*connection);
  if (!migrated) return tl::unexpected(migrated.error());
  if (migrated->from != migrated->to) {
    spdlog::info("brought the views' schema from version {} to {}", migrated->from, migrated->to);
  }
  return {};
}

}  // namespace voketag::cli
