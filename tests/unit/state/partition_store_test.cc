#include "state/partition_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "state/database.h"
#include "state/memory_disk.h"

namespace voketag::state {
namespace {

using testing::ElementsAre;
using testing::Pair;

enum class Place { kDisk, kMemory };

class PartitionStoreTest : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("voketag-state-" + std::to_string(::getpid()));
    std::filesystem::remove_all(directory_);
    open();
  }
  void TearDown() override {
    store_.reset();
    database_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    if (GetParam() == Place::kMemory) {
      database_ = Database::open_in_memory(disk_);
    } else {
      auto opened = Database::open(directory_);
      ASSERT_TRUE(opened) << opened.error().message;
      database_ = *std::move(opened);
    }
    store_ = database_->open_partition("batches", 3);
  }
  void reopen() {
    store_.reset();
    database_.reset();
    open();
  }
  std::map<std::string, std::string> contents(std::string_view prefix = "") const {
    std::map<std::string, std::string> result;
    store_->scan(prefix, [&](std::string_view key, std::string_view value) {
      result.emplace(key, value);
      return true;
    });
    return result;
  }

  std::filesystem::path directory_;
  const std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  std::unique_ptr<Database> database_;
  std::unique_ptr<PartitionStore> store_;
};

// What goes for files alone.
class PartitionStoreFilesTest : public PartitionStoreTest {};

INSTANTIATE_TEST_SUITE_P(State, PartitionStoreTest, testing::Values(Place::kDisk, Place::kMemory),
                         [](const auto& place) {
                           return place.param == Place::kDisk ? "OnDisk" : "InMemory";
                         });
INSTANTIATE_TEST_SUITE_P(State, PartitionStoreFilesTest, testing::Values(Place::kDisk));

TEST_P(PartitionStoreTest, WhatNoRecordOfTheChangelogCanHoldIsRefused) {
  const std::string largest(static_cast<std::size_t>(kEntryBytesMax) - 3, 'x');
  store_->put("key", largest);
  EXPECT_THROW(store_->put("key", largest + "y"), TooLarge);
  EXPECT_THROW(store_->put("keys", largest), TooLarge);
  EXPECT_EQ(store_->get("key"), largest);
  EXPECT_FALSE(store_->get("keys"));
}

TEST_P(PartitionStoreTest, ReadsItsOwnWritesBeforeTheyAreCommitted) {
  store_->put("batch/a", "1");
  EXPECT_EQ(store_->get("batch/a"), "1");
  store_->erase("batch/a");
  EXPECT_EQ(store_->get("batch/a"), std::nullopt);
}

TEST_P(PartitionStoreTest, ForgetsWhatWasNotWrittenWhenItIsReopened) {
  store_->put("batch/a", "1");
  ASSERT_TRUE(store_->write_overlay("at 1"));
  store_->put("batch/b", "2");
  reopen();
  EXPECT_THAT(contents(), ElementsAre(Pair("batch/a", "1")));
  EXPECT_EQ(store_->position(), "at 1");
}

TEST_P(PartitionStoreTest, DropsTheOverlayAsIfNothingHadHappened) {
  store_->put("batch/a", "1");
  ASSERT_TRUE(store_->write_overlay("at 1"));
  store_->put("batch/a", "2");
  store_->put("batch/b", "3");
  store_->drop_overlay();
  EXPECT_THAT(contents(), ElementsAre(Pair("batch/a", "1")));
  EXPECT_FALSE(store_->dirty());
}

TEST_P(PartitionStoreTest, TakesBackOneHandlersWritesAndKeepsThoseBefore) {
  store_->put("k/first", "1");
  store_->mark();
  store_->put("k/first", "2");
  store_->put("k/second", "3");
  store_->rollback_to_mark();
  EXPECT_THAT(contents(), ElementsAre(Pair("k/first", "1")));
  std::vector<std::pair<std::string, std::string>> changes;
  store_->for_each_change([&](std::string_view key, std::optional<std::string_view> value) {
    changes.emplace_back(key, value.value_or("(erased)"));
  });
  EXPECT_THAT(changes, ElementsAre(Pair("k/first", "1")));
}

