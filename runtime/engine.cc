#include "runtime/engine.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "events/partitioner.h"
#include "runtime/held_back.h"
#include "runtime/projector.h"
#include "runtime/standby.h"
#include "runtime/worker.h"
#include "state/store.h"

namespace voketag::runtime {
namespace {

constexpr int kPollMs = 100;
constexpr int kRestorePollMs = 50;
// How soon a standby gives up what a restore waits for.
constexpr int kStandbyPollMs = 20;
// How soon a request to stop is noticed.
constexpr auto kStopCheck = std::chrono::milliseconds(20);
constexpr std::size_t kThreadNameMax = 15;
// How soon a view begins once its sink can be made.
constexpr auto kSinkCheck = std::chrono::milliseconds(20);
// How often it is looked whether somebody's transaction holds an input back.
constexpr auto kHeldBackCheck = std::chrono::seconds(5);
constexpr auto kDisconnectedPause = std::chrono::milliseconds(50);

}  // namespace

struct Engine::Implementation {
  struct ProcessorSlots {
    std::shared_ptr<processors::Processor> processor;
    int slots;
  };
  struct ProjectionSlots {
    std::shared_ptr<processors::Projection> projection;
    int slots;
    MakeSink make_sink;
  };

  Log& log;
  state::Database& database;
  const Clock& clock;
  EngineOptions options;
  std::vector<ProcessorSlots> processors;
  std::vector<ProjectionSlots> projections;

  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<events::Error> first_error;  // guarded by mutex
  std::atomic<int> unsettled{0};
  std::atomic<int> restoring{0};  // how many restorers are at work

  // Keeps the first error, which is the cause of those that follow, and has everyone stop.
  void fail(events::Error error) {
    {
      const std::lock_guard lock(mutex);
      if (!first_error) first_error = std::move(error);
    }
    have_all_stop();
  }

  void have_all_stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
  }

  // Runs the body of a thread that is named for its work, as `top -H` shows it; whatever the body
  // throws is an error of the engine.
  template <class Body>
  void guard(const std::string& name, Body&& body) {
    pthread_setname_np(pthread_self(), name.substr(0, kThreadNameMax).c_str());
    try {
      if (const events::Status status = body(); !status) fail(status.error());
    } catch (const state::Failure& error) {
      // The disk, in one way or another: started again, the process may well go on.
      fail({events::Errc::kUnavailable, name + " failed: " + error.what()});
    } catch (const std::exception& error) {
      fail({events::Errc::kInternal, name + " failed: " + error.what()});
    }
  }

  WorkerOptions worker_options(const processors::Processor& processor, int slot) const {
    const std::string name(processor.name());
    const std::string suffix = options.instance + "." + std::to_string(slot);
    WorkerOptions result;
    result.group = options.name_prefix + name;
    result.transactional_id = options.name_prefix + name + "." + suffix;
    result.configuration_version = options.configuration_version;
    result.commit_interval_ms = options.commit_interval_ms;
    result.transaction_bytes_max = options.transaction_bytes_max;
    result.crash_marker_file =
        database.directory() / ("handling-" + name + "-" + std::to_string(slot));
    result.member_file = database.directory() / ("member-" + name + "-" + std::to_string(slot));
    return result;
  }

  events::Status run_worker(Worker& worker) {
    bool settled = false;
    while (!stopping) {
      if (auto status = worker.step(kPollMs); !status) return status;
      if (!worker.connected()) std::this_thread::sleep_for(kDisconnectedPause);
      if (!settled && worker.settled()) {
        settled = true;
        note_settled();
      }
    }
    return worker.stop();
  }

  events::Status run_restorer(Restorer& restorer) {
    bool at_work = false;
    while (!stopping) {
      const bool has_work = restorer.wait_for_work(kPollMs);
      if (has_work != at_work) restoring += has_work ? 1 : -1;
      at_work = has_work;
      if (!at_work) continue;
      if (auto status = restorer.step(kRestorePollMs); !status) return status;
    }
    return {};
  }

  // What is owned comes first: while any of it is being restored, the disk and the network are the
  // restorers'.
  events::Status run_standby(Standby& standby) {
    while (!stopping) {
      if (restoring > 0) {
        standby.give_way();
        std::this_thread::sleep_for(std::chrono::milliseconds(kStandbyPollMs));
        continue;
      }
      if (auto status = standby.step(kStandbyPollMs); !status) return status;
      if (!standby.is_reading()) std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
    }
    return {};
  }

  std::vector<std::string> processor_names() const {
    std::vector<std::string> names;
    for (const auto& each : processors) names.emplace_back(each.processor->name());
    return names;
  }

