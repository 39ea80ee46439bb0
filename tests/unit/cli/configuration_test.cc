#include "voketag/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace voketag::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

constexpr const char* kKeys = "7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

class ConfigurationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() /
                 ("voketag-configuration-test-" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, const std::string& content) {
    const auto path = directory_ / name;
    std::ofstream(path) << content;
    return path.string();
  }

  static std::string error_of(const Environment& environment,
                              const std::optional<std::filesystem::path>& path = {}) {
    const auto configuration = Configuration::load(environment, path);
    return configuration ? "" : configuration.error().message;
  }

  std::filesystem::path directory_;
};

TEST_F(ConfigurationTest, NothingSetGivesDefaultsAndErrorsOnlyWhenNeeded) {
  const auto configuration = Configuration::load({{"HOME", "/home/someone"}});
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(configuration->state_directory, "/home/someone/.local/state/voketag");
  EXPECT_EQ(configuration->topic_prefix, "voketag.");
  EXPECT_EQ(configuration->roles.size(), 6U);
  EXPECT_EQ(configuration->mock_block_time_ms, 2000);
  EXPECT_FALSE(configuration->instance.empty());
  EXPECT_THAT(configuration->warnings(), IsEmpty());
  EXPECT_THAT(configuration->kafka().error().message, HasSubstr("VOKETAG_KAFKA is not set"));
  EXPECT_THAT(configuration->kafka().error().message, HasSubstr("export VOKETAG_KAFKA="));
  EXPECT_THAT(configuration->postgres().error().message, HasSubstr("VOKETAG_POSTGRES is not set"));
  EXPECT_THAT(configuration->token_keys().error().message,
              HasSubstr("VOKETAG_TOKEN_KEYS is not set"));
}

// What people are told is what holds.
TEST_F(ConfigurationTest, TheDefaultsOfMemoryAreThoseOfTheState) {
  const auto configuration = Configuration::load({{"HOME", "/home/someone"}});
  ASSERT_TRUE(configuration) << configuration.error().message;
  for (const Variable& variable : known_variables()) {
    if (variable.name == "VOKETAG_BLOCK_CACHE_MIB") {
      EXPECT_EQ(variable.fallback, std::to_string(configuration->block_cache_mib));
    } else if (variable.name == "VOKETAG_WRITE_BUFFER_MIB") {
      EXPECT_EQ(variable.fallback, std::to_string(configuration->write_buffer_mib));
    }
  }
}

TEST_F(ConfigurationTest, NameFollowsFromHostAndStateDirectory) {
  const auto name = [](const char* directory) {
    return Configuration::load({{"VOKETAG_STATE_DIR", directory}})->instance;
  };
  EXPECT_EQ(name("/a/b"), name("/a/./b"));
  EXPECT_NE(name("/a/b"), name("/a/c"));
  EXPECT_THAT(name("/a/b"), ::testing::MatchesRegex("[a-z0-9_-]+-[0-9a-f]+"));
  EXPECT_EQ(
      Configuration::load({{"VOKETAG_STATE_DIR", "/a"}, {"VOKETAG_INSTANCE", "one"}})->instance,
      "one");
}

TEST_F(ConfigurationTest, EmptyVariableIsNotSet) {
  const auto configuration =
      Configuration::load({{"VOKETAG_KAFKA", ""}, {"VOKETAG_COMMIT_INTERVAL_MS", " "}});
  ASSERT_TRUE(configuration);
  EXPECT_FALSE(configuration->has_kafka());
  EXPECT_EQ(configuration->commit_interval_ms, 100);
}

TEST_F(ConfigurationTest, KafkaPropertiesPassThrough) {
  const auto configuration = Configuration::load({
      {"VOKETAG_KAFKA", "b1:9092,b2:9093"},
      {"VOKETAG_KAFKA_SASL_USERNAME", "me"},
      {"VOKETAG_KAFKA_SASL_PASSWORD_FILE", file("password", "hush\n")},
      {"VOKETAG_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"},
  });
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(*configuration->kafka(), "b1:9092,b2:9093");
  EXPECT_THAT(configuration->kafka_properties(),
              ElementsAre(Pair("sasl.password", "hush"), Pair("sasl.username", "me"),
                          Pair("security.protocol", "SASL_SSL")));
  EXPECT_THAT(configuration->warnings(), IsEmpty());
}

