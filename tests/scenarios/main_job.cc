#include "tests/scenarios/main_job.h"

#include <algorithm>
#include <memory>
#include <random>
#include <span>

#include "events/codec.h"
#include "events/events.h"
#include "events/topics.h"
#include "processors/anchoring/aggregate.h"
#include "processors/anchoring/anchoring_processor.h"
#include "processors/anchoring/anchoring_state.h"
#include "processors/anchoring/mock_chain.h"
#include "processors/batches/batches_processor.h"
#include "processors/ingress/ingress_processor.h"
#include "processors/merkle/inclusion_proof.h"
#include "processors/merkle/merkle_processor.h"
#include "processors/tokens/token.h"
#include "processors/tokens/tokens_processor.h"
#include "processors/views/anchors_projection.h"
#include "processors/views/batches_projection.h"
#include "processors/views/merkle_subtrees_projection.h"
#include "processors/views/products_projection.h"
#include "runtime/shadow_replay.h"
#include "tests/unit/token/reference_tree.h"

namespace voketag::scenarios {
namespace {

using processors::Hash;
using runtime::MemoryLog;
using runtime::StateOn;
using runtime::TestDriver;

constexpr std::uint8_t kKeyId = 5;
constexpr std::size_t kLinesToldMax = 3;
// Of so many seeds one has its state on a disk, with all that RocksDB does there, and takes several
// times as long for that.
constexpr std::uint64_t kSeedsPerDisk = 20;

// ---- outcome ------------------------------------------------------------------------------------

template <class Event>
Event read(const std::string& json) {
  auto event = events::decode<Event>(json);
  if (!event) throw std::runtime_error(json + ": " + event.error().message);
  return *std::move(event);
}

std::vector<std::string> comparable_submitted(const std::string& json) {
  std::vector<std::string> lines;
  for (const auto& leaf : read<events::AnchorSubmitted>(json).leaves) {
    lines.push_back(leaf.batch_id.to_string());
  }
  return lines;
}

// An event without what time alone decides.
std::vector<std::string> comparable_event(std::string_view topic, const std::string& json) {
  if (topic == events::AnchorSubmitted::kTopic) return comparable_submitted(json);
  if (topic == events::AnchorAccepted::kTopic) {
    auto event = read<events::AnchorAccepted>(json);
    if (event.origin == "retry") event.requested_at = {};
    return {events::encode(event)};
  }
  if (topic == events::AnchorCompleted::kTopic) {
    auto event = read<events::AnchorCompleted>(json);
    event.transaction_id = event.block_hash = {"0x"};
    event.block_number = event.gas_used = 0;
    event.anchored_at = {};
    event.aggregate = {};
    return {events::encode(event)};
  }
  if (topic == events::AnchorFailed::kTopic) {
    auto event = read<events::AnchorFailed>(json);
    event.next_retry_at.reset();
    return {events::encode(event)};
  }
  if (topic == events::BatchCompleted::kTopic) {
    auto event = read<events::BatchCompleted>(json);
    event.transaction_id = {"0x"};
    event.completed_at = {};
    return {events::encode(event)};
  }
  if (topic == events::BatchFailed::kTopic) {
    auto event = read<events::BatchFailed>(json);
    event.failed_at = {};
    return {events::encode(event)};
  }
  return {json};
}

void add_topic(const MemoryLog& log, std::string_view topic, Outcome& outcome) {
  auto& lines = outcome[std::string(topic)];
  for (const auto& record : log.records(topic)) {
    for (const auto& line : comparable_event(topic, record.value.value_or("(tombstone)"))) {
      lines.insert(record.key.value_or("(none)") + " " + line);
    }
  }
}

void add_dead_letters(const MemoryLog& log, Outcome& outcome) {
  auto& lines = outcome[std::string(events::kDeadLetters)];
  std::set<std::string> seen;
  for (const auto& letter : log.records(events::kDeadLetters)) {
    if (!seen.insert(letter.header("ce_id").value()).second) continue;
    lines.insert(letter.header("dead_letter_processor").value() + " " +
                 letter.header("dead_letter_reason").value() + " " +
                 letter.header("dead_letter_topic").value() + " " + letter.key.value_or("(none)") +
                 " " + letter.value.value_or("(tombstone)"));
  }
}

void add_views(const runtime::MemoryViews& views, Outcome& outcome) {
  static const std::set<std::string_view> kTimely{
      "transaction_id", "leaf_index",     "block_number",  "gas_used",   "created_at",
      "updated_at",     "anchored_at",    "completed_at",  "block_hash", "tree_size",
      "next_retry_at",  "aggregate_root", "aggregate_path"};
  for (const auto& [name, table] : views.tables()) {
    if (name == "anchor_transactions") continue;  // check_products looks at these
    auto& lines = outcome["view " + name];
    for (const auto& [key, row] : table.rows) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        const auto& column = table.view->columns[i];
        if (kTimely.contains(column.name)) continue;
        line += std::string(column.name) + "=" + row[i].value_or("(null)") + " ";
      }
      lines.insert(line);
    }
  }
}

