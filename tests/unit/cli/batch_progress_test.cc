#include "voketag/batch_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "events/codec.h"
#include "voketag/batch_display.h"

namespace voketag::cli {
namespace {

using ::testing::HasSubstr;
using Stage = BatchProgress::Stage;

const events::Uuid kBatch = *events::Uuid::parse("0b64ecbe-27d5-4f4c-a3a1-5f3f1d1f2a10");
constexpr const char* kTransaction =
    "0x1111111111111111111111111111111111111111111111111111111111111111";

// Keeps the bytes of the records that a progress is shown.
class Story {
 public:
  template <class Event>
  void tell(const Event& event, std::int64_t at_ms = 0) {
    add(std::string(Event::kTopic), events::encode(event), at_ms, {});
  }
  void add(std::string topic, std::string value, std::int64_t at_ms, events::Headers headers) {
    records_.push_back({std::move(topic), std::move(value), at_ms, std::move(headers)});
  }
  std::size_t size() const { return records_.size(); }

  void apply(BatchProgress& progress, std::size_t index) const {
    const Record& record = records_[index];
    events::RecordView view;
    view.topic = record.topic;
    view.timestamp = {record.at_ms};
    view.key = key_;
    view.value = record.value;
    for (const auto& [name, value] : record.headers) view.headers.emplace_back(name, value);
    progress.apply(view);
  }
  void set_key(std::string key) { key_ = std::move(key); }

