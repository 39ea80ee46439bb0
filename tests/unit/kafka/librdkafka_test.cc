// What VokeTag changes in librdkafka (dev.d/librdkafka.patch) and would crash without.
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <malloc.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "connectors/kafka/client.h"

namespace voketag::kafka {
namespace {

using AdminOptions =
    std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;

constexpr std::int32_t kBroker = 1;
constexpr std::int16_t kProduce = 0;
// As many as an idempotent producer has on their way at a time.
constexpr int kRequests = 5;
constexpr std::chrono::seconds kPatience{10};
constexpr int kPartitionsAskedFor = 2000;

// Counts the answers that a producer has handled. Holds up its end, after its main thread has
// cleaned up and before its broker threads are told to end, until it has handled all of them.
class Answers {
 public:
  static rd_kafka_resp_err_t on_new(rd_kafka_t* handle, const rd_kafka_conf_t*, void* opaque, char*,
                                    std::size_t) {
    rd_kafka_interceptor_add_on_acknowledgement(handle, "answers", on_acknowledgement, opaque);
    return rd_kafka_interceptor_add_on_destroy(handle, "answers", on_destroy, opaque);
  }

  bool wait_for(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return handled_ >= count; });
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    handled_ = 0;
  }
  // Whether answers came after the main thread had cleaned up, and all of them did.
  bool came_late() const { return came_late_; }

 private:
  int handled() {
    const std::lock_guard lock(mutex_);
    return handled_;
  }

  static rd_kafka_resp_err_t on_acknowledgement(rd_kafka_t*, rd_kafka_message_t*, void* opaque) {
    auto* answers = static_cast<Answers*>(opaque);
    const std::lock_guard lock(answers->mutex_);
    ++answers->handled_;
    answers->changed_.notify_all();
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  static rd_kafka_resp_err_t on_destroy(rd_kafka_t*, void* opaque) {
    auto* answers = static_cast<Answers*>(opaque);
    const bool outstanding = answers->handled() < kRequests;
    answers->came_late_ = answers->wait_for(kRequests) && outstanding;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int handled_ = 0;
  bool came_late_ = false;
};

// Of a handle of its own: answers that are due later no longer come once that handle is ending.
class MockCluster {
 public:
  MockCluster() {
    KafkaOptions options;
    options.bootstrap_servers = "127.0.0.1:1";
    auto host = Client::open(options, {.purpose = "mock-owner"});
    if (!host) throw std::runtime_error(host.error().message);
    host_ = *std::move(host);
    cluster_ = rd_kafka_mock_cluster_new(host_->get(), 1);
  }
  ~MockCluster() { rd_kafka_mock_cluster_destroy(cluster_); }
  MockCluster(const MockCluster&) = delete;
  MockCluster& operator=(const MockCluster&) = delete;

  rd_kafka_mock_cluster_t* get() const { return cluster_; }

 private:
  std::unique_ptr<Client> host_;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

rd_kafka_t* open_producer(const MockCluster& cluster, Answers& answers) {
  Conf conf(rd_kafka_conf_new());
  std::array<char, 512> reason{};
  for (const auto& [name, value] :
       Properties{{"bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster.get())},
                  {"transactional.id", "id"},
                  {"linger.ms", "0"}}) {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), reason.data(), reason.size()) !=
        RD_KAFKA_CONF_OK) {
      ADD_FAILURE() << reason.data();
      return nullptr;
    }
  }
  rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
  rd_kafka_conf_interceptor_add_on_new(conf.get(), "answers", Answers::on_new, &answers);
  auto* handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), reason.data(), reason.size());
  EXPECT_NE(handle, nullptr) << reason.data();
  if (handle != nullptr) static_cast<void>(conf.release());
  return handle;
}

// Their names differ in length, so that errors about them do: the memory of one that was freed
// twice does not serve the next, and the allocator finds out.
std::vector<std::string> create_topics(rd_kafka_mock_cluster_t* cluster) {
  std::vector<std::string> topics;
  for (int request = 0; request < kRequests; ++request) {
    topics.emplace_back(static_cast<std::size_t>(10 + 45 * request), 't');
    rd_kafka_mock_topic_create(cluster, topics.back().c_str(), 1, 1);
  }
  return topics;
}

