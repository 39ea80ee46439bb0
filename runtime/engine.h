#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "events/error.h"
#include "processors/processor.h"
#include "processors/projection.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/view_sink.h"
#include "state/database.h"

namespace voketag::runtime {

struct EngineOptions {
  // Before the names of consumer groups and transactional ids, as before those of topics: systems
  // with prefixes of their own can share a cluster.
  std::string name_prefix = "voketag.";
  // Names this process among all that run: part of every transactional id, so that a successor with
  // the same name takes over at once. Two processes that run must not share it.
  std::string instance;
  // A change of configuration that changes outputs must change this; it is in every commit record.
  std::string configuration_version;
  int commit_interval_ms = 100;
  std::size_t transaction_bytes_max = 8U << 20;
  // Follow the changelogs of the partitions that this process does not own (standby.h).
  bool standbys = true;
};

// Runs processors and projections, each worker on a thread of its own, until told to stop. One more
// thread follows the partitions of these processors that other processes own.
class Engine {
 public:
  Engine(Log& log, state::Database& database, const Clock& clock, EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // `slots` workers share the partitions of this processor within the process.
  void add_processor(std::shared_ptr<processors::Processor> processor, int slots);
  // `make_sink` is called on the slot's own thread; it must not wait. As long as it says
  // kUnavailable, this slot waits and is no member of its group, and nothing else waits: it is
  // asked again until it gives a sink, fails otherwise, or the engine stops.
  using MakeSink = std::function<events::Result<std::unique_ptr<ViewSink>>()>;
  void add_projection(std::shared_ptr<processors::Projection> projection, int slots,
                      MakeSink make_sink);

  // Blocks until `stop` is set (by a signal handler, say) or a worker meets an error that it cannot
  // cure; then commits, flushes and leaves the groups. ok: a clean stop, nothing will be replayed.
  events::Status run(const std::atomic<bool>& stop);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace voketag::runtime