TEST_F(ConfigurationTest, PropertiesThatExactlyOnceRestsOnAreRefused) {
  for (const char* name :
       {"VOKETAG_KAFKA_TRANSACTIONAL_ID", "VOKETAG_KAFKA_ENABLE_IDEMPOTENCE",
        "VOKETAG_KAFKA_GROUP_ID", "VOKETAG_KAFKA_ISOLATION_LEVEL", "VOKETAG_KAFKA_PARTITIONER"}) {
    EXPECT_THAT(error_of({{name, "x"}}), HasSubstr(name));
  }
  EXPECT_THAT(error_of({{"VOKETAG_KAFKA_BOOTSTRAP_SERVERS", "a:1"}}), HasSubstr("VOKETAG_KAFKA"));
}

TEST_F(ConfigurationTest, ErrorsNameVariableFaultAndExample) {
  struct Case {
    const char* name;
    const char* value;
    const char* says;
  };
  for (const auto& [name, value, says] : std::initializer_list<Case>{
           {"VOKETAG_KAFKA", "http://broker", "must be host:port"},
           {"VOKETAG_KAFKA", "broker:0", "must be host:port"},
           {"VOKETAG_KAFKA", "broker:70000", "must be host:port"},
           {"VOKETAG_KAFKA", "a:1,,b:2", "must be host:port"},
           {"VOKETAG_INSTANCE", "Factory One", "factory-one"},
           {"VOKETAG_TOPIC_PREFIX", "a/b", "letters, digits"},
           {"VERIFICATION_URL_BASE", "verify.example", "http or https URL"},
           {"VERIFICATION_URL_BASE", "https://", "http or https URL"},
           {"VERIFICATION_URL_BASE", "https://a.example/?q=1", "http or https URL"},
           {"VOKETAG_COMMIT_INTERVAL_MS", "0", "between 1 and 10000"},
           {"VOKETAG_COMMIT_INTERVAL_MS", "1e3", "between 1 and 10000"},
           {"VOKETAG_COMMIT_INTERVAL_MS", "99999999999999999999", "between 1 and 10000"},
           {"VOKETAG_MOCK_BLOCK_TIME_MS", "-1", "between 0"},
           {"VOKETAG_CHUNK_SIZE", "1000", "power of two"},
           {"VOKETAG_ROLES", "ingress,token", "did you mean tokens?"},
           {"VOKETAG_STANDBYS", "yes", "on or off"},
           {"VOKETAG_LOG_LEVEL", "loud", "trace, debug"},
           {"VOKETAG_LOG_FORMAT", "xml", "json or text"},
           {"BLOCKCHAIN_RPC_URL", "https://rpc.example/SECRETKEY", "mock chain only"},
       }) {
    const std::string message = error_of({{name, value}});
    EXPECT_THAT(message, HasSubstr(name)) << value;
    EXPECT_THAT(message, HasSubstr(says)) << name << "=" << value;
  }
}

TEST_F(ConfigurationTest, AllThatIsWrongIsSaidAtOnce) {
  const std::string message =
      error_of({{"VOKETAG_CHUNK_SIZE", "3"}, {"VOKETAG_WORKERS", "many"}, {"VOKETAG_KAFKA", ":1"}});
  EXPECT_THAT(message, HasSubstr("VOKETAG_CHUNK_SIZE"));
  EXPECT_THAT(message, HasSubstr("VOKETAG_WORKERS"));
  EXPECT_THAT(message, HasSubstr("VOKETAG_KAFKA:"));
}