 private:
  struct Record {
    std::string topic;
    std::string value;
    std::int64_t at_ms;
    events::Headers headers;
  };
  std::string key_ = kBatch.to_string();
  std::vector<Record> records_;
};

events::BatchAccepted accepted() {
  events::BatchAccepted event;
  event.batch_id = kBatch;
  event.tenant = "default";
  event.product_count = 2500;
  event.chunk_size = 1024;
  event.requested_at = {1'763'800'000'000};
  return event;
}

events::MerkleSubtreeComputed subtree(std::int64_t chunk) {
  events::MerkleSubtreeComputed event;
  event.batch_id = kBatch;
  event.chunk_index = chunk;
  event.chunk_count = 3;
  event.product_count = 2500;
  return event;
}

events::MerkleRootComputed root() {
  events::MerkleRootComputed event;
  event.batch_id = kBatch;
  event.product_count = 2500;
  return event;
}

events::AnchorCompleted anchor() {
  events::AnchorCompleted event;
  event.batch_id = kBatch;
  event.product_count = 2500;
  event.network = "mock";
  event.transaction_id = {kTransaction};
  event.block_hash = {kTransaction};
  event.gas_price_gwei = {"0"};
  event.aggregate.tree_size = 1;
  return event;
}

events::BatchCompleted completed() {
  events::BatchCompleted event;
  event.batch_id = kBatch;
  event.tenant = "default";
  event.product_count = 2500;
  event.network = "mock";
  event.transaction_id = {kTransaction};
  event.completed_at = {1'763'800'003'000};
  return event;
}

TEST(BatchProgressTest, GoesThroughItsStages) {
  Story story;
  BatchProgress progress(kBatch);
  std::size_t next = 0;
  const auto apply = [&] { story.apply(progress, next++); };
  EXPECT_EQ(progress.stage(), Stage::kUnknown);

  story.tell(accepted());
  apply();
  EXPECT_EQ(progress.stage(), Stage::kGenerating);
  EXPECT_EQ(progress.generated(), 0);
  for (const std::int64_t chunk : {1, 0, 1}) {  // the last is a repetition
    story.tell(subtree(chunk));
    apply();
  }
  EXPECT_EQ(progress.generated(), 2048);
  story.tell(subtree(2));
  apply();
  EXPECT_EQ(progress.generated(), 2500);
  EXPECT_EQ(progress.stage(), Stage::kGenerating);
  story.tell(root());
  apply();
  EXPECT_EQ(progress.stage(), Stage::kAnchoring);

  events::AnchorFailed failed;
  failed.batch_id = kBatch;
  failed.reason = "refused";
  failed.detail = "once";
  story.tell(failed);
  apply();
  EXPECT_EQ(progress.stage(), Stage::kAnchorFailed);
  EXPECT_FALSE(progress.ended());
  story.tell(anchor());
  apply();
  EXPECT_EQ(progress.stage(), Stage::kAnchoring);
  story.tell(completed());
  apply();
  EXPECT_EQ(progress.stage(), Stage::kCompleted);
  EXPECT_TRUE(progress.ended());
}

TEST(BatchProgressTest, EndsTheSameInAnyOrder) {
  Story story;
  story.tell(accepted());
  story.tell(subtree(0));
  story.tell(root());
  story.tell(anchor());
  story.tell(completed());
  std::vector<std::size_t> order = {0, 1, 2, 3, 4};
  do {
    BatchProgress progress(kBatch);
    for (const std::size_t index : order) story.apply(progress, index);
    ASSERT_EQ(progress.stage(), Stage::kCompleted);
    ASSERT_EQ(progress.product_count(), 2500);
    ASSERT_EQ(progress.generated(), 2500);
    ASSERT_TRUE(progress.anchor().has_value());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(BatchProgressTest, OtherBatchesAndNonsenseChangeNothing) {
  Story other;
  other.set_key("7f64ecbe-27d5-4f4c-a3a1-5f3f1d1f2a10");
  other.tell(accepted());
  Story nonsense;
  nonsense.add("batch-completed", "not JSON", 0, {});
  nonsense.add("merkle-subtree-computed", R"({"chunk_index":5,"chunk_count":3})", 0, {});
  nonsense.add("another-topic", "{}", 0, {});
  BatchProgress progress(kBatch);
  other.apply(progress, 0);
  for (std::size_t i = 0; i < nonsense.size(); ++i) nonsense.apply(progress, i);
  EXPECT_EQ(progress.stage(), Stage::kUnknown);
}

TEST(BatchProgressTest, RefusalEndsAWaitUnlessTheBatchIsThere) {
  Story story;
  story.add("dead-letters", "{}", 0,
            {{"dead_letter_topic", "batch-requested"},
             {"dead_letter_reason", "invalid"},
             {"dead_letter_detail", "the gtin is wrong"}});
  story.tell(accepted());
  BatchProgress progress(kBatch);
  story.apply(progress, 0);
  EXPECT_EQ(progress.stage(), Stage::kRefused);
  EXPECT_EQ(*progress.refusal(), "invalid: the gtin is wrong");
  EXPECT_TRUE(progress.ended());
  // A duplicate with other content was refused; the batch itself goes on.
  story.apply(progress, 1);
  EXPECT_EQ(progress.stage(), Stage::kGenerating);
}

TEST(BatchDisplayTest, WithoutATerminalOneLinePerStage) {
  std::ostringstream output;
  std::ostringstream error;
  Terminal terminal(output, error, {});
  Story story;
  story.tell(accepted());
  story.tell(root());
  story.tell(completed());
  BatchProgress progress(kBatch);
  BatchDisplay display(terminal);
  display.update(progress);
  display.update(progress);
  for (std::size_t i = 0; i < story.size(); ++i) {
    story.apply(progress, i);
    display.update(progress);
  }
  display.finish(progress);
  const std::string id = kBatch.to_string();
  EXPECT_EQ(error.str(),
            id + " requested\n" + id + " generating\n" + id + " anchoring\n" + id + " completed\n");
  EXPECT_EQ(output.str(), "");
}

TEST(BatchDisplayTest, LinesFitTheTerminal) {
  for (const int width : {40, 60, 80, 120}) {
    std::ostringstream output;
    std::ostringstream error;
    TerminalTraits traits;
    traits.error_is_terminal = true;
    traits.unicode = true;
    traits.width = width;
    Terminal terminal(output, error, traits);
    Story story;
    events::BatchAccepted big = accepted();
    big.product_count = 10'000'000;
    story.tell(big);
    story.tell(subtree(0));
    BatchProgress progress(kBatch);
    BatchDisplay display(terminal);
    for (std::size_t i = 0; i < story.size(); ++i) story.apply(progress, i);
    display.finish(progress);
    std::istringstream lines(error.str());
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(display_width(line), static_cast<std::size_t>(width)) << line;
    }
  }
}

TEST(BatchPrintTest, SaysThatTheMockChainIsOne) {
  std::ostringstream output;
  Terminal terminal(output, output, {});
  Story story;
  story.tell(accepted());
  story.tell(root());
  story.tell(anchor());
  story.tell(completed());
  BatchProgress progress(kBatch);
  for (std::size_t i = 0; i < story.size(); ++i) story.apply(progress, i);
  print_batch(terminal, progress);
  EXPECT_THAT(output.str(), HasSubstr("completed"));
  EXPECT_THAT(output.str(), HasSubstr("proves no point in time"));
  EXPECT_THAT(batch_json(progress), HasSubstr("\"network\":\"mock\""));
  EXPECT_THAT(batch_json(progress), HasSubstr("\"status\":\"completed\""));
}

}  // namespace
}  // namespace voketag::cli
