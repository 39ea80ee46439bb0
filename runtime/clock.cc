#include "runtime/clock.h"

#include <chrono>

namespace voketag::runtime {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

// The steady clock of a machine that has just booted is near zero, which is to be long past.
constexpr std::int64_t kLongAgoMs = 1'000'000'000'000;

}  // namespace

events::Timestamp SystemClock::now() const {
  using std::chrono::system_clock;
  return {duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count()};
}

Moment SystemClock::moment() const {
  using std::chrono::steady_clock;
  return {kLongAgoMs + duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count()};
}

}  // namespace voketag::runtime