TEST_F(ConfigurationTest, UnknownNamesAreWarnedAboutWithTheNearest) {
  const auto configuration = Configuration::load(
      {{"VOKETAG_POSTGRESS", "secret-looking"}, {"VOKETAG_URL", "http://x"}, {"OTHER", "1"}});
  ASSERT_TRUE(configuration);
  ASSERT_EQ(configuration->warnings().size(), 1U);
  EXPECT_THAT(configuration->warnings()[0], HasSubstr("VOKETAG_POSTGRESS is not known"));
  EXPECT_THAT(configuration->warnings()[0], HasSubstr("did you mean VOKETAG_POSTGRES?"));
  EXPECT_THAT(configuration->warnings()[0], Not(HasSubstr("secret-looking")));
}

TEST_F(ConfigurationTest, SecretsComeFromFilesToo) {
  const auto configuration =
      Configuration::load({{"VOKETAG_TOKEN_KEYS_FILE", file("keys", std::string(kKeys) + "\n")},
                           {"VOKETAG_POSTGRES_FILE", file("url", "postgresql://u:p@h/d\n")}});
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(*configuration->postgres(), "postgresql://u:p@h/d");
  const auto keys = configuration->token_keys();
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->signing().id(), 7);
}

TEST_F(ConfigurationTest, SecretGivenTwiceIsAnError) {
  const std::string message =
      error_of({{"VOKETAG_TOKEN_KEYS", kKeys}, {"VOKETAG_TOKEN_KEYS_FILE", file("keys", kKeys)}});
  EXPECT_THAT(message, HasSubstr("VOKETAG_TOKEN_KEYS_FILE"));
  EXPECT_THAT(message, Not(HasSubstr("AAEC")));
}

TEST_F(ConfigurationTest, SecretThatCannotBeReadHindersOnlyWhoNeedsIt) {
  const auto configuration =
      Configuration::load({{"VOKETAG_POSTGRES_FILE", (directory_ / "absent").string()},
                           {"VOKETAG_TOKEN_KEYS_FILE", file("empty", " \n")}});
  ASSERT_TRUE(configuration);
  EXPECT_THAT(configuration->postgres().error().message, HasSubstr("VOKETAG_POSTGRES_FILE"));
  EXPECT_THAT(configuration->token_keys().error().message, HasSubstr("is empty"));
}

TEST_F(ConfigurationTest, PostgresMustBeWhatLibpqUnderstandsAndIsNeverRepeated) {
  for (const char* url :
       {"hush", "mysql://u:hush@h/d", "host=h pasword=hush", "postgresql://u:hush%zz@h/d",
        "postgresql://u:hu#sh/x@h/d", "postgresql://u:12/hush@h/d", "postgresql://u:hush@more@h/d",
        "postgresql://u:hush@h:99999/d", "postgresql://u:hush@h:0/d", "postgresql://u:hush@h:p/d",
        "postgresql://u:p@h/d?hush=1"}) {
    const auto configuration = Configuration::load({{"VOKETAG_POSTGRES", url}});
    ASSERT_TRUE(configuration) << url;
    const auto postgres = configuration->postgres();
    ASSERT_FALSE(postgres) << url;
    EXPECT_EQ(postgres.error().code, events::Errc::kInvalid) << url;
    EXPECT_THAT(postgres.error().message, HasSubstr("VOKETAG_POSTGRES")) << url;
    EXPECT_THAT(postgres.error().message, HasSubstr("postgresql://user:password@host")) << url;
    EXPECT_THAT(postgres.error().message, Not(HasSubstr("hu"))) << url;
  }
  for (const char* url : {"postgresql://u:p%40%2F@h/d", "host=/run/postgresql dbname=d",
                          "postgresql://a:1,b:2/d", "postgresql://u:p@h/d?sslmode=require"}) {
    EXPECT_EQ(*Configuration::load({{"VOKETAG_POSTGRES", url}})->postgres(), url);
  }
}

