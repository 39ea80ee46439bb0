#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace voketag::postgres {

// Stands between clients and PostgreSQL and cuts the first connection that commits: before the
// server sees the COMMIT, while it is at work on it (and does not notice), or after it has done it
// and before the client learns so. Others pass untouched.
class CuttingProxy {
 public:
  enum class Cut { kBeforeCommit, kDuringCommit, kAfterCommit };

  CuttingProxy(int server_port, Cut cut);
  ~CuttingProxy();

  int port() const { return port_; }
  bool has_cut() const { return has_cut_; }

 private:
  void serve();
  void serve_one(int client);
  void relay(int client, int server);

  const int server_port_;
  const Cut cut_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> has_cut_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::vector<std::thread> relays_;
};

}  // namespace voketag::postgres
