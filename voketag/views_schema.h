#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "events/error.h"
#include "voketag/configuration.h"

namespace voketag::cli {

// The views' schema, brought up to date on a thread of its own, however long PostgreSQL is away:
// processors need none of it, and do not wait for it. The configuration must outlive this.
class ViewsSchema {
 public:
  explicit ViewsSchema(const Configuration& configuration);
  ~ViewsSchema();
  ViewsSchema(const ViewsSchema&) = delete;
  ViewsSchema& operator=(const ViewsSchema&) = delete;

  // kUnavailable: not yet. Any other error stands: this program and that database do not fit
  // together. Any thread may ask.
  events::Status ready() const;

  // Tries no more; waits for nothing. false: a question to PostgreSQL is left behind on its thread,
  // so the process must end by _exit, before the configuration is gone.
  bool end();

 private:
  void prepare();
  events::Status migrate() const;

  const Configuration& configuration_;
  mutable std::mutex mutex_;
  events::Status ready_;  // guarded by mutex_
  std::atomic<bool> ended_{false};
  bool left_behind_ = false;  // written by the thread, read when that has ended
  std::thread thread_;        // the last one: it uses the others
};

}  // namespace voketag::cli
