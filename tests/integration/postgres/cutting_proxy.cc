#include "tests/integration/postgres/cutting_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

namespace voketag::postgres {
namespace {

constexpr int kPollMs = 20;
constexpr std::string_view kCommit{"COMMIT\0", 7};

sockaddr_in local(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// False: nothing more will come.
bool receive(int socket, std::string& bytes) {
  bytes.resize(64U << 10);
  const auto received = ::recv(socket, bytes.data(), bytes.size(), 0);
  bytes.resize(received > 0 ? static_cast<std::size_t>(received) : 0);
  return received > 0;
}

}  // namespace

CuttingProxy::CuttingProxy(int server_port, Cut cut) : server_port_(server_port), cut_(cut) {
  listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = local(0);
  socklen_t length = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener_, 8) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

CuttingProxy::~CuttingProxy() {
  stop_ = true;
  thread_.join();
  for (auto& relay : relays_) relay.join();
  ::close(listener_);
}

void CuttingProxy::serve() {
  while (!stop_) {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, kPollMs) <= 0) continue;
    relays_.emplace_back(&CuttingProxy::serve_one, this, ::accept(listener_, nullptr, nullptr));
  }
}

void CuttingProxy::serve_one(int client) {
  const int server = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = local(server_port_);
  if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    relay(client, server);
  }
  ::close(client);
  ::close(server);
}

void CuttingProxy::relay(int client, int server) {
  std::string bytes;
  bool committing = false;
  while (!stop_) {
    std::array<pollfd, 2> ends{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
    if (::poll(ends.data(), ends.size(), kPollMs) <= 0) continue;
    if (ends[0].revents != 0) {
      if (!receive(client, bytes)) return;
      committing = !has_cut_ && bytes.find(kCommit) != std::string::npos;
      if (committing && cut_ == Cut::kBeforeCommit) {
        has_cut_ = true;
        return;
      }
      if (!send_all(server, bytes)) return;
      if (committing && cut_ == Cut::kDuringCommit) {
        has_cut_ = true;
        ::shutdown(client, SHUT_RDWR);
        receive(server, bytes);
        return;
      }
    }
    if (ends[1].revents != 0) {
      if (!receive(server, bytes)) return;
      if (committing && bytes.find(kCommit) != std::string::npos) {
        has_cut_ = true;
        return;
      }
      if (!send_all(client, bytes)) return;
    }
  }
}

}  // namespace voketag::postgres
