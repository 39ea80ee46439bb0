#include <array>
#include <memory>
#include <ostream>

#include "voketag/commands/batch.h"
#include "voketag/commands/command.h"
#include "voketag/escaped_text.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

void print_json(Session& session, const std::vector<BatchRow>& batches) {
  const auto optional_text = [](const std::string& text) {
    return text.empty() ? std::optional<std::string>() : std::optional<std::string>(text);
  };
  JsonText json;
  json.begin_array();
  for (const BatchRow& batch : batches) {
    json.begin_object()
        .member("batch_id", batch.batch_id)
        .member("tenant", optional_text(batch.tenant))
        .member("name", optional_text(batch.name))
        .member("status", optional_text(batch.status))
        .member("product_count", batch.product_count)
        .member("merkle_root", optional_text(batch.merkle_root))
        .member("transaction_id", optional_text(batch.transaction_id))
        .member("network", optional_text(batch.network))
        .member("error", optional_text(batch.error))
        .member("requested_at", optional_text(batch.requested_at))
        .member("anchored_at", optional_text(batch.anchored_at))
        .member("completed_at", optional_text(batch.completed_at))
        .end_object();
  }
  session.print(json.end_array());
}

Style style_of(const std::string& status) {
  if (status == "completed") return Style::kGreen;
  if (status == "failed") return Style::kRed;
  if (status == "anchor_failed") return Style::kYellow;
  return Style::kCyan;
}

void print_table(Session& session, const std::vector<BatchRow>& batches) {
  const Paint paint = session.terminal().output_paint();
  if (batches.empty()) {
    session.terminal().output() << "No batches.\n";
    return;
  }
  TextTable table({{"BATCH"},
                   {"STATUS"},
                   {"PRODUCTS", TextTable::Align::kRight},
                   {"TENANT"},
                   {"NAME"},
                   {"REQUESTED"},
                   {"NETWORK"}});
  for (const BatchRow& batch : batches) {
    table.add({batch.batch_id, paint(style_of(batch.status), batch.status),
               with_thousands(batch.product_count), shortened(escaped(batch.tenant), 20),
               shortened(escaped(batch.name), 30), batch.requested_at, batch.network});
  }
  table.print(session.terminal().output(), paint);
}

ExitCode list(Session& session, const BatchFilter& filter) {
  constexpr std::array<std::string_view, 6> kStatuses = {"requested",     "generating", "anchoring",
                                                         "anchor_failed", "completed",  "failed"};
  if (filter.status &&
      std::find(kStatuses.begin(), kStatuses.end(), *filter.status) == kStatuses.end()) {
    return session.report(events::Errc::kInvalid,
                          "--status must be requested, generating, anchoring, anchor_failed, "
                          "completed or failed");
  }
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto views = open_views(**configuration);
  if (!views) return session.report(views.error());
  const auto batches = list_batches(*views, filter);
  if (!batches) return session.report(batches.error());
  if (session.json) {
    print_json(session, *batches);
  } else {
    print_table(session, *batches);
  }
  return ExitCode::kYes;
}

}  // namespace

void add_batch_list(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("list",
                                            "List batches, the youngest first\n"
                                            "Reads the views (VOKETAG_POSTGRES).");
  auto filter = std::make_shared<BatchFilter>();
  add_text(*command, "--status", filter->status,
           "Only these: requested, generating, anchoring, anchor_failed, completed, failed")
      ->type_name("STATUS");
  add_text(*command, "--tenant", filter->tenant, "Only of this tenant")->type_name("NAME");
  add_number(*command, "--limit", filter->limit, 1, kListedMax, "How many; default 20");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag batch list\n"
           "  voketag batch list --status failed --json | jq -r '.[].error'");
  command->callback([&session, filter] {
    session.action = [&session, filter] { return list(session, *filter); };
  });
}

}  // namespace voketag::cli