// A key's value without what time alone decides; none: the key itself is of that kind.
std::optional<std::string> comparable_state(std::string_view key, const std::string& value) {
  const auto table = key.substr(0, key.find('/'));
  if (table == "place") {
    auto place = read<processors::QueuePlace>(value);
    place.slot.reset();
    return events::encode(place);
  }
  if (table == "lane") {
    const auto lane = read<processors::LaneState>(value);
    return "waiting: " + std::to_string(lane.next_slot - lane.first_slot);
  }
  return value;
}

void add_states(const TestDriver& driver, const runtime::TestSystem& system, Outcome& outcome) {
  for (const auto& processor : system.processors) {
    auto& lines = outcome["state of " + std::string(processor->name())];
    for (const auto& [key, value] : driver.state(processor->name())) {
      const auto line = comparable_state(std::string_view(key).substr(key.find('/') + 1), value);
      if (line) lines.insert(key + " " + *line);
    }
  }
}

// ---- products -----------------------------------------------------------------------------------

struct BatchFound {
  std::map<std::int64_t, std::string> tokens;  // by serial
  std::vector<Hash> leaves() const {
    std::vector<Hash> result;
    for (const auto& [serial, token] : tokens) {
      std::vector<std::uint8_t> message(1 + token.size());  // begins with 0x00
      std::copy(token.begin(), token.end(), message.begin() + 1);
      result.push_back(processors::reference::openssl_hash(message));
    }
    return result;
  }
};

using Problems = std::string;

std::map<std::string, BatchFound> gather_tokens(TestDriver& driver, Problems& problems) {
  std::map<std::string, BatchFound> batches;
  std::set<std::string> all;
  for (const auto& record : driver.log().records(events::TokensGenerated::kTopic)) {
    const auto chunk = read<events::TokensGenerated>(*record.value);
    auto& batch = batches[chunk.batch_id.to_string()];
    for (std::size_t i = 0; i < chunk.tokens.size(); ++i) {
      const auto serial = chunk.first_serial + static_cast<std::int64_t>(i);
      const auto& token = chunk.tokens[i];
      if (!batch.tokens.emplace(serial, token).second) {
        problems += "serial " + std::to_string(serial) + " of " + chunk.batch_id.to_string() +
                    " was made twice\n";
      }
      if (!all.insert(token).second) problems += "token " + token + " was made twice\n";
      const auto parsed = processors::parse_token(token);
      if (!parsed ||
          processors::verify_token(*parsed, token_keys()) != processors::TokenVerdict::kAuthentic) {
        problems += "token " + token + " is not authentic\n";
      }
    }
  }
  return batches;
}

void check_rows(TestDriver& driver, const std::map<std::string, BatchFound>& batches,
                Problems& problems) {
  std::map<std::string, BatchFound> rows;
  if (const auto* table = driver.views().table("products")) {
    for (const auto& [id, row] : table->rows) {
      const auto serial = std::stoll(table->value(id, "serial").value());
      const auto& token = table->value(id, "token").value();
      if (!rows[table->value(id, "batch_id").value()].tokens.emplace(serial, token).second) {
        problems += "two rows of one serial, " + token + "\n";
      }
    }
  }
  if (rows.size() != batches.size()) problems += "the rows are not of the batches that were made\n";
  for (const auto& [id, batch] : batches) {
    if (rows[id].tokens != batch.tokens) problems += "rows and tokens of " + id + " differ\n";
  }
}

