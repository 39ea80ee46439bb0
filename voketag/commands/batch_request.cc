#include <openssl/rand.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <ostream>

#include "events/codec.h"
#include "events/envelope.h"
#include "events/events.h"
#include "processors/batches/batch_content.h"
#include "processors/ingress/request_rules.h"
#include "runtime/clock.h"
#include "voketag/commands/batch.h"
#include "voketag/commands/command.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

using events::Errc;
using events::fail;
using events::Result;

struct Options {
  std::int64_t count = 1000;
  std::string batch_id;
  std::optional<std::string> tenant;
  std::optional<std::string> sku;
  std::optional<std::string> gtin;
  std::optional<std::string> lot;
  std::optional<std::string> name;
  std::optional<std::string> metadata;
  std::optional<std::string> callback_url;
  std::optional<std::int64_t> first_serial;
  bool wait = false;
  std::string timeout;
};

// The command line is the outside: here an id may be drawn. A version 4 UUID.
Result<events::Uuid> random_id() {
  events::Uuid id;
  if (RAND_bytes(id.bytes.data(), static_cast<int>(id.bytes.size())) != 1) {
    return fail(Errc::kInternal, "the system gives no random numbers; name the batch: --batch-id");
  }
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0FU) | 0x40U);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3FU) | 0x80U);
  return id;
}

// JSON as it stands, or the file that holds it.
Result<std::string> read_metadata(const std::string& text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string::npos && text[start] == '{') return text;
  std::ifstream file(text, std::ios::binary);
  if (!file) {
    return fail(Errc::kInvalid, "--metadata: '" + text +
                                    "' is neither a JSON object nor a file that can be read; for "
                                    "example --metadata '{\"line\": 3}'");
  }
  std::string content(static_cast<std::size_t>(events::kMetadataBytesMax) * 4, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(file.gcount()));
  return content;
}

Result<events::BatchRequested> build(const Options& options) {
  events::BatchRequested request;
  if (options.batch_id.empty()) {
    auto id = random_id();
    if (!id) return tl::unexpected(id.error());
    request.batch_id = *id;
  } else {
    auto id = parse_batch_id(options.batch_id);
    if (!id) return tl::unexpected(id.error());
    request.batch_id = *id;
  }
  request.product_count = options.count;
  request.tenant = options.tenant;
  request.sku = options.sku;
  request.gtin = options.gtin;
  request.lot = options.lot;
  request.name = options.name;
  request.callback_url = options.callback_url;
  request.first_serial = options.first_serial;
  if (options.metadata) {
    auto metadata = read_metadata(*options.metadata);
    if (!metadata) return tl::unexpected(metadata.error());
    request.metadata = events::JsonObject{*std::move(metadata)};
  }
  return request;
}

// What ingress would refuse is refused here, where it can still be mended at once.
Result<events::BatchRequested> checked(const events::BatchRequested& request) {
  auto decoded = events::decode<events::BatchRequested>(events::encode(request));
  if (!decoded) return decoded;
  if (decoded->gtin) {
    if (auto good = processors::check_gtin(*decoded->gtin); !good) {
      return tl::unexpected(good.error());
    }
  }
  if (decoded->callback_url) {
    if (auto good = processors::check_callback_url(*decoded->callback_url); !good) {
      return tl::unexpected(good.error());
    }
  }
  return decoded;
}

events::OutputRecord record_of(const events::BatchRequested& request) {
  events::OutputRecord record;
  record.topic = events::BatchRequested::kTopic;
  record.key = request.batch_id.to_string();
  record.value = events::encode(request);
  // The same request sent twice is one event.
  const std::string id =
      events::Uuid::v5(events::kNamespace, "batch-requested:" + *record.value).to_string();
  record.headers = events::to_headers(events::begin_envelope(
      id, "/voketag/command-line", events::event_type(events::BatchRequested::kTopic),
      runtime::SystemClock().now()));
  return record;
}

// A batch of this id that was accepted earlier: the same content is the same batch, other content
// would become a dead letter, and waiting for it would tell of the other batch.
events::Status check_against(const events::BatchAccepted& earlier,
                             const events::BatchRequested& request) {
  events::BatchAccepted now = earlier;
  now.product_count = request.product_count;
  now.tenant = request.tenant.value_or("default");
  now.first_serial = request.first_serial.value_or(1);
  now.sku = request.sku;
  now.gtin = request.gtin;
  now.lot = request.lot;
  now.name = request.name;
  now.metadata = request.metadata;
  now.callback_url = request.callback_url;
  const auto before = processors::BatchContent::of(earlier);
  const auto after = processors::BatchContent::of(now);
  if (after.same_as(before)) return {};
  return fail(Errc::kConflict, "batch " + request.batch_id.to_string() +
                                   " was requested before with another " +
                                   after.differing_fields(before) +
                                   "; that request stands. Request this one under a new id");
}

