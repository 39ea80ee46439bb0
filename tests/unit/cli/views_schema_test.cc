#include "voketag/views_schema.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

namespace voketag::cli {
namespace {

using events::Errc;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A server that takes connections and says nothing, as one behind a broken network.
class SilentServer {
 public:
  SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_, raw, length), 0);
    EXPECT_EQ(::listen(socket_, 5), 0);
    EXPECT_EQ(::getsockname(socket_, raw, &length), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(socket_); }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;

  std::string port() const { return std::to_string(port_); }

 private:
  int socket_;
  int port_ = 0;
};

// Stays as long as the process: a try that is left behind may still use it.
const Configuration& configuration_with_postgres_at(const std::string& port) {
  auto loaded =
      Configuration::load({{"VOKETAG_POSTGRES", "postgresql://u@127.0.0.1:" + port + "/d"}});
  EXPECT_TRUE(loaded.has_value());
  static Configuration* configurations[2];
  auto*& kept = configurations[port == "1" ? 0 : 1];
  kept = new Configuration(*std::move(loaded));
  return *kept;
}

TEST(ViewsSchemaTest, IsNotReadyWhileNobodyListens) {
  ViewsSchema schema(configuration_with_postgres_at("1"));
  std::this_thread::sleep_for(milliseconds(100));  // so that a try has failed
  const auto ready = schema.ready();
  ASSERT_FALSE(ready.has_value());
  EXPECT_EQ(ready.error().code, Errc::kUnavailable);
}

TEST(ViewsSchemaTest, AnEndDoesNotWaitForASilentServer) {
  const SilentServer server;
  // As the configuration.
  static auto* const schema = new ViewsSchema(configuration_with_postgres_at(server.port()));
  std::this_thread::sleep_for(milliseconds(100));  // so that a try is under way
  const auto began = steady_clock::now();
  EXPECT_FALSE(schema->end());
  EXPECT_LT(steady_clock::now() - began, milliseconds(1'500));  // a try takes three seconds
  EXPECT_FALSE(schema->ready().has_value());
}

}  // namespace
}  // namespace voketag::cli
