#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "connectors/postgres/connection.h"
#include "connectors/postgres/migrations.h"

namespace voketag::postgres {

// A database of this test process's own on the server that VOKETAG_POSTGRES names, dropped at its
// end.
class TestDatabase {
 public:
  static const char* server_url() { return std::getenv("VOKETAG_POSTGRES"); }

  TestDatabase() : name_("voketag_test_" + std::to_string(::getpid())) {
    run_on_server("DROP DATABASE IF EXISTS " + name_);
    run_on_server("CREATE DATABASE " + name_);
  }
  ~TestDatabase() { run_on_server("DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)"); }

  // The server's URL with this database (and, for a proxy, another port) in it.
  std::string url(int port = 0) const {
    std::string url = server_url();
    const auto path = url.find('/', url.find("://") + 3);
    const auto query = url.find('?', path);
    url.replace(path + 1, (query == std::string::npos ? url.size() : query) - path - 1, name_);
    if (port == 0) return url;
    const auto colon = url.rfind(':', path);
    return url.replace(colon + 1, path - colon - 1, std::to_string(port));
  }
  int port() const {
    const std::string url = server_url();
    const auto path = url.find('/', url.find("://") + 3);
    return std::atoi(url.substr(url.rfind(':', path) + 1).c_str());
  }

  Connection connect() const {
    auto connection = Connection::open({.url = url()});
    if (!connection) throw std::runtime_error(connection.error().message);
    return std::move(*connection);
  }

 private:
  static void run_on_server(const std::string& sql) {
    auto connection = Connection::open({.url = server_url()});
    if (!connection) throw std::runtime_error(connection.error().message);
    if (const auto done = connection->execute(sql); !done) {
      throw std::runtime_error(done.error().message);
    }
  }

  std::string name_;
};

// Gives each test an empty database with a connection to look into it; skips without a server.
class DatabaseTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (TestDatabase::server_url() != nullptr) database_ = new TestDatabase;
  }
  static void TearDownTestSuite() {
    delete database_;
    database_ = nullptr;
  }

  void SetUp() override {
    if (database_ == nullptr) GTEST_SKIP() << "VOKETAG_POSTGRES is not set";
    connection_.emplace(database_->connect());
    run("DROP SCHEMA IF EXISTS voketag CASCADE");
  }
  void TearDown() override { connection_.reset(); }

  void migrate_database() {
    const auto done = migrate(*connection_);
    ASSERT_TRUE(done) << done.error().message;
  }

  void run(const std::string& sql) {
    const auto done = connection_->execute(sql);
    ASSERT_TRUE(done) << sql << ": " << done.error().message;
  }
  // The rows, each with its values joined by '|'; null reads "null".
  std::vector<std::string> rows(const std::string& sql) {
    const auto result = connection_->execute(sql);
    if (!result) return {result.error().message};
    std::vector<std::string> lines;
    for (int row = 0; row < result->count(); ++row) {
      std::string line;
      for (int column = 0; column < result->columns(); ++column) {
        if (column > 0) line += '|';
        line += result->is_null(row, column) ? "null" : result->text(row, column);
      }
      lines.push_back(line);
    }
    return lines;
  }
  std::string value(const std::string& sql) {
    const auto lines = rows(sql);
    return lines.size() == 1 ? lines.front() : std::to_string(lines.size()) + " rows";
  }

  static inline TestDatabase* database_ = nullptr;
  std::optional<Connection> connection_;
};

}  // namespace voketag::postgres