void check_anchor(const std::map<std::string, events::AnchorSubmitted>& transactions,
                  const events::AnchorCompleted& anchor, Problems& problems) {
  const auto id = anchor.batch_id.to_string();
  const auto transaction = transactions.find(anchor.transaction_id.text);
  if (transaction == transactions.end()) {
    problems += "the transaction of " + id + " was never submitted\n";
    return;
  }
  const auto leaf =
      processors::AggregateLeafData{processors::AggregateKind::kBatch, anchor.batch_id,
                                    static_cast<std::uint64_t>(anchor.product_count),
                                    anchor.merkle_root.bytes}
          .leaf();
  std::vector<Hash> path;
  for (const auto& hash : anchor.aggregate.path) path.push_back(hash.bytes);
  if (!processors::verify_inclusion(leaf, static_cast<std::uint64_t>(anchor.aggregate.leaf_index),
                                    static_cast<std::uint64_t>(anchor.aggregate.tree_size), path,
                                    transaction->second.aggregate_root.bytes)) {
    problems += "the anchor of " + id + " is not proven by its transaction\n";
  }
}

void check_anchors(TestDriver& driver, Problems& problems) {
  std::map<std::string, events::AnchorSubmitted> transactions;
  std::set<std::int64_t> nonces;
  for (const auto& record : driver.log().records(events::AnchorSubmitted::kTopic)) {
    auto submitted = read<events::AnchorSubmitted>(*record.value);
    if (!nonces.insert(submitted.nonce).second) problems += "a nonce was used twice\n";
    const auto id = submitted.transaction_id.text;
    transactions.emplace(id, std::move(submitted));
  }
  const auto* rows = driver.views().table("anchor_transactions");
  if ((rows == nullptr ? 0 : rows->rows.size()) != transactions.size()) {
    problems += "the rows of transactions are not those that were submitted\n";
  }
  for (const auto& record : driver.log().records(events::AnchorCompleted::kTopic)) {
    check_anchor(transactions, read<events::AnchorCompleted>(*record.value), problems);
  }
}

void check_roots(TestDriver& driver, const std::map<std::string, BatchFound>& batches,
                 Problems& problems) {
  std::set<std::string> with_root;
  for (const auto& record : driver.log().records(events::MerkleRootComputed::kTopic)) {
    const auto event = read<events::MerkleRootComputed>(*record.value);
    const auto id = event.batch_id.to_string();
    if (!with_root.insert(id).second) problems += "two roots of " + id + "\n";
    const auto found = batches.find(id);
    if (found == batches.end()) {
      problems += "a root without tokens, " + id + "\n";
      continue;
    }
    const auto& tokens = found->second.tokens;
    if (static_cast<std::int64_t>(tokens.size()) != event.product_count ||
        tokens.rbegin()->first - tokens.begin()->first + 1 != event.product_count) {
      problems += id + " has " + std::to_string(tokens.size()) + " tokens, not " +
                  std::to_string(event.product_count) + " in one run of serials\n";
    }
    const auto leaves = found->second.leaves();
    if (processors::reference::root(leaves) != event.merkle_root.bytes) {
      problems += "the root of " + id + " is not that of its tokens\n";
    }
  }
  for (const auto& [id, batch] : batches) {
    if (!with_root.contains(id)) problems += "no root of " + id + "\n";
  }
}

// ---- inputs -------------------------------------------------------------------------------------

struct Input {
  events::OutputRecord record;
  events::Timestamp timestamp;
  std::int64_t step = 0;
};

std::string batch_id(std::uint64_t number) {
  return events::Uuid::v5(events::kNamespace, "batch " + std::to_string(number)).to_string();
}

events::OutputRecord request(const std::string& id, std::int64_t count) {
  events::OutputRecord record;
  record.topic = events::BatchRequested::kTopic;
  record.key = id;
  record.value = R"({"batch_id":")" + id + R"(","product_count":)" + std::to_string(count) + "}";
  return record;
}

events::OutputRecord bad_request(std::mt19937_64& random) {
  static const std::vector<std::string> kBad{"not json", "{}", R"({"batch_id":1})", "\xff\xfe",
                                             R"({"batch_id":"x","product_count":0})"};
  events::OutputRecord record;
  record.topic = events::BatchRequested::kTopic;
  record.key = "bad " + std::to_string(random() % 100);
  if (random() % 6 != 0) record.value = kBad[random() % kBad.size()];
  return record;
}

