#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "voketag/session.h"

namespace voketag::cli {

struct ProcessorReplayOptions {
  std::optional<std::string> processor;
  std::optional<std::int32_t> partition;
  std::optional<std::string> state;    // a checkpoint to begin at
  std::optional<std::string> scratch;  // where there is room; else TMPDIR
};

// `voketag replay --processor`: runs this program's processor over old traffic in a shadow
// (runtime/shadow_replay.h) and says how what it emits differs from what was emitted. kYes: not at
// all; kNo: it does.
ExitCode replay_processor(Session& session, const ProcessorReplayOptions& options);

}  // namespace voketag::cli