TEST_P(PartitionStoreTest, NamesEachChangedKeyOnceWithItsLastValue) {
  store_->put("k/a", "1");
  ASSERT_TRUE(store_->write_overlay("at 1"));
  store_->put("k/b", "1");
  store_->put("k/b", "2");
  store_->erase("k/a");
  std::vector<std::pair<std::string, std::string>> changes;
  store_->for_each_change([&](std::string_view key, std::optional<std::string_view> value) {
    changes.emplace_back(key, value.value_or("(erased)"));
  });
  EXPECT_THAT(changes, ElementsAre(Pair("k/a", "(erased)"), Pair("k/b", "2")));
}

TEST_P(PartitionStoreTest, ScansOverlayAndDatabaseTogetherInOrderOfKeys) {
  store_->put("k/1", "a");
  store_->put("k/3", "c");
  store_->put("l/1", "other table");
  ASSERT_TRUE(store_->write_overlay("at 1"));
  store_->put("k/2", "b");
  store_->erase("k/3");
  store_->put("k/4", "d");
  EXPECT_THAT(contents("k/"), ElementsAre(Pair("k/1", "a"), Pair("k/2", "b"), Pair("k/4", "d")));
  EXPECT_EQ(store_->first_key("k/"), "k/1");
  EXPECT_EQ(store_->first_key("m/"), std::nullopt);
}

TEST_P(PartitionStoreTest, KeepsPartitionsAndProcessorsApart) {
  const auto neighbour = database_->open_partition("batches", 4);
  const auto namesake = database_->open_partition("batches-2", 3);
  store_->put("k/a", "mine");
  neighbour->put("k/a", "its");
  namesake->put("k/a", "another's");
  ASSERT_TRUE(store_->write_overlay("1"));
  ASSERT_TRUE(neighbour->write_overlay("2"));
  ASSERT_TRUE(namesake->write_overlay("3"));
  ASSERT_TRUE(store_->wipe());
  EXPECT_TRUE(contents().empty());
  EXPECT_EQ(store_->position(), std::nullopt);
  EXPECT_EQ(neighbour->get("k/a"), "its");
  EXPECT_EQ(neighbour->position(), "2");
  EXPECT_EQ(namesake->get("k/a"), "another's");
}

TEST_P(PartitionStoreTest, RestoresRecordsWithThePositionTheyLeadTo) {
  store_->apply("k/a", "1");
  store_->apply("k/b", "2");
  store_->apply("k/a", std::nullopt);
  EXPECT_GT(store_->applied_bytes(), 0U);
  ASSERT_TRUE(store_->write_applied("at 3"));
  reopen();
  EXPECT_THAT(contents(), ElementsAre(Pair("k/b", "2")));
  EXPECT_EQ(store_->position(), "at 3");
}

TEST_P(PartitionStoreFilesTest, MovesACorruptDatabaseAsideAndBeginsAnew) {
  store_->put("k/a", "1");
  ASSERT_TRUE(store_->write_overlay("at 1"));
  ASSERT_TRUE(database_->flush());
  store_.reset();
  database_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "rocksdb")) {
    if (entry.path().filename().string().starts_with("MANIFEST")) {
      std::ofstream(entry.path(), std::ios::trunc) << "not a manifest";
    }
  }
  open();
  EXPECT_TRUE(database_->began_anew());
  EXPECT_EQ(store_->position(), std::nullopt);
  EXPECT_TRUE(std::filesystem::exists(directory_ / "rocksdb.corrupt-1"));
}

// Opening a database reads little of it: damage in a table shows when its rows are read.
TEST_P(PartitionStoreFilesTest, MovesADatabaseAsideInWhichCorruptDataWasRead) {
  store_->put("k/a", std::string(10'000, 'x'));
  ASSERT_TRUE(store_->write_overlay("at 1"));
  ASSERT_TRUE(database_->flush());
  store_.reset();
  database_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "rocksdb")) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5'000);
    file << "damage";
  }
  open();
  EXPECT_FALSE(database_->began_anew());
  EXPECT_THROW(store_->get("k/a"), Failure);
  store_.reset();
  database_.reset();
  open();
  EXPECT_TRUE(database_->began_anew());
  EXPECT_EQ(store_->get("k/a"), std::nullopt);
  store_.reset();
  database_.reset();
  open();
  EXPECT_FALSE(database_->began_anew());
}

