#include "voketag/processor_factory.h"

#include <cassert>
#include <utility>

#include "processors/anchoring/anchoring_processor.h"
#include "processors/anchoring/mock_chain.h"
#include "processors/batches/batches_processor.h"
#include "processors/ingress/ingress_processor.h"
#include "processors/merkle/merkle_processor.h"
#include "processors/tokens/tokens_processor.h"
#include "voketag/json_text.h"

namespace voketag::cli {
namespace {

std::string key_ids(const processors::TokenKeys& keys) {
  std::string ids;
  for (int id = 0; id <= 255; ++id) {
    if (keys.find(static_cast<std::uint8_t>(id)) == nullptr) continue;
    ids += (ids.empty() ? "" : ",") + std::to_string(id);
  }
  return ids;
}

}  // namespace

std::string processor_names() {
  std::string names;
  for (const auto name : kProcessorNames) names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

bool ProcessorFactory::needs_keys(std::string_view processor) {
  return processor == "ingress" || processor == "batches" || processor == "tokens";
}

ProcessorFactory::ProcessorFactory(const Configuration& configuration,
                                   std::optional<processors::TokenKeys> keys)
    : configuration_(configuration), keys_(std::move(keys)) {}

std::shared_ptr<processors::Processor> ProcessorFactory::make(std::string_view processor) const {
  assert(keys_ || !needs_keys(processor));
  if (processor == "ingress") {
    processors::IngressConfig config;
    config.signing_key_id = keys_->signing().id();
    config.chunk_size = configuration_.chunk_size;
    return std::make_shared<processors::IngressProcessor>(config);
  }
  if (processor == "batches") {
    processors::BatchesConfig config;
    config.products_in_flight_max = configuration_.products_in_flight;
    return std::make_shared<processors::BatchesProcessor>(config, *keys_);
  }
  if (processor == "tokens") return std::make_shared<processors::TokensProcessor>(*keys_);
  if (processor == "merkle") return std::make_shared<processors::MerkleProcessor>();
  assert(processor == "anchoring");
  processors::MockChainConfig config;
  config.block_time_ms = configuration_.mock_block_time_ms;
  return std::make_shared<processors::AnchoringProcessor>(
      std::make_unique<processors::MockChain>(config));
}

std::string ProcessorFactory::configuration_version() const {
  JsonText json;
  json.begin_object();
  if (keys_) {
    json.member("signing_key_id", static_cast<std::int64_t>(keys_->signing().id()))
        .member("key_ids", key_ids(*keys_));
  }
  json.member("chunk_size", configuration_.chunk_size)
      .member("made_at_once_max", processors::kMadeAtOnceMax)
      .member("products_in_flight", configuration_.products_in_flight)
      .member("mock_block_time_ms", configuration_.mock_block_time_ms)
      .end_object();
  return json.text();
}

}  // namespace voketag::cli