  // Null: the engine stops.
  events::Result<std::unique_ptr<ViewSink>> await_sink(const ProjectionSlots& projection) {
    for (;;) {
      auto sink = projection.make_sink();
      if (sink || sink.error().code != events::Errc::kUnavailable) return sink;
      std::unique_lock lock(mutex);
      if (changed.wait_for(lock, kSinkCheck, [&] { return stopping.load(); })) return nullptr;
    }
  }

  events::Status run_projection(const ProjectionSlots& projection, int slot) {
    const auto sink = await_sink(projection);
    if (!sink) return tl::unexpected(sink.error());
    if (*sink == nullptr) return {};
    ProjectorOptions result;
    result.name_prefix = options.name_prefix;
    result.member_file =
        database.directory() /
        ("member-view-" + std::string(projection.projection->name()) + "-" + std::to_string(slot));
    Projector projector(log, *projection.projection, **sink, clock, std::move(result));
    return run_projector(projector);
  }

  events::Status run_projector(Projector& projector) {
    bool settled = false;
    while (!stopping) {
      if (auto status = projector.step(kPollMs); !status) return status;
      if (!projector.connected()) std::this_thread::sleep_for(kDisconnectedPause);
      if (!settled && projector.settled()) {
        settled = true;
        note_settled();
      }
    }
    return projector.stop();
  }

  std::vector<TopicPartition> all_inputs() const {
    std::set<std::string_view> topics;
    for (const auto& [processor, slots] : processors) {
      for (const auto topic : processor->inputs()) topics.insert(topic);
    }
    for (const auto& projection : projections) {
      for (const auto topic : projection.projection->inputs()) topics.insert(topic);
    }
    std::vector<TopicPartition> partitions;
    for (const auto topic : topics) {
      for (std::int32_t partition = 0; partition < events::kPartitionCount; ++partition) {
        partitions.push_back({std::string(topic), partition});
      }
    }
    return partitions;
  }

  events::Status run_held_back_watch() {
    HeldBackWatch watch(log, clock, options.name_prefix, all_inputs());
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, kHeldBackCheck, [&] { return stopping.load(); })) {
      lock.unlock();
      watch.look();
      lock.lock();
    }
    return {};
  }

  void note_settled() {
    if (--unsettled == 0) spdlog::info("ready: every worker has its partitions");
  }
};

Engine::Engine(Log& log, state::Database& database, const Clock& clock, EngineOptions options)
    : implementation_(new Implementation{
          log, database, clock, std::move(options), {}, {}, {}, {}, {}, {}, {}, {}}) {}

Engine::~Engine() = default;

void Engine::add_processor(std::shared_ptr<processors::Processor> processor, int slots) {
  implementation_->processors.push_back({std::move(processor), slots});
}

void Engine::add_projection(std::shared_ptr<processors::Projection> projection, int slots,
                            MakeSink make_sink) {
  implementation_->projections.push_back({std::move(projection), slots, std::move(make_sink)});
}

events::Status Engine::run(const std::atomic<bool>& stop) {
  Implementation& self = *implementation_;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::thread> threads;
  std::vector<std::thread> restore_threads;
  for (const auto& [processor, slots] : self.processors) {
    for (int slot = 0; slot < slots; ++slot) {
      workers.push_back(std::make_unique<Worker>(self.log, self.database, *processor, self.clock,
                                                 self.worker_options(*processor, slot)));
    }
  }
  self.unsettled = static_cast<int>(workers.size());
  for (const auto& projection : self.projections) self.unsettled += projection.slots;

  for (const auto& worker : workers) {
    threads.emplace_back([&self, worker = worker.get()] {
      self.guard(worker->name(), [&] { return self.run_worker(*worker); });
    });
    restore_threads.emplace_back([&self, worker = worker.get()] {
      self.guard("restore " + worker->name(),
                 [&] { return self.run_restorer(worker->restorer()); });
    });
  }
  Standby standby(self.log, self.database, self.clock, self.processor_names());
  if (self.options.standbys) {
    threads.emplace_back(
        [&self, &standby] { self.guard("standby", [&] { return self.run_standby(standby); }); });
  }
  for (const auto& projection : self.projections) {
    for (int slot = 0; slot < projection.slots; ++slot) {
      threads.emplace_back([&self, &projection, slot] {
        self.guard("view " + std::string(projection.projection->name()),
                   [&] { return self.run_projection(projection, slot); });
      });
    }
  }
  threads.emplace_back(
      [&self] { self.guard("held back", [&] { return self.run_held_back_watch(); }); });
  {
    std::unique_lock lock(self.mutex);
    while (!self.changed.wait_for(lock, kStopCheck, [&] { return self.first_error || stop; })) {
    }
  }
  self.have_all_stop();
  for (auto& thread : restore_threads) thread.join();
  for (auto& thread : threads) thread.join();
  if (self.first_error) return tl::unexpected(*self.first_error);
  return {};
}

}  // namespace voketag::runtime
