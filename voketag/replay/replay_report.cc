#include "voketag/replay/replay_report.h"

#include <algorithm>
#include <ostream>

#include "voketag/escaped_text.h"

namespace voketag::cli {
namespace {

std::string_view name_of(ReplayEnd end) {
  switch (end) {
    case ReplayEnd::kSwapped:
      return "swapped";
    case ReplayEnd::kBuilt:
      return "built";
    case ReplayEnd::kRefused:
      return "not_swapped";
    case ReplayEnd::kInterrupted:
      return "paused";
    case ReplayEnd::kAborted:
      return "aborted";
  }
  return "paused";
}

std::string place_of(const postgres::ListedReject& reject) {
  if (reject.topic.empty()) return "a row";
  return escaped(reject.topic) + "/" + std::to_string(reject.partition) + "/" +
         std::to_string(reject.offset);
}

void write_rejects(JsonText& json, const std::vector<postgres::ListedReject>& rejects,
                   std::int64_t count) {
  json.member("reject_count", count).name("rejects").begin_array();
  for (const auto& reject : rejects) {
    json.begin_object();
    if (!reject.topic.empty()) {
      json.member("topic", reject.topic)
          .member("partition", reject.partition)
          .member("offset", reject.offset);
    }
    json.member("reason", reject.reason).member("detail", reject.detail).end_object();
  }
  json.end_array();
}

void print_rejects(std::ostream& out, const std::vector<postgres::ListedReject>& rejects,
                   std::int64_t count) {
  if (count == 0) return;
  out << with_thousands(count) << " refused (no dead letter was written; the list is in "
      << "voketag.replay_rejects):\n";
  for (const auto& reject : rejects) {
    out << "  " << place_of(reject) << "  " << escaped(reject.reason) << "  "
        << shortened(escaped(reject.detail), 160) << '\n';
  }
  if (count > static_cast<std::int64_t>(rejects.size())) out << "  ...\n";
}

void write_comparison(JsonText& json, const std::vector<postgres::TableComparison>& tables) {
  json.name("comparison").begin_array();
  for (const auto& table : tables) {
    json.begin_object()
        .member("table", table.table)
        .member("equal", table.equal())
        .member("live_rows", table.live_rows)
        .member("new_rows", table.built_rows)
        .member("live_checksum", table.live_checksum)
        .member("new_checksum", table.built_checksum)
        .member("only_live", table.only_live)
        .member("only_new", table.only_built)
        .member("different", table.different)
        .name("examples")
        .begin_array();
    for (const auto& key : table.examples) json.value(key);
    json.end_array().end_object();
  }
  json.end_array();
}

void print_comparison(std::ostream& out, const ReplayResult& result) {
  for (const auto& table : result.comparison) {
    out << table.table << ": " << with_thousands(table.live_rows) << " rows live, "
        << with_thousands(table.built_rows) << " new, at equal offsets: ";
    if (table.equal()) {
      out << "equal (checksum " << table.live_checksum << ")\n";
      continue;
    }
    out << with_thousands(table.only_live) << " only live, " << with_thousands(table.only_built)
        << " only new, " << with_thousands(table.different) << " differ\n";
    if (result.is_partial) {
      out << "  The new generation covers " << with_thousands(table.built_rows - table.only_built)
          << " of the live rows, "
          << with_thousands(table.built_rows - table.only_built - table.different)
          << " of them equal. The others should come of records before those it began with; a "
             "view does not tell which record a row came of.\n";
    }
    for (const auto& key : table.examples) out << "  for example " << escaped(key) << '\n';
  }
}

void print_json(Session& session, const std::string& view, const ReplayResult& result,
                const std::vector<postgres::ListedReject>& rejects, std::int64_t reject_count) {
  JsonText json;
  json.begin_object()
      .member("view", view)
      .member("result", name_of(result.end))
      .member("why", result.why)
      .member("generation", static_cast<std::int64_t>(result.generation))
      .member("partial", result.is_partial)
      .member("offsets_done", result.progress.done)
      .member("offsets_total", result.progress.total)
      .member("records", result.progress.records)
      .member("load_ms", result.load_ms)
      .member("index_ms", result.index_ms)
      .member("compare_ms", result.compare_ms)
      .member("swap_ms", result.frozen_ms);
  write_comparison(json, result.comparison);
  write_rejects(json, rejects, reject_count);
  session.print(json.end_object());
}

}  // namespace

// ---- the result ---------------------------------------------------------------------------------

void print_result(Session& session, const std::string& view, const ReplayResult& result,
                  const std::vector<postgres::ListedReject>& rejects, std::int64_t reject_count) {
  if (session.json) return print_json(session, view, result, rejects, reject_count);
  std::ostream& out = session.terminal().output();
  const Paint paint = session.terminal().output_paint();
  print_comparison(out, result);
  print_rejects(out, rejects, reject_count);
  if (result.load_ms > 0 || result.index_ms > 0) {
    out << "Loaded in " << duration_text(result.load_ms) << ", indexed in "
        << duration_text(result.index_ms) << ", compared in " << duration_text(result.compare_ms)
        << ".\n";
  }
  switch (result.end) {
    case ReplayEnd::kSwapped:
      out << paint(Style::kGreen, "Swapped:") << " generation " << result.generation << " of "
          << view << " is live; the swap took " << duration_text(result.frozen_ms) << ".\n";
      return;
    case ReplayEnd::kBuilt:
      out << "Built and not swapped. Swap: voketag replay --view " << view
          << " --resume; drop it: voketag replay --view " << view << " --abort\n";
      return;
    case ReplayEnd::kRefused:
      out << paint(Style::kRed, "Not swapped:") << ' ' << result.why << '\n';
      return;
    case ReplayEnd::kInterrupted:
    case ReplayEnd::kAborted:
      out << "Paused at " << with_thousands(result.progress.done) << " of "
          << with_thousands(result.progress.total) << " offsets. Go on: voketag replay --view "
          << view << " --resume\n";
      return;
  }
}

// ---- status -------------------------------------------------------------------------------------

events::Result<ReplayStatus> read_replay_status(postgres::ViewGenerations& generations,
                                                const std::string& view) {
  ReplayStatus status;
  status.view = view;
  const auto live = generations.rows().live();
  if (!live) return tl::unexpected(live.error());
  status.live = *live;
  auto unfinished = generations.rows().unfinished();
  if (!unfinished) return tl::unexpected(unfinished.error());
  status.unfinished = *std::move(unfinished);
  const auto kept = generations.rows().retired(true);
  if (!kept) return tl::unexpected(kept.error());
  status.kept = *kept;
  const std::int32_t told = status.unfinished ? status.unfinished->number : status.live;
  const auto count = generations.rejects_of(told).count();
  if (!count) return tl::unexpected(count.error());
  status.reject_count = *count;
  auto rejects = generations.rejects_of(told).list(kRejectsShown);
  if (!rejects) return tl::unexpected(rejects.error());
  status.rejects = *std::move(rejects);
  if (!status.unfinished) return status;
  const auto holder = generations.lock_holder();
  if (!holder) return tl::unexpected(holder.error());
  status.at_work = *holder;
  const auto positions = generations.rows().positions(status.unfinished->number);
  if (!positions) return tl::unexpected(positions.error());
  std::vector<runtime::TopicPartition> partitions;
  for (const auto& position : *positions) partitions.push_back(position.partition);
  const auto target = generations.rows().live_positions(partitions);
  if (!target) return tl::unexpected(target.error());
  for (std::size_t i = 0; i < positions->size(); ++i) {
    const auto& position = (*positions)[i];
    status.done += position.next_offset - position.first_offset;
    status.total += std::max((*target)[i], position.next_offset) - position.first_offset;
  }
  return status;
}

void print_status(Session& session, const ReplayStatus& status) {
  if (session.json) {
    JsonText json;
    json.begin_object()
        .member("view", status.view)
        .member("live_generation", static_cast<std::int64_t>(status.live));
    if (status.unfinished) {
      json.name("unfinished")
          .begin_object()
          .member("generation", static_cast<std::int64_t>(status.unfinished->number))
          .member("phase", status.unfinished->phase)
          .member("from", status.unfinished->started_from)
          .member("begun_at", status.unfinished->begun_at)
          .member("at_work", !status.at_work.empty())
          .member("offsets_done", status.done)
          .member("offsets_total", status.total)
          .end_object();
    } else {
      json.name("unfinished").null();
    }
    json.name("kept").begin_array();
    for (const auto number : status.kept) json.value(static_cast<std::int64_t>(number));
    json.end_array();
    write_rejects(json, status.rejects, status.reject_count);
    session.print(json.end_object());
    return;
  }
  std::ostream& out = session.terminal().output();
  out << status.view << ": generation " << status.live << " is live";
  if (const auto& unfinished = status.unfinished) {
    out << "; generation " << unfinished->number << " from " << escaped(unfinished->started_from)
        << ", begun at " << unfinished->begun_at << ", is " << unfinished->phase << ", "
        << with_thousands(status.done) << " of " << with_thousands(status.total) << " offsets; "
        << (status.at_work.empty() ? "nobody is at work on it" : "at work: " + status.at_work);
  }
  for (const auto number : status.kept) out << "; generation " << number << " is kept";
  out << '\n';
  print_rejects(out, status.rejects, status.reject_count);
}

// ---- dry run ------------------------------------------------------------------------------------

void print_dry_run(Session& session, const std::string& view, const DryRunReport& report) {
  if (session.json) {
    JsonText json;
    json.begin_object()
        .member("view", view)
        .member("result", report.complete ? "dry_run" : "interrupted")
        .member("partial", report.is_partial)
        .member("obstacle", report.obstacle)
        .member("records", report.records)
        .name("rows")
        .begin_object();
    for (const auto& [table, count] : report.rows) json.member(table, count);
    json.end_object()
        .member("row_bytes", report.bytes)
        .member("live_bytes", report.live_bytes)
        .member("elapsed_ms", report.elapsed_ms)
        .member("estimated_ms", report.estimated_ms)
        .member("reject_count", report.reject_count)
        .name("rejects")
        .begin_array();
    for (const auto& reject : report.rejects) {
      json.begin_object()
          .member("topic", reject.partition.topic)
          .member("partition", static_cast<std::int64_t>(reject.partition.partition))
          .member("offset", reject.offset)
          .member("reason", reject.reason)
          .member("detail", reject.detail)
          .end_object();
    }
    session.print(json.end_array().end_object());
    return;
  }
  std::ostream& out = session.terminal().output();
  out << (report.complete ? "Dry run: " : "Dry run, ended early: ")
      << with_thousands(report.records) << " records in " << duration_text(report.elapsed_ms)
      << "; nothing was written.\n";
  for (const auto& [table, count] : report.rows) {
    out << "  " << table << ": " << with_thousands(count) << " rows\n";
  }
  if (report.reject_count > 0) {
    out << with_thousands(report.reject_count) << " records would be refused:\n";
    for (const auto& reject : report.rejects) {
      out << "  " << reject.partition.topic << '/' << reject.partition.partition << '/'
          << reject.offset << "  " << reject.reason << "  "
          << shortened(escaped(reject.detail), 160) << '\n';
    }
  }
  out << "A replay would take about " << duration_text(report.estimated_ms)
      << " and needs room for a second " << view << ": about "
      << bytes_text(static_cast<unsigned long long>(std::max<std::int64_t>(report.live_bytes, 0)))
      << ".\n";
  if (!report.obstacle.empty()) out << "It would be refused: " << report.obstacle << ".\n";
  if (report.is_partial) out << "Rows of records before its beginning would be missing.\n";
}

}  // namespace voketag::cli