events::OutputRecord external_anchor(std::uint64_t number) {
  events::AnchorRequested event;
  event.batch_id = events::Uuid::v5(events::kNamespace, "external " + std::to_string(number));
  event.merkle_root.bytes[0] = static_cast<std::uint8_t>(number);
  event.product_count = 7;
  events::OutputRecord record;
  record.topic = events::AnchorRequested::kTopic;
  record.key = event.batch_id.to_string();
  record.value = events::encode(event);
  return record;
}

// What outsiders send: a few batches, the same ones again, other content under the same id,
// outsiders' anchors, and rubbish. The broker times are given, since ids follow from them.
std::vector<Input> make_inputs(std::mt19937_64& random, std::int64_t steps) {
  std::vector<Input> inputs;
  const std::uint64_t batches = 4 + random() % 9;
  const auto add = [&](events::OutputRecord record) {
    const auto number = static_cast<std::int64_t>(inputs.size());
    inputs.push_back({std::move(record), {1'699'999'000'000 + 7 * number}, 0});
  };
  for (std::uint64_t i = 0; i < batches; ++i) {
    const auto count = static_cast<std::int64_t>(1 + random() % 40);
    add(request(batch_id(i), count));
    if (random() % 3 == 0) add(request(batch_id(i), count));
    if (random() % 4 == 0) add(request(batch_id(i), count + 1));
    if (random() % 3 == 0) add(bad_request(random));
    if (random() % 3 == 0) add(external_anchor(i));
  }
  std::vector<std::int64_t> at;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    at.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(steps)));
  }
  std::sort(at.begin(), at.end());
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i].step = at[i];
  return inputs;
}

MainJobOptions make_options(std::mt19937_64& random) {
  MainJobOptions options;
  options.made_at_once_max = random() % 2 == 0 ? 0 : 10;
  options.mock_failures = static_cast<std::int64_t>(random() % 2);
  options.block_time_ms = random() % 2 == 0 ? 0 : 2'000;
  return options;
}

}  // namespace