ExitCode send(Session& session, kafka::KafkaLog& log, const events::BatchRequested& request) {
  auto producer = log.open_plain_producer();
  if (!producer) return session.report(producer.error());
  const events::OutputRecord record = record_of(request);
  if (const auto written = (*producer)->write({&record, 1}); !written) {
    return session.report(written.error());
  }
  return ExitCode::kYes;
}

void print_requested(Session& session, const events::BatchRequested& request) {
  const std::string id = request.batch_id.to_string();
  if (session.json) {
    session.print(JsonText()
                      .begin_object()
                      .member("batch_id", id)
                      .member("product_count", request.product_count)
                      .member("status", "requested")
                      .end_object());
    return;
  }
  session.terminal().output() << "Requested batch " << id << " of "
                              << with_thousands(request.product_count) << " products.\n";
  session.terminal().error() << "  Follow it: voketag batch wait " << id << '\n';
}

ExitCode request_batch(Session& session, const Options& options) {
  auto built = build(options);
  if (!built) return session.report(built.error());
  const auto request = checked(*built);
  if (!request) return session.report(request.error());
  std::optional<std::int64_t> timeout_ms;
  if (!options.timeout.empty()) {
    const auto parsed = parse_duration_ms(options.timeout);
    if (!parsed) return session.report(Errc::kInvalid, "--timeout: " + parsed.error().message);
    timeout_ms = *parsed;
  }
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());

  if (!options.wait && !timeout_ms) {
    const ExitCode sent = send(session, **log, *request);
    if (sent == ExitCode::kYes) print_requested(session, *request);
    return sent;
  }
  // A batch that was requested before under the same id has told its story already.
  auto follower = options.batch_id.empty() ? BatchFollower::before_request(**log, request->batch_id)
                                           : BatchFollower::find(**log, request->batch_id);
  if (!follower) return session.report(follower.error());
  if (const auto caught_up = follower->catch_up(); !caught_up) {
    return session.report(caught_up.error());
  }
  if (const auto& earlier = follower->progress().accepted()) {
    if (auto same = check_against(*earlier, *request); !same) return session.report(same.error());
  }
  if (const ExitCode sent = send(session, **log, *request); sent != ExitCode::kYes) return sent;
  if (!session.json) {
    session.terminal().error() << "Batch " << request->batch_id.to_string() << ", "
                               << with_thousands(request->product_count) << " products\n";
  }
  return follow_to_end(session, *follower, timeout_ms);
}

}  // namespace

void add_batch_request(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand("request",
                                            "Request a batch of products\n"
                                            "Writes one batch-requested event, as any producer "
                                            "may. The same id with the same content again\n"
                                            "is the same batch; with other content it is refused.");
  auto options = std::make_shared<Options>();
  const auto text = [&](const char* name, std::optional<std::string>& value, const char* meaning,
                        const char* type) {
    add_text(*command, name, value, meaning)->type_name(type);
  };
  add_number(*command, "-n,--count", options->count, 1, events::kProductCountMax,
             "How many products, up to 10,000,000; default 1000");
  command->add_option("--batch-id", options->batch_id, "The batch's id; default: a new random one")
      ->type_name("UUID");
  text("--tenant", options->tenant, "Whose batch it is", "NAME");
  text("--name", options->name, "A name for people", "TEXT");
  text("--sku", options->sku, "Stock keeping unit", "TEXT");
  text("--gtin", options->gtin, "GS1 trade item number, with check digit", "DIGITS");
  text("--lot", options->lot, "GS1 batch or lot number", "TEXT");
  text("--metadata", options->metadata, "Data of your own: a JSON object, or a file that holds one",
       "JSON|FILE");
  text("--callback-url", options->callback_url, "Where to announce completion", "URL");
  add_number(*command, "--first-serial", options->first_serial, 0,
             std::numeric_limits<std::int64_t>::max(), "Serial of the first product; default 1");
  command->add_flag("--wait", options->wait, "Follow the batch to its end");
  command->add_option("--timeout", options->timeout, "Wait, but no longer than this: 30s, 5m, 2h")
      ->type_name("TIME");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag batch request --count 1000 --wait\n"
           "  voketag batch request -n 250000 --gtin 09520123456788 --lot L42 --name 'Spring run'\n"
           "  voketag batch request --metadata '{\"line\": 3}' --json | jq -r .batch_id");
  command->callback([&session, options] {
    session.action = [&session, options] { return request_batch(session, *options); };
  });
}

}  // namespace voketag::cli