TEST_F(ConfigurationTest, NoSecretIsEverRepeated) {
  const std::string secret = "S3cretValue";
  const auto configuration = Configuration::load({{"VOKETAG_TOKEN_KEYS", "1:" + secret},
                                                  {"VOKETAG_KAFKA_SASL_PASSWORD", secret},
                                                  {"BLOCKCHAIN_PRIVATE_KEY", secret}});
  ASSERT_TRUE(configuration);
  EXPECT_THAT(configuration->token_keys().error().message, Not(HasSubstr(secret)));
  for (const std::string& warning : configuration->warnings()) {
    EXPECT_THAT(warning, Not(HasSubstr(secret)));
  }
  EXPECT_THAT(error_of({{"BLOCKCHAIN_RPC_URL", "https://rpc.example/" + secret}}),
              Not(HasSubstr(secret)));
  for (const std::string& servers :
       {"user:" + secret + "@broker:9092", "broker:9092," + secret + "@other:70000",
        "sasl://user:" + secret + "@broker:9092"}) {
    const std::string message = error_of({{"VOKETAG_KAFKA", servers}});
    EXPECT_THAT(message, HasSubstr("VOKETAG_KAFKA_SASL_PASSWORD"));
    EXPECT_THAT(message, Not(HasSubstr(secret)));
  }
  EXPECT_THAT(error_of({{"VOKETAG_CHUNK_SIZE", "3"},
                        {"VOKETAG_POSTGRES", "postgresql://u:" + secret + "@h/d"}}),
              Not(HasSubstr(secret)));
}

TEST_F(ConfigurationTest, FileStandsBelowTheEnvironment) {
  const std::string path = file("voketag.toml",
                                "kafka = \"from-file:9092\"\n"
                                "commit_interval_ms = 20\n"
                                "verification_url_base = \"https://a.example/\"\n"
                                "kafka_sasl_username = \"me\"\n"
                                "standbys = \"off\"\n"
                                "roles = \"projections\"\n");
  const auto configuration =
      Configuration::load({{"VOKETAG_KAFKA", "from-environment:9092"}}, path);
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(*configuration->kafka(), "from-environment:9092");
  EXPECT_EQ(configuration->commit_interval_ms, 20);
  EXPECT_FALSE(configuration->standbys);
  EXPECT_EQ(configuration->verification_url_base, "https://a.example");
  EXPECT_THAT(configuration->roles, ElementsAre(Role::kProjections));
  EXPECT_THAT(configuration->kafka_properties(), Contains(Pair("sasl.username", "me")));
}

TEST_F(ConfigurationTest, FaultsOfTheFileAreNamed) {
  EXPECT_THAT(error_of({}, file("a.toml", "kafk = \"x:1\"\n")), HasSubstr("did you mean kafka?"));
  EXPECT_THAT(error_of({}, file("b.toml", "x = = 1\n")), HasSubstr("line 1"));
  EXPECT_THAT(error_of({}, file("c.toml", "workers = [1]\n")), HasSubstr("workers"));
  EXPECT_THAT(error_of({}, file("d.toml", "workers = 99\n")), HasSubstr("between 1 and 12"));
  EXPECT_THAT(error_of({}, directory_ / "absent.toml"), HasSubstr("absent.toml"));
}

TEST(RolesTest, ParsesListsAndRefusesStrangers) {
  EXPECT_THAT(*parse_roles("tokens, merkle"), ElementsAre(Role::kTokens, Role::kMerkle));
  EXPECT_EQ(parse_roles("all")->size(), 6U);
  EXPECT_THAT(parse_roles("merkel").error().message, HasSubstr("did you mean merkle?"));
  EXPECT_EQ(parse_roles("").error().message,
            "there is no role \"\". The roles: ingress, batches, tokens, merkle, anchoring, "
            "projections, all");
  EXPECT_FALSE(parse_roles("tokens,,merkle"));
}

// The documents are for people, so they are written by hand; this is what keeps them complete.
TEST(DocumentsTest, EveryVariableIsDocumented) {
  for (const char* name : {"/docs/configuration.md", "/.env.example"}) {
    std::ifstream file(std::string(VOKETAG_SOURCE_DIR) + name);
    std::stringstream text;
    text << file.rdbuf();
    for (const Variable& variable : known_variables()) {
      EXPECT_THAT(text.str(), HasSubstr(std::string(variable.name))) << "missing in " << name;
    }
  }
}

}  // namespace
}  // namespace voketag::cli
