// How fast product rows reach PostgreSQL: psql's \copy (text) of rows beside the view sink with the
// products projection in front of it, in turn, into the same empty table. Prints one JSON object.
//
//   postgres_bench DATABASE_URL [--rows N] [--batch N] [--chunk N] [--repeat N]
//                  [--transaction-bytes N] [--stream-bytes N] [--writers N] [--sequential]
//
// Beside the time on the clock it tells the CPU time of the server's processes that did the work:
// that one can be compared on a busy machine as well. For it the server must run on this machine
// and the role be a superuser.
//
// The database is a scratch one: its schema voketag is dropped. Chunks of a batch come one of each
// partition in turn, as from Kafka; with --sequential in the order of their serials. psql copies
// the rows in the order in which one writer wrote them.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "connectors/postgres/migrations.h"
#include "connectors/postgres/postgres_view_sink.h"
#include "events/partitioner.h"
#include "events/tokens_view.h"
#include "processors/tokens/chunks.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token.h"
#include "processors/views/products_projection.h"

namespace voketag {
namespace {

struct Settings {
  std::string url;
  std::int64_t rows = 1'000'000;
  std::int64_t batch = 1'000'000;
  std::int64_t chunk = 1'024;
  int repeat = 5;
  std::size_t transaction_bytes = 8U << 20;
  std::size_t stream_bytes = 64U << 10;
  int writers = 1;
  bool sequential = false;
};

struct Chunk {
  std::int32_t partition = 0;
  std::string json;
};

[[noreturn]] void give_up(const std::string& message) {
  std::fprintf(stderr, "postgres_bench: %s\n", message.c_str());
  std::exit(1);
}

Chunk make_chunk(const processors::TokenKey& key, const processors::BatchPlan& plan,
                 const events::Uuid& batch_id, const Settings& settings, std::int64_t index) {
  const std::int64_t count =
      processors::chunk_products(plan.product_count(), settings.chunk, index);
  events::TokensGeneratedWriter writer(batch_id, index, index * settings.chunk + 1, count);
  writer.punctuate();
  for (std::int64_t i = 0; i < count; ++i) {
    const auto token = processors::format_token(
        processors::make_token(key, plan.product_id(index * settings.chunk + i)));
    std::memcpy(writer.first_token() + i * static_cast<std::int64_t>(events::kTokenStrideBytes),
                token.data(), token.size());
  }
  const std::string record_key = batch_id.to_string() + ':' + std::to_string(index);
  return {events::partition_for(record_key), std::move(writer).finish()};
}

std::vector<Chunk> make_chunks(const Settings& settings) {
  std::array<std::uint8_t, 32> secret{};
  const processors::TokenKey key(1, secret);
  std::vector<Chunk> chunks;
  for (std::int64_t first = 0; first < settings.rows; first += settings.batch) {
    const auto batch_id = events::Uuid::v5(events::kNamespace, std::to_string(first));
    const std::int64_t products = std::min(settings.batch, settings.rows - first);
    const auto plan =
        processors::BatchPlan::derive(key, {batch_id, 1'767'225'600'000 + first, products});
    if (!plan) give_up(plan.error().message);
    for (std::int64_t i = 0; i < processors::chunk_count(products, settings.chunk); ++i) {
      chunks.push_back(make_chunk(key, *plan, batch_id, settings, i));
    }
  }
  return chunks;
}

// A run of each partition in turn, as a fetch brings them.
std::vector<const Chunk*> in_order(const std::vector<Chunk>& chunks, const Settings& settings,
                                   int writer) {
  std::vector<std::vector<const Chunk*>> partitions(events::kPartitionCount);
  std::vector<const Chunk*> order;
  for (const Chunk& chunk : chunks) {
    if (chunk.partition % settings.writers != writer) continue;
    order.push_back(&chunk);
    partitions[static_cast<std::size_t>(chunk.partition)].push_back(&chunk);
  }
  if (settings.sequential) return order;
  constexpr std::size_t kRun = 16;
  std::size_t placed = 0;
  for (std::size_t from = 0; placed < order.size(); from += kRun) {
    for (const auto& partition : partitions) {
      for (std::size_t i = from; i < std::min(from + kRun, partition.size()); ++i) {
        order[placed++] = partition[i];
      }
    }
  }
  return order;
}

// CPU seconds, of user and system, from the text of /proc/PID/stat; 0 when there is none.
double cpu_seconds(std::string_view stat) {
  const auto after_name = stat.rfind(')');
  if (after_name == std::string_view::npos) return 0;
  long user_ticks = 0;
  long system_ticks = 0;
  std::sscanf(std::string(stat.substr(after_name + 2)).c_str(),
              "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user_ticks, &system_ticks);
  return static_cast<double>(user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string read_all(std::FILE* file) {
  std::string text;
  std::array<char, 4096> piece{};
  while (const auto read = std::fread(piece.data(), 1, piece.size(), file)) {
    text.append(piece.data(), read);
  }
  return text;
}

double cpu_seconds_of_process(int process_id) {
  std::FILE* const file =
      std::fopen(("/proc/" + std::to_string(process_id) + "/stat").c_str(), "r");
  if (file == nullptr) return 0;
  const std::string stat = read_all(file);
  std::fclose(file);
  return cpu_seconds(stat);
}

struct Spent {
  double seconds = 0;
  double server_cpu_seconds = 0;
};

struct NoRejects : runtime::ViewSink::RejectHandler {
  events::Status on_rejected(std::span<const runtime::ViewSink::Rejected> rejected) override {
    return events::fail(events::Errc::kInternal, rejected.front().detail);
  }
};

void write_rows(const Settings& settings, std::vector<const Chunk*> chunks, double& server_cpu) {
  processors::ProductsProjection projection;
  postgres::PostgresViewSinkOptions options;
  options.connection.url = settings.url;
  options.projection = "products";
  options.stream_bytes_min = settings.stream_bytes;
  postgres::PostgresViewSink sink(options, projection.views());
  NoRejects rejects;
  events::RecordView record;
  record.topic = "tokens-generated";
  std::vector<std::int64_t> committed(events::kPartitionCount);
  std::vector<std::int64_t> next(events::kPartitionCount);
  const auto commit = [&] {
    std::vector<runtime::ViewSink::Advance> advances;
    for (std::size_t p = 0; p < next.size(); ++p) {
      if (next[p] == committed[p]) continue;
      advances.push_back(
          {{"tokens-generated", static_cast<std::int32_t>(p)}, committed[p], next[p]});
    }
    if (const auto done = sink.commit(advances, rejects); !done) give_up(done.error().message);
    committed = next;
  };
  const std::vector<runtime::TopicPartition> first{{"tokens-generated", 0}};
  if (const auto at = sink.positions(first); !at) give_up(at.error().message);
  for (const Chunk* chunk : chunks) {
    auto& offset = next[static_cast<std::size_t>(chunk->partition)];
    sink.begin_record({"tokens-generated", chunk->partition}, offset++);
    record.value = chunk->json;
    if (const auto done = projection.project(record, sink.rows()); !done) {
      give_up(done.error().message);
    }
    if (sink.gathered_bytes() >= settings.transaction_bytes) commit();
  }
  commit();
  server_cpu = cpu_seconds_of_process(*sink.backend_id());
}

double seconds_of(const auto& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void empty_schema(const Settings& settings) {
  auto connection = postgres::Connection::open({.url = settings.url});
  if (!connection) give_up(connection.error().message);
  if (!connection->execute("DROP SCHEMA IF EXISTS voketag CASCADE")) give_up("cannot drop");
  if (const auto done = postgres::migrate(*connection); !done) give_up(done.error().message);
  if (!connection->execute("CHECKPOINT")) give_up("cannot checkpoint");
}

void check_count(const Settings& settings) {
  auto connection = postgres::Connection::open({.url = settings.url});
  const auto count = connection->execute("SELECT count(*) FROM voketag.products");
  if (!count || count->int64(0, 0) != settings.rows) give_up("rows are missing");
}

Spent time_sink(const Settings& settings, const std::vector<Chunk>& chunks) {
  empty_schema(settings);
  Spent spent;
  std::vector<double> cpu(static_cast<std::size_t>(settings.writers));
  spent.seconds = seconds_of([&] {
    std::vector<std::thread> writers;
    for (int writer = 0; writer < settings.writers; ++writer) {
      writers.emplace_back(write_rows, settings, in_order(chunks, settings, writer),
                           std::ref(cpu[static_cast<std::size_t>(writer)]));
    }
    for (auto& writer : writers) writer.join();
  });
  for (const double seconds : cpu) spent.server_cpu_seconds += seconds;
  check_count(settings);
  return spent;
}

Spent time_psql(const Settings& settings, const std::string& rows_file) {
  empty_schema(settings);
  const std::string command = "psql -XqAt -v ON_ERROR_STOP=1 '" + settings.url +
                              "' -c \"\\copy voketag.products from '" + rows_file +
                              "'\" -c \"SELECT pg_read_file('/proc/self/stat')\"";
  Spent spent;
  spent.seconds = seconds_of([&] {
    std::FILE* const psql = popen(command.c_str(), "r");
    if (psql == nullptr) give_up("psql cannot be run");
    spent.server_cpu_seconds = cpu_seconds(read_all(psql));
    pclose(psql);
  });
  check_count(settings);
  return spent;
}

// Rows as text, in the order in which one writer writes them.
std::string write_rows_file(const Settings& settings, const std::vector<Chunk>& chunks) {
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("voketag-products-" + std::to_string(getpid()) + ".tsv"))
                               .string();
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr) give_up("cannot write the rows");
  Settings one_writer = settings;
  one_writer.writers = 1;
  events::TokensView view;
  for (const Chunk* chunk : in_order(chunks, one_writer, 0)) {
    if (const auto read = view.read(chunk->json); !read) give_up(read.error().message);
    std::int64_t serial = view.first_serial();
    const std::string batch_id = view.batch_id().to_string();
    for (const auto text : view.tokens()) {
      std::fprintf(file, "%s\t%s\t%lld\t%.*s\tactive\n",
                   processors::parse_token(text)->product_id.to_string().c_str(), batch_id.c_str(),
                   static_cast<long long>(serial++), static_cast<int>(text.size()), text.data());
    }
  }
  std::fclose(file);
  return path;
}

double median(const std::vector<Spent>& spent, double Spent::*member) {
  std::vector<double> values;
  for (const Spent& one : spent) values.push_back(one.*member);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print_result(const Settings& settings, const std::vector<Spent>& psql,
                  const std::vector<Spent>& sink) {
  const double rows = static_cast<double>(settings.rows);
  const double psql_seconds = median(psql, &Spent::seconds);
  const double sink_seconds = median(sink, &Spent::seconds);
  std::printf(
      "{\"rows\":%.0f,\"psql_rows_per_second\":%.0f,\"sink_rows_per_second\":%.0f,"
      "\"ratio\":%.3f,\"psql_server_cpu_seconds\":%.2f,\"sink_server_cpu_seconds\":%.2f}\n",
      rows, rows / psql_seconds, rows / sink_seconds, psql_seconds / sink_seconds,
      median(psql, &Spent::server_cpu_seconds), median(sink, &Spent::server_cpu_seconds));
}

Settings parse(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    const auto number = [&] { return i + 1 < count ? std::atoll(arguments[++i]) : 0; };
    if (name == "--rows")
      settings.rows = number();
    else if (name == "--batch")
      settings.batch = number();
    else if (name == "--chunk")
      settings.chunk = number();
    else if (name == "--repeat")
      settings.repeat = static_cast<int>(number());
    else if (name == "--transaction-bytes")
      settings.transaction_bytes = static_cast<std::size_t>(number());
    else if (name == "--stream-bytes")
      settings.stream_bytes = static_cast<std::size_t>(number());
    else if (name == "--writers")
      settings.writers = static_cast<int>(number());
    else if (name == "--sequential")
      settings.sequential = true;
    else
      settings.url = name;
  }
  if (settings.url.empty() || settings.rows < 1 || settings.repeat < 1 || settings.writers < 1) {
    give_up(
        "usage: postgres_bench DATABASE_URL [--rows N] [--batch N] [--chunk N] [--repeat N] "
        "[--transaction-bytes N] [--stream-bytes N] [--writers N] [--sequential]");
  }
  return settings;
}

int run(int count, char** arguments) {
  const Settings settings = parse(count, arguments);
  const std::vector<Chunk> chunks = make_chunks(settings);
  const std::string rows_file = write_rows_file(settings, chunks);
  std::vector<Spent> psql;
  std::vector<Spent> sink;
  for (int round = 0; round < settings.repeat; ++round) {
    psql.push_back(time_psql(settings, rows_file));
    sink.push_back(time_sink(settings, chunks));
    std::fprintf(stderr, "round %d: psql %.2f s (server's CPU %.2f s), sink %.2f s (%.2f s)\n",
                 round + 1, psql.back().seconds, psql.back().server_cpu_seconds,
                 sink.back().seconds, sink.back().server_cpu_seconds);
  }
  std::remove(rows_file.c_str());
  print_result(settings, psql, sink);
  return 0;
}

}  // namespace
}  // namespace voketag

int main(int count, char** arguments) {
  return voketag::run(count, arguments);
}
