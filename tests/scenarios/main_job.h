#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "events/record.h"
#include "events/timestamp.h"
#include "processors/tokens/token_keys.h"
#include "runtime/test_driver.h"

// The main job, from batch-requested to anchored products in the views, on the test driver.
namespace voketag::scenarios {

struct MainJobOptions {
  std::int64_t chunk_size = 4;
  std::int64_t made_at_once_max = 0;
  std::int64_t products_in_flight_max = 12;
  std::int64_t stall_timeout_ms = 600'000;
  std::int64_t reminders_max = 100;
  std::int64_t anchor_retry_ms = 900'000;
  std::int64_t mock_failures = 0;
  std::int64_t block_time_ms = 2'000;
  std::int64_t retry_ms = 3'000;
};

const processors::TokenKeys& token_keys();
runtime::TestSystem main_job(const MainJobOptions& options);

// What is left when everything has come to rest, without what time alone decides: topic or table ->
// lines. Two runs over the same inputs must have equal outcomes, whatever happened on the way.
//
// Left out are: transaction, block, gas and place in the aggregate tree of an anchor (which roots
// meet in one transaction depends on when they come), and the times at which something was
// submitted, anchored, completed, failed, retried or last changed. Broker times of requests stay:
// ids follow from them. Of a dead letter its reason, processor, key and value stay; of its origin
// the topic; letters of one id count as one.
using Outcome = std::map<std::string, std::multiset<std::string>>;
Outcome outcome_of(const runtime::TestDriver& driver, const runtime::TestSystem& system);
// What differs, line by line; empty: nothing.
std::string differences(const Outcome& expected, const Outcome& actual);

// What is wrong with the products, by an independent count: serials from the first to the last,
// each once; tokens authentic and unique; roots recomputed after RFC 6962 word for word; every
// anchor proven up to a transaction that was submitted; the rows those of the events. Empty:
// nothing.
std::string check_products(runtime::TestDriver& driver);

// Whether each processor, run again in a shadow in the order of its history, emits exactly what it
// emitted, byte by byte, and nothing else: time and the world are records. Empty: it does.
std::string check_shadows(runtime::TestDriver& driver, const runtime::TestSystem& system,
                          const std::filesystem::path& scratch);

// One seed: inputs, an undisturbed and a disturbed run, and whether they end alike. Empty: they do;
// else what differs, and the trace of the last steps. `directory` is made and removed.
struct Simulation {
  std::string problem;
  std::int64_t steps = 0;
  std::int64_t simulated_ms = 0;  // of the disturbed run
  std::int64_t disturbed_ms = 0;  // of that, without its quiet spells and its end
  std::map<std::string, int> disturbances;
};
Simulation simulate(std::uint64_t seed, const std::filesystem::path& directory);

}  // namespace voketag::scenarios