const processors::TokenKeys& token_keys() {
  static const auto keys =
      processors::TokenKeys::parse("5:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  return *keys;
}

runtime::TestSystem main_job(const MainJobOptions& options) {
  processors::IngressConfig ingress{.signing_key_id = kKeyId, .chunk_size = options.chunk_size};
  processors::BatchesConfig batches;
  batches.made_at_once_max = options.made_at_once_max;
  batches.products_in_flight_max = options.products_in_flight_max;
  batches.stall_timeout_ms = options.stall_timeout_ms;
  batches.reminders_max = options.reminders_max;
  batches.anchor_retry_ms = options.anchor_retry_ms;
  processors::MockChainConfig chain;
  chain.block_time_ms = options.block_time_ms;
  chain.mock_failures = options.mock_failures;
  chain.retry_ms = options.retry_ms;
  runtime::TestSystem system;
  system.processors = {std::make_shared<processors::IngressProcessor>(ingress),
                       std::make_shared<processors::BatchesProcessor>(batches, token_keys()),
                       std::make_shared<processors::TokensProcessor>(token_keys()),
                       std::make_shared<processors::MerkleProcessor>(),
                       std::make_shared<processors::AnchoringProcessor>(
                           std::make_unique<processors::MockChain>(chain))};
  system.projections = {std::make_shared<processors::BatchesProjection>(),
                        std::make_shared<processors::ProductsProjection>(),
                        std::make_shared<processors::AnchorsProjection>(),
                        std::make_shared<processors::MerkleSubtreesProjection>()};
  return system;
}

Outcome outcome_of(const TestDriver& driver, const runtime::TestSystem& system) {
  auto& open = const_cast<TestDriver&>(driver);
  Outcome outcome;
  for (const auto& topic : events::topic_catalogue()) {
    if (topic.name != events::kDeadLetters) add_topic(open.log(), topic.name, outcome);
  }
  add_dead_letters(open.log(), outcome);
  add_views(open.views(), outcome);
  add_states(driver, system, outcome);
  return outcome;
}

std::string check_shadows(TestDriver& driver, const runtime::TestSystem& system,
                          const std::filesystem::path& scratch) {
  Problems problems;
  std::filesystem::create_directories(scratch);
  for (const auto& processor : system.processors) {
    const std::string name(processor->name());
    const auto report =
        runtime::replay_in_shadow(driver.log(), *processor, {.scratch = scratch},
                                  [](const runtime::ShadowProgress&) { return true; });
    if (!report) {
      problems += "the shadow of " + name + ": " + report.error().message + "\n";
      continue;
    }
    // Small batches alone leave some processors without work.
    const bool is_idle = report->is_empty() && report->extra == 0;
    if (is_idle || (report->is_equal() && report->extra)) continue;
    problems += "the shadow of " + name + " emits " + std::to_string(report->equal) +
                " outputs as they were, " + std::to_string(report->different) + " others, " +
                std::to_string(report->missing) + " more and " +
                std::to_string(report->extra.value_or(-1)) +
                " less; timers unset: " + std::to_string(report->unset_timers) + "\n";
    for (const auto& each : report->differences) {
      problems +=
          std::string(to_string(each.kind)) + " in " + each.topic + ": " + each.detail + "\n";
    }
  }
  return problems;
}

std::string differences(const Outcome& expected, const Outcome& actual) {
  std::string text;
  std::set<std::string> names;
  for (const auto& [name, lines] : expected) names.insert(name);
  for (const auto& [name, lines] : actual) names.insert(name);
  for (const auto& name : names) {
    const auto lines_of = [&](const Outcome& outcome) {
      const auto found = outcome.find(name);
      return found == outcome.end() ? std::multiset<std::string>{} : found->second;
    };
    const auto left = lines_of(expected);
    const auto right = lines_of(actual);
    std::vector<std::string> missing;
    std::vector<std::string> extra;
    std::set_difference(left.begin(), left.end(), right.begin(), right.end(),
                        std::back_inserter(missing));
    std::set_difference(right.begin(), right.end(), left.begin(), left.end(),
                        std::back_inserter(extra));
    const auto tell = [&](const char* what, const std::vector<std::string>& which) {
      for (std::size_t i = 0; i < which.size() && i < kLinesToldMax; ++i) {
        text += name + ": " + what + " " + which[i].substr(0, 300) + "\n";
      }
      if (which.size() > kLinesToldMax) {
        text += name + ": " + std::to_string(which.size()) + " lines are " + what + "\n";
      }
    };
    tell("missing", missing);
    tell("too much", extra);
  }
  return text;
}

std::string check_products(TestDriver& driver) {
  Problems problems;
  const auto batches = gather_tokens(driver, problems);
  check_rows(driver, batches, problems);
  check_roots(driver, batches, problems);
  check_anchors(driver, problems);
  return problems;
}

Simulation simulate(std::uint64_t seed, const std::filesystem::path& directory) {
  std::mt19937_64 random(seed);
  const auto job_options = make_options(random);
  const std::int64_t disturbed_steps = 1'000 + static_cast<std::int64_t>(random() % 4'000);
  const auto inputs = make_inputs(random, disturbed_steps);
  const bool standbys = random() % 2 == 0;
  const auto system = main_job(job_options);
  Simulation result;
  Outcome outcomes[2];
  for (const bool disturbed : {false, true}) {
    TestDriver driver(system,
                      {.seed = seed,
                       .directory = directory,
                       .state_on = seed % kSeedsPerDisk == 0 ? StateOn::kDisk : StateOn::kMemory,
                       .disturbed = disturbed,
                       .standbys = standbys,
                       .disturbed_steps = disturbed_steps});
    for (const auto& input : inputs) {
      driver.at_step(disturbed ? input.step : 0,
                     [&] { driver.log().append(input.record, input.timestamp); });
    }
    const auto status = driver.run();
    outcomes[disturbed ? 1 : 0] = outcome_of(driver, system);
    std::string problem = status ? "" : status.error().message + "\n";
    problem += check_products(driver);
    if (status) problem += driver.compare_local_state();
    if (disturbed) problem += differences(outcomes[0], outcomes[1]);
    if (disturbed && status) problem += check_shadows(driver, system, directory / "shadow");
    result.steps += driver.steps();
    result.disturbances = driver.disturbances();
    result.simulated_ms = driver.simulated_ms();
    result.disturbed_ms = driver.disturbed_ms();
    if (problem.empty()) continue;
    result.problem = "seed " + std::to_string(seed) + (disturbed ? "" : ", undisturbed") + ":\n" +
                     problem + "the last steps:\n" + driver.trace();
    return result;
  }
  return result;
}

}  // namespace voketag::scenarios