TEST_P(PartitionStoreFilesTest, RefusesADatabaseThatAnotherHolds) {
  const auto second = Database::open(directory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, events::Errc::kConflict);
  EXPECT_THAT(second.error().message, testing::HasSubstr("VOKETAG_STATE_DIR"));
}

// A store behaves as a map does, whatever is put, erased, marked, rolled back, written or dropped.
TEST_P(PartitionStoreTest, BehavesAsAMapUnderAnyCommands) {
  int round = 0;
  EXPECT_TRUE(rc::check([&] {
    const auto store = database_->open_partition("model", round++ % 1000);
    ASSERT_TRUE(store->wipe());
    std::map<std::string, std::string> written;
    std::map<std::string, std::string> model;
    std::optional<std::map<std::string, std::string>> marked;
    const auto commands = *rc::gen::container<std::vector<std::pair<int, int>>>(
        rc::gen::pair(rc::gen::inRange(0, 7), rc::gen::inRange(0, 8)));
    for (const auto& [command, argument] : commands) {
      const std::string key = "k/" + std::to_string(argument);
      switch (command) {
        case 0:
        case 1:
          store->put(key, std::to_string(command * 10 + argument));
          model[key] = std::to_string(command * 10 + argument);
          break;
        case 2:
          store->erase(key);
          model.erase(key);
          break;
        case 3:
          if (marked) store->release_mark();
          store->mark();
          marked = model;
          break;
        case 4:
          if (!marked) break;
          store->rollback_to_mark();
          model = *marked;
          marked.reset();
          break;
        case 5:
          if (marked) store->release_mark();
          marked.reset();
          RC_ASSERT(store->write_overlay("p").has_value());
          written = model;
          break;
        default:
          marked.reset();
          store->drop_overlay();
          model = written;
          break;
      }
      RC_ASSERT(store->get(key) ==
                (model.contains(key) ? std::optional(model[key]) : std::nullopt));
    }
    std::map<std::string, std::string> found;
    store->scan("", [&](std::string_view k, std::string_view v) {
      found.emplace(k, v);
      return true;
    });
    RC_ASSERT(found == model);
  }));
}

// A power failure takes whole writes from the end, whatever they did; what is left is a state with
// the position that it had.
TEST(MemoryDisk, LosesTheLastWritesAsAWhole) {
  const auto disk = std::make_shared<MemoryDisk>();
  const auto database = Database::open_in_memory(disk);
  const auto store = database->open_partition("batches", 3);
  store->put("k/a", "1");
  store->put("k/b", "1");
  ASSERT_TRUE(store->write_overlay("at 1"));
  const auto first = disk->entries();
  store->put("k/a", "2");
  store->erase("k/b");
  store->put("k/c", "2");
  ASSERT_TRUE(store->write_overlay("at 2"));
  const auto second = disk->entries();
  ASSERT_TRUE(store->wipe());
  EXPECT_TRUE(disk->entries().empty());
  disk->lose_writes(1);
  EXPECT_EQ(disk->entries(), second);
  disk->lose_writes(1);
  EXPECT_EQ(disk->entries(), first);
  EXPECT_EQ(store->position(), "at 1");
  disk->lose_writes(100);
  EXPECT_TRUE(disk->entries().empty());
}

// Files outlive the process, and a copy of them goes its own way.
TEST(MemoryDisk, OutlivesItsDatabaseAndCanBeCopied) {
  const auto disk = std::make_shared<MemoryDisk>();
  auto database = Database::open_in_memory(disk);
  database->open_partition("batches", 3)->apply("k/a", "1");
  EXPECT_TRUE(disk->entries().empty()) << "it was not written";
  const auto store = database->open_partition("batches", 3);
  store->put("k/a", "1");
  ASSERT_TRUE(store->write_overlay("at 1"));
  const auto copy = std::make_shared<MemoryDisk>(*disk);
  ASSERT_TRUE(store->wipe());
  database = Database::open_in_memory(copy);
  EXPECT_EQ(database->open_partition("batches", 3)->get("k/a"), "1");
}

}  // namespace
}  // namespace voketag::state
