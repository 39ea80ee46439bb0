#include "voketag/stop_signal.h"

#include <unistd.h>

#include <csignal>

namespace voketag::cli {
namespace {

std::atomic<bool> requested{false};

void on_stop_signal(int signal) {
  if (requested.exchange(true)) _exit(128 + signal);
}

}  // namespace

void catch_stop_signals() {
  requested = false;
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

const std::atomic<bool>& stop_requested() {
  return requested;
}

}  // namespace voketag::cli
