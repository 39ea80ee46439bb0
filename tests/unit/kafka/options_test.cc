#include "connectors/kafka/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace voketag::kafka {
namespace {

using ::testing::HasSubstr;

events::Result<KafkaOptions> read(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  return options_from_environment(environment.data());
}

TEST(OptionsTest, TheServersAreRequired) {
  const auto options = read({"PATH=/bin"});
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().code, events::Errc::kInvalid);
  EXPECT_THAT(options.error().message, HasSubstr("VOKETAG_KAFKA is not set"));
}

TEST(OptionsTest, VariablesBecomeProperties) {
  const auto options = read({"VOKETAG_KAFKA=a:1,b:2", "VOKETAG_KAFKA_SECURITY_PROTOCOL=SASL_SSL",
                             "VOKETAG_KAFKA_SESSION_TIMEOUT_MS=2000", "VOKETAG_TOPIC_PREFIX=x.",
                             "VOKETAG_INSTANCE=i-1", "VOKETAG_POSTGRES=ignored"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->bootstrap_servers, "a:1,b:2");
  EXPECT_EQ(options->topic_prefix, "x.");
  EXPECT_EQ(options->instance, "i-1");
  EXPECT_EQ(options->session_timeout_ms, 2000);
  EXPECT_EQ(options->properties,
            (std::map<std::string, std::string>{{"security.protocol", "SASL_SSL"},
                                                {"session.timeout.ms", "2000"}}));
}

TEST(OptionsTest, UnknownAndReservedPropertiesAreRefusedByName) {
  const auto unknown = read({"VOKETAG_KAFKA=a:1", "VOKETAG_KAFKA_NO_SUCH_THING=1"});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("VOKETAG_KAFKA_NO_SUCH_THING"));
  EXPECT_THAT(unknown.error().message, HasSubstr("'no.such.thing'"));
  const auto reserved = read({"VOKETAG_KAFKA=a:1", "VOKETAG_KAFKA_ISOLATION_LEVEL=read_committed"});
  ASSERT_FALSE(reserved);
  EXPECT_THAT(reserved.error().message, HasSubstr("Unset it"));
}

TEST(OptionsTest, ATimeoutThatIsNoNumberIsRefused) {
  for (const char* value : {"6s", "-1", "0", "", "99999999999999999999"}) {
    const std::string variable = std::string("VOKETAG_KAFKA_SESSION_TIMEOUT_MS=") + value;
    EXPECT_FALSE(read({"VOKETAG_KAFKA=a:1", variable.c_str()})) << variable;
  }
}

TEST(OptionsTest, SecretsComeFromFilesWithoutTheirLineEnd) {
  const std::string path = ::testing::TempDir() + "voketag-options-test-secret";
  std::ofstream(path) << "hunter2\n";
  const std::string password = "VOKETAG_KAFKA_SASL_PASSWORD_FILE=" + path;
  const std::string servers = "VOKETAG_KAFKA_FILE=" + path;
  const auto options = read({servers.c_str(), password.c_str()});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->bootstrap_servers, "hunter2");
  EXPECT_EQ(options->properties.at("sasl.password"), "hunter2");
  const auto missing = read({"VOKETAG_KAFKA=a:1", "VOKETAG_KAFKA_SASL_PASSWORD_FILE=/no/such"});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("/no/such"));
}

}  // namespace
}  // namespace voketag::kafka
