#include "voketag/patience.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <thread>

namespace voketag::cli {
namespace {

using events::Status;
using std::chrono::milliseconds;

constexpr milliseconds kPauseMin{500};
constexpr milliseconds kPauseMax{8'000};
// How soon a stop is noticed.
constexpr milliseconds kStopCheck{20};

std::optional<Status> try_once(const std::function<Status()>& step,
                               const std::function<bool()>& stop) {
  // Shared with a try that is left behind.
  const auto promise = std::make_shared<std::promise<Status>>();
  auto done = promise->get_future();
  std::thread thread([promise, step] {
    try {
      promise->set_value(step());
    } catch (const std::exception& error) {
      promise->set_value(events::fail(events::Errc::kInternal, error.what()));
    }
  });
  while (done.wait_for(kStopCheck) != std::future_status::ready) {
    if (!stop()) continue;
    thread.detach();
    return std::nullopt;
  }
  thread.join();
  return done.get();
}

}  // namespace

std::optional<Status> patiently(const std::function<Status()>& step,
                                const std::function<bool()>& stop,
                                const std::function<void(const events::Error&)>& say) {
  for (auto pause = kPauseMin;; pause = std::min(pause * 2, kPauseMax)) {
    auto done = try_once(step, stop);
    const bool may_pass = done && !*done &&
                          (done->error().code == events::Errc::kUnavailable ||
                           done->error().code == events::Errc::kTimeout);
    if (stop()) return std::nullopt;
    if (!may_pass) return done;
    say(done->error());
    const auto until = std::chrono::steady_clock::now() + pause;
    while (std::chrono::steady_clock::now() < until) {
      if (stop()) return std::nullopt;
      std::this_thread::sleep_for(kStopCheck);
    }
  }
}

}  // namespace voketag::cli
