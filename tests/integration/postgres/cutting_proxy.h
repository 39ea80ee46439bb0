#pragma once

#include <atomic>
#include <thread>

namespace voketag::postgres {

// Stands between a client and PostgreSQL and cuts the first connection that commits: before the
// server sees the COMMIT, or after it has done it and before the client learns so. Later
// connections pass untouched.
class CuttingProxy {
 public:
  enum class Cut { kBeforeCommit, kAfterCommit };

  CuttingProxy(int server_port, Cut cut);
  ~CuttingProxy();

  int port() const { return port_; }
  bool has_cut() const { return has_cut_; }

 private:
  void serve();
  void relay(int client, int server);

  const int server_port_;
  const Cut cut_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> has_cut_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace voketag::postgres
