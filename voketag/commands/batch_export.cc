#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <ostream>

#include "voketag/commands/batch.h"
#include "voketag/commands/command.h"
#include "voketag/output_file.h"
#include "voketag/product_lines.h"
#include "voketag/token_text.h"
#include "voketag/views.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Status;

constexpr const char* kRowsPerFetch = "10000";

struct Options {
  std::string batch_id;
  std::string format = "csv";
  std::string output;
  bool allow_partial = false;
};

// Shows how far a long export is, on a terminal.
class ExportDisplay {
 public:
  ExportDisplay(Terminal& terminal, std::int64_t all)
      : terminal_(terminal), live_(terminal), all_(all) {}
  ~ExportDisplay() { live_.clear(); }

  void update(std::int64_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    const double seconds = std::chrono::duration<double>(now - started_).count();
    const double fraction = all_ == 0 ? 0 : static_cast<double>(done) / static_cast<double>(all_);
    live_.draw({" exporting  " + progress_bar(terminal_, fraction, 28) + "  " +
                with_thousands(done) + " / " + with_thousands(all_) + "  " +
                rate_text(static_cast<double>(done) / std::max(seconds, 0.001))});
  }

 private:
  Terminal& terminal_;
  LiveLines live_;
  std::int64_t all_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point drawn_;
};

// Reads the batch's products by rising serial through a cursor: a page in memory at a time. The ids
// of a batch lie together in the primary key, at the millisecond of its request, and rise with the
// serial: that range is read, whatever else the table holds.
class ProductReader {
 public:
  ProductReader(postgres::Connection& views, const BatchRow& batch)
      : views_(views), batch_(batch) {}

  Status read(const std::function<Status(const ProductLine&)>& take) {
    const auto requested = events::Timestamp::parse(batch_.requested_at);
    if (!requested) {
      return fail(Errc::kNotFound, "batch " + batch_.batch_id +
                                       " is only beginning to appear in the views; wait for it: "
                                       "voketag batch wait " +
                                       batch_.batch_id);
    }
    const std::string sql =
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        "DECLARE products NO SCROLL CURSOR FOR SELECT product_id::text, serial, token, status::text"
        " FROM voketag.products WHERE product_id >= '" +
        first_id_at(requested->ms) + "' AND product_id < '" + first_id_at(requested->ms + 1) +
        "' AND batch_id = '" + batch_.batch_id + "' ORDER BY product_id";
    if (auto begun = views_result(views_.execute(sql)); !begun)
      return tl::unexpected(begun.error());
    for (;;) {
      auto page =
          views_result(views_.execute(std::string("FETCH ") + kRowsPerFetch + " FROM products"));
      if (!page) return tl::unexpected(page.error());
      if (page->count() == 0) break;
      for (int row = 0; row < page->count(); ++row) {
        const ProductLine line{page->text(row, 0), page->int64(row, 1), page->text(row, 2),
                               page->text(row, 3)};
        if (auto taken = take(line); !taken) return taken;
      }
    }
    views_.rollback();
    return {};
  }

 private:
  // The smallest UUID whose first 48 bits are this millisecond.
  static std::string first_id_at(std::int64_t ms) {
    events::Uuid id;
    for (int i = 0; i < 6; ++i) {
      id.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
    }
    return id.to_string();
  }

  postgres::Connection& views_;
  const BatchRow& batch_;
};

ExitCode export_rows(Session& session, const Options& options, ProductFormat format,
                     const Configuration& configuration, postgres::Connection& views,
                     const BatchRow& batch) {
  const bool to_output = options.output.empty() || options.output == "-";
  std::optional<OutputFile> file;
  if (!to_output) {
    auto created = OutputFile::create(options.output);
    if (!created) return session.report(created.error());
    file.emplace(*std::move(created));
  }
  const auto write = [&](std::string_view bytes) -> Status {
    if (file) return file->write(bytes);
    session.terminal().output() << bytes;
    return session.terminal().output()
               ? Status()
               : fail(Errc::kExhausted, "standard output cannot be written");
  };
  std::int64_t rows = 0;
  {
    ExportDisplay display(session.terminal(), batch.product_count);
    std::string line = product_header(format);
    Status status = line.empty() ? Status() : write(line);
    if (status) {
      status = ProductReader(views, batch).read([&](const ProductLine& product) {
        line.clear();
        append_product(line, format, product, configuration.verification_url_base);
        if (++rows % 10'000 == 0) display.update(rows);
        return write(line);
      });
    }
    if (!status) return session.report(status.error());
  }
  if (rows != batch.product_count && !options.allow_partial) {
    return session.report(Errc::kNotFound, "only " + with_thousands(rows) + " of " +
                                               with_thousands(batch.product_count) +
                                               " products are in the views (" + "the batch is " +
                                               batch.status +
                                               "); wait for it: voketag batch wait " +
                                               batch.batch_id + ". What there is: --allow-partial");
  }
  if (file) {
    if (auto committed = file->commit(); !committed) return session.report(committed.error());
    session.terminal().error() << "Wrote " << with_thousands(rows) << " products to "
                               << options.output << " (" << bytes_text(file->written_bytes())
                               << ").\n";
  }
  return ExitCode::kYes;
}

ExitCode export_batch(Session& session, const Options& options) {
  const auto id = parse_batch_id(options.batch_id);
  if (!id) return session.report(id.error());
  const auto format = parse_product_format(options.format);
  if (!format) return session.report(format.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto views = open_views(**configuration);
  if (!views) return session.report(views.error());
  const auto batch = find_batch(*views, *id);
  if (!batch) return session.report(batch.error());
  if (!*batch) {
    return session.report(Errc::kNotFound, "the views have no batch " + id->to_string() +
                                               "; what Kafka says: voketag batch status " +
                                               id->to_string());
  }
  return export_rows(session, options, *format, **configuration, *views, **batch);
}

}  // namespace

void add_batch_export(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("export",
                                            "Write out a batch's products, by rising serial\n"
                                            "Reads the views (VOKETAG_POSTGRES), a page at a time. "
                                            "A file appears only when it is complete.\n"
                                            "Formats: csv (product_id,serial,token,status,url), "
                                            "jsonl (the same, an object per line), urls.");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->batch_id, "The batch's id")->required();
  command->add_option("--format", options->format, "csv, jsonl or urls; default csv")
      ->type_name("FORMAT");
  command->add_option("-o,--output", options->output, "Where to write it; default: standard output")
      ->type_name("FILE");
  command->add_flag("--allow-partial", options->allow_partial,
                    "Export what there is of a batch that is not complete yet");
  examples(*command,
           "  voketag batch export 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91 -o products.csv\n"
           "  voketag batch export 3f2b8c1e-5d0a-4c1b-9a53-0e6f4b7a2d91 --format urls | head -3");
  command->callback([&session, options] {
    session.action = [&session, options] { return export_batch(session, *options); };
  });
}

}  // namespace voketag::cli
