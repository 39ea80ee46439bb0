#include "connectors/postgres/replay_rejects.h"

#include <array>

#include "connectors/postgres/text_array.h"

namespace voketag::postgres {
namespace {

using events::Errc;
using events::Result;
using events::Status;

// A detail may quote what was refused; the database takes UTF-8 alone.
std::string legible(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace

Status ReplayRejects::add(std::span<const runtime::ReplayReject> rejects) {
  const std::string number = std::to_string(generation_);
  const std::string topics =
      array_of_text(rejects, [](const auto& r) { return r.partition.topic; });
  const std::string partitions =
      array_of_text(rejects, [](const auto& r) { return std::to_string(r.partition.partition); });
  const std::string offsets =
      array_of_text(rejects, [](const auto& r) { return std::to_string(r.offset); });
  const std::string reasons = array_of_text(rejects, [](const auto& r) { return r.reason; });
  const std::string details =
      array_of_text(rejects, [](const auto& r) { return legible(r.detail); });
  const std::array<Parameter, 7> parameters{projection_, number,  topics, partitions,
                                            offsets,     reasons, details};
  const auto done = connection_.query(
      "INSERT INTO voketag.replay_rejects"
      " (projection, generation, topic, partition, record_offset, reason, detail)"
      " SELECT $1, $2::integer, topic, partition, at, reason, left(detail, 2000)"
      "   FROM unnest($3::text[], $4::integer[], $5::bigint[], $6::text[], $7::text[])"
      "        AS refused (topic, partition, at, reason, detail)"
      " ON CONFLICT DO NOTHING",
      parameters);
  if (!done) return tl::unexpected(to_error(done.error()));
  const auto listed = count();
  if (!listed) return tl::unexpected(listed.error());
  if (*listed > kRejectsMax) {
    return events::fail(Errc::kExhausted,
                        "more than " + std::to_string(kRejectsMax) +
                            " records are refused: the projection does not fit its topics");
  }
  return {};
}

Outcome<void> ReplayRejects::add_duplicates(Connection& connection, const processors::View& view,
                                            std::span<const std::string> keys) const {
  if (static_cast<std::int64_t>(keys.size()) > kRejectsMax) {
    return fail(FailureKind::kFatal, std::to_string(keys.size()) + " rows of " +
                                         std::string(view.name) +
                                         " have the key of an earlier one: look for who else "
                                         "writes to the topic, before this view is rebuilt");
  }
  const std::string number = std::to_string(generation_);
  const std::string list = array_of_text(keys, [](const std::string& key) { return key; });
  const std::string name(view.name);
  const std::array<Parameter, 4> parameters{projection_, number, list, name};
  const auto done = connection.query(
      "INSERT INTO voketag.replay_rejects (projection, generation, reason, detail)"
      " SELECT $1, $2::integer, 'refused_by_view', $4 || ' ' || key ||"
      "        ': a row with this key came before'"
      "   FROM unnest($3::text[]) AS doubled (key)",
      parameters);
  if (!done) return tl::unexpected(done.error());
  return {};
}

Result<std::int64_t> ReplayRejects::count() {
  const std::string number = std::to_string(generation_);
  const std::array<Parameter, 2> parameters{projection_, number};
  const auto rows = connection_.query(
      "SELECT count(*) FROM voketag.replay_rejects"
      " WHERE projection = $1 AND generation = $2::integer",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  return rows->int64(0, 0);
}

Result<std::vector<ListedReject>> ReplayRejects::list(std::int64_t limit) {
  const std::string number = std::to_string(generation_);
  const std::string most = std::to_string(limit);
  const std::array<Parameter, 3> parameters{projection_, number, most};
  const auto rows = connection_.query(
      "SELECT coalesce(topic, ''), coalesce(partition, 0), coalesce(record_offset, 0), reason,"
      "       detail FROM voketag.replay_rejects"
      " WHERE projection = $1 AND generation = $2::integer"
      " ORDER BY topic, partition, record_offset, id LIMIT $3::bigint",
      parameters);
  if (!rows) return tl::unexpected(to_error(rows.error()));
  std::vector<ListedReject> listed;
  for (int row = 0; row < rows->count(); ++row) {
    listed.push_back({std::string(rows->text(row, 0)), rows->int64(row, 1), rows->int64(row, 2),
                      std::string(rows->text(row, 3)), std::string(rows->text(row, 4))});
  }
  return listed;
}

}  // namespace voketag::postgres
