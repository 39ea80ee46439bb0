#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "events/error.h"
#include "processors/processor.h"
#include "processors/tokens/token_keys.h"
#include "voketag/configuration.h"
#include "voketag/processor_names.h"

namespace voketag::cli {

// "ingress, batches, ..."
std::string processor_names();

// Makes processors as a configuration has them.
class ProcessorFactory {
 public:
  // Whether that processor cannot be made without token keys.
  static bool needs_keys(std::string_view processor);

  ProcessorFactory(const Configuration& configuration, std::optional<processors::TokenKeys> keys);

  // One of kProcessorNames; must not outlive the factory.
  std::shared_ptr<processors::Processor> make(std::string_view processor) const;
  // JSON: what a change of would give the same inputs other outputs.
  std::string configuration_version() const;

 private:
  const Configuration& configuration_;
  const std::optional<processors::TokenKeys> keys_;
};

}  // namespace voketag::cli