void expect_done(rd_kafka_error_t* error) {
  const ErrorObject owned(error);
  ASSERT_EQ(owned, nullptr) << rd_kafka_error_string(owned.get());
}

void begin_and_produce(rd_kafka_t* handle, const std::vector<std::string>& topics) {
  expect_done(rd_kafka_begin_transaction(handle));
  std::string value = "value";
  for (const auto& topic : topics) {
    std::array<rd_kafka_vu_t, 4> fields{};
    fields[0].vtype = RD_KAFKA_VTYPE_TOPIC;
    fields[0].u.cstr = topic.c_str();
    fields[1].vtype = RD_KAFKA_VTYPE_PARTITION;
    fields[1].u.i32 = 0;
    fields[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    fields[2].u.i = RD_KAFKA_MSG_F_COPY;
    fields[3].vtype = RD_KAFKA_VTYPE_VALUE;
    fields[3].u.mem = {value.data(), value.size()};
    expect_done(rd_kafka_produceva(handle, fields.data(), fields.size()));
  }
}

// The first answer comes when all requests are out, and the others when it has been acted upon.
void fence_all_requests(rd_kafka_mock_cluster_t* cluster) {
  for (int request = 0; request < kRequests; ++request) {
    rd_kafka_mock_broker_push_request_error_rtts(cluster, kBroker, kProduce, 1,
                                                 RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
                                                 request == 0 ? 100 : 500);
  }
}

// A transactional producer that a fence has ended is dropped while the answers to its other
// requests come in, each of which tells of the fence again.
TEST(LibrdkafkaTest, AFencedProducerMayBeDestroyedWhileAnswersAreOutstanding) {
  const MockCluster cluster;
  const auto topics = create_topics(cluster.get());
  for (int round = 0; round < 3; ++round) {
    Answers answers;
    auto* handle = open_producer(cluster, answers);
    ASSERT_NE(handle, nullptr);
    expect_done(rd_kafka_init_transactions(handle, 10000));
    // Acquaints it with the topics, so that the next requests go out together.
    begin_and_produce(handle, topics);
    expect_done(rd_kafka_commit_transaction(handle, 10000));
    answers.forget();
    fence_all_requests(cluster.get());
    begin_and_produce(handle, topics);
    ASSERT_TRUE(answers.wait_for(1));
    EXPECT_EQ(rd_kafka_fatal_error(handle, nullptr, 0), RD_KAFKA_RESP_ERR__FENCED);
    rd_kafka_destroy(handle);
    EXPECT_TRUE(answers.came_late());
  }
}

// Looking through so many partitions takes longer than the search's time is: the timeout meets a
// search that is just being begun. What is freed is overwritten, so that its use is noticed.
TEST(LibrdkafkaTest, ASearchForLeadersMayEndWhileItBegins) {
  const MockCluster cluster;
  KafkaOptions options;
  options.bootstrap_servers = rd_kafka_mock_cluster_bootstraps(cluster.get());
  auto client = Client::open(options, {.purpose = "asks"});
  ASSERT_TRUE(client) << client.error().message;
  rd_kafka_t* handle = (*client)->get();
  const PartitionList partitions(rd_kafka_topic_partition_list_new(kPartitionsAskedFor));
  for (int partition = 0; partition < kPartitionsAskedFor; ++partition) {
    rd_kafka_topic_partition_list_add(partitions.get(), "topic", partition)->offset =
        RD_KAFKA_OFFSET_SPEC_LATEST;
  }
  mallopt(M_PERTURB, 0xa5);
  for (int search = 0; search < 300; ++search) {
    const AdminOptions request(rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_LISTOFFSETS));
    std::array<char, 256> reason{};
    ASSERT_EQ(
        rd_kafka_AdminOptions_set_request_timeout(request.get(), 1, reason.data(), reason.size()),
        RD_KAFKA_RESP_ERR_NO_ERROR);
    const Queue answers(rd_kafka_queue_new(handle));
    rd_kafka_ListOffsets(handle, partitions.get(), request.get(), answers.get());
    EXPECT_NE(Event(rd_kafka_queue_poll(answers.get(), 10000)), nullptr);
  }
  mallopt(M_PERTURB, 0);
}

}  // namespace
}  // namespace voketag::kafka
