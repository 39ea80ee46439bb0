#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "events/codec.h"
#include "runtime/memory_log.h"
#include "runtime/position.h"
#include "state/database.h"
#include "state/partition_store.h"
#include "voketag/command_line.h"
#include "voketag/state/changelog_verifier.h"
#include "voketag/state/checkpoint.h"
#include "voketag/state/local_state.h"

namespace voketag::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Outcome {
  ExitCode code;
  std::string output;
  std::string error;
};

// A state directory, and a changelog to hold it against.
class StateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() /
            ("voketag-cli-state-" + std::to_string(::getpid()) + "-" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_ / "scratch");
    open();
  }
  void TearDown() override {
    close();
    std::filesystem::remove_all(root_);
  }
  void open() {
    auto opened = state::Database::open(state());
    ASSERT_TRUE(opened) << opened.error().message;
    database_ = *std::move(opened);
    store_ = database_->open_partition("batches", 3);
  }
  void close() {
    store_.reset();
    database_.reset();
  }
  std::filesystem::path state() const { return root_ / "state"; }

  std::int64_t append(std::string key, std::optional<std::string> value) {
    events::OutputRecord record;
    record.topic = "batches-changelog";
    record.partition = 3;
    record.key = std::move(key);
    record.value = std::move(value);
    return log_.append(record);
  }
  std::int64_t append_commit(std::int64_t next_offset) {
    runtime::CommitRecord commit = commit_at(next_offset);
    commit.work.push_back({.topic = "batch-accepted", .from_offset = 0, .to_offset = 1});
    return append(std::string(runtime::kCommitKey), events::encode(commit));
  }
  static runtime::CommitRecord commit_at(std::int64_t next_offset) {
    runtime::CommitRecord commit;
    commit.positions = {{"batch-accepted", next_offset}};
    commit.now_ms = 1'763'800'000'000;
    commit.configuration_version = "1";
    return commit;
  }
  static std::string position(std::int64_t changelog_offset, std::int64_t next_offset) {
    runtime::StorePosition position;
    position.changelog_offset = changelog_offset;
    position.claim = runtime::Claim{"voketag.batches.one.0"};
    position.commit = commit_at(next_offset);
    position.agreed_at_ms = 1'763'800'000'000;
    return events::encode(position);
  }
  // Two keys and a tombstone, and the state that follows from them.
  std::int64_t fill() {
    append("batch/a", "1");
    append("batch/gone", "x");
    append("batch/b", "2");
    append("batch/gone", std::nullopt);
    const std::int64_t end = append_commit(7) + 1;
    store_->put("batch/a", "1");
    store_->put("batch/b", "2");
    EXPECT_TRUE(store_->write_overlay(position(end, 7)));
    return end;
  }
  void change(std::string_view key, std::optional<std::string_view> value) {
    store_->apply(key, value);
    EXPECT_TRUE(store_->write_applied(*store_->position()));
  }
  PartitionVerdict verify() {
    ChangelogVerifier verifier(log_, root_ / "scratch");
    auto verdict =
        verifier.verify(*store_, "batches", 3, [](std::int64_t, std::int64_t) { return true; });
    if (!verdict || !*verdict) {
      ADD_FAILURE() << (verdict ? "nothing is kept" : verdict.error().message);
      return {};
    }
    EXPECT_TRUE(std::filesystem::is_empty(root_ / "scratch")) << "the scratch database is left";
    return **std::move(verdict);
  }
  Outcome run(std::vector<std::string> arguments) {
    std::ostringstream output;
    std::ostringstream error;
    Terminal terminal(output, error, {});
    Session session(terminal, {{"VOKETAG_STATE_DIR", state().string()}});
    const ExitCode code = run_command_line(session, std::move(arguments));
    return {code, output.str(), error.str()};
  }

  std::filesystem::path root_;
  runtime::ManualClock clock_;
  runtime::MemoryLog log_{clock_};
  std::unique_ptr<state::Database> database_;
  std::unique_ptr<state::PartitionStore> store_;
};

// A standby that reads a changelog for the first time, say.
TEST_F(StateTest, AStoreThatWasNeverWholeSaysSo) {
  runtime::StorePosition position;
  position.changelog_offset = 2;
  position.rebuilt_from_ms = 1'763'800'000'000;
  store_->apply("batch/a", "1");
  ASSERT_TRUE(store_->write_applied(events::encode(position)));
  EXPECT_THAT(run({"state", "inspect"}).output, HasSubstr("not yet"));
  EXPECT_THAT(run({"state", "inspect", "--json"}).output, HasSubstr(R"("agreed_at":null)"));
}

TEST_F(StateTest, WhatFollowsFromTheChangelogIsEqual) {
  const std::int64_t end = fill();
  const PartitionVerdict verdict = verify();
  EXPECT_TRUE(verdict.equal()) << verdict.fault.value_or("");
  EXPECT_EQ(verdict.keys, 2);
  EXPECT_EQ(verdict.left_out, 0);
  EXPECT_EQ(verdict.changelog_offset, end);
  EXPECT_EQ(verdict.changelog_end, end);
}

TEST_F(StateTest, EachKindOfDifferenceIsFoundAndNamed) {
  fill();
  append("window/z", "9");  // behind the position: nobody's fault
  change("batch/a", "other");
  change("batch/b", std::nullopt);
  change("batch/gone", "x");
  change("timer-of/never", "1");
  const PartitionVerdict verdict = verify();
  EXPECT_FALSE(verdict.equal());
  EXPECT_EQ(verdict.keys, 0);
  EXPECT_EQ(verdict.different, 1);
  EXPECT_EQ(verdict.missing, 1);
  EXPECT_EQ(verdict.extra, 2);
  std::vector<std::string> named;
  for (const auto& each : verdict.examples) {
    named.push_back(std::string(to_string(each.kind)) + " " + each.key + " " +
                    std::to_string(each.changelog_offset.value_or(-1)));
  }
  EXPECT_THAT(named, ElementsAre("different batch/a 0", "missing batch/b 2", "extra batch/gone -1",
                                 "extra timer-of/never -1"));
}

// A running process has written further, or compaction has taken the older value away.
TEST_F(StateTest, WhatWasWrittenAgainBehindThePositionIsLeftOut) {
  fill();
  append("batch/a", "3");
  append("batch/b", std::nullopt);
  append_commit(8);
  EXPECT_EQ(verify().left_out, 0) << "both are as they were at the position";
  change("batch/a", "3");
  change("batch/b", std::nullopt);
  const PartitionVerdict verdict = verify();
  EXPECT_TRUE(verdict.equal());
  EXPECT_EQ(verdict.left_out, 2);
}

TEST_F(StateTest, ManyKeysAreComparedInBlocks) {
  constexpr int kKeys = 10'000;
  std::int64_t offset = 0;
  for (int i = 0; i < kKeys; ++i) {
    const std::string key = "done/" + std::to_string(i);
    offset = append(key, "{}");
    if (i != 4711) store_->put(key, "{}");
  }
  ASSERT_TRUE(store_->write_overlay(position(append_commit(1) + 1, 1)));
  const PartitionVerdict verdict = verify();
  EXPECT_EQ(verdict.keys, kKeys - 1);
  EXPECT_EQ(verdict.missing, 1);
  ASSERT_EQ(verdict.examples.size(), 1U);
  EXPECT_EQ(verdict.examples.front().key, "done/4711");
  EXPECT_GT(offset, 0);
}

TEST_F(StateTest, AStateOfAnotherLogOrAnotherCommitIsNotEqual) {
  const std::int64_t end = fill();
  ASSERT_TRUE(store_->write_applied(position(end + 100, 7)));
  EXPECT_THAT(verify().fault.value_or(""), HasSubstr("belongs to another log"));
  ASSERT_TRUE(store_->write_applied(position(end, 8)));
  EXPECT_THAT(verify().fault.value_or(""), HasSubstr("commit record"));
  ASSERT_TRUE(store_->write_applied("no JSON"));
  EXPECT_THAT(verify().fault.value_or(""), HasSubstr("position"));
}

TEST_F(StateTest, VerifyEndsWhenItIsAskedTo) {
  fill();
  ChangelogVerifier verifier(log_, root_ / "scratch");
  const auto verdict =
      verifier.verify(*store_, "batches", 3, [](std::int64_t, std::int64_t) { return false; });
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, events::Errc::kTimeout) << "1 would say that it is different";
  EXPECT_TRUE(std::filesystem::is_empty(root_ / "scratch"));
}

TEST_F(StateTest, InspectReadsBesideTheProcessThatHoldsIt) {
  fill();
  store_->put("timer/00000001763800000000/stall:a", "");
  ASSERT_TRUE(store_->write_overlay(*store_->position()));
  const Outcome table = run({"state", "inspect"});
  EXPECT_EQ(table.code, ExitCode::kYes) << table.error;
  EXPECT_THAT(table.output, HasSubstr("2025-11-22T08:26:40.000Z"));
  EXPECT_THAT(table.output, HasSubstr("--processor batches --partition 3"));
  std::istringstream lines(table.output);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
  const Outcome one = run({"state", "inspect", "--processor", "batches", "--partition", "3"});
  EXPECT_THAT(one.output, HasSubstr("next input  batch-accepted 7"));
  EXPECT_THAT(one.output, HasSubstr("claimed by  voketag.batches.one.0"));
  EXPECT_THAT(one.output, HasSubstr("next timer  2025-11-22T08:26:40.000Z  stall:a"));

  const Outcome json = run({"state", "inspect", "--json"});
  simdjson::dom::parser parser;
  const auto parsed = parser.parse(json.output);
  ASSERT_EQ(parsed.error(), simdjson::SUCCESS) << json.output;
  const auto only = parsed.at(0);
  EXPECT_EQ(std::int64_t(only["partition"]), 3);
  EXPECT_EQ(std::int64_t(only["tables"]["batch"]["keys"]), 2);
  EXPECT_EQ(std::string_view(only["next_timer"]["name"]), "stall:a");
  EXPECT_EQ(std::int64_t(only["position"]["commit"]["positions"].at(0)["next_offset"]), 7);

  EXPECT_EQ(run({"state", "inspect", "--key", "batch/b"}).output, "batches/3  batch/b  2\n");
  EXPECT_EQ(run({"state", "inspect", "--table", "batch", "--key", "b"}).output,
            "batches/3  batch/b  2\n");
  const Outcome none = run({"state", "inspect", "--key", "batch/c"});
  EXPECT_EQ(none.code, ExitCode::kNo);
  EXPECT_THAT(none.error, HasSubstr("no key batch/c"));
  EXPECT_THAT(run({"state", "inspect", "--table", "batch"}).output, Not(HasSubstr("timer  ")));
}

TEST_F(StateTest, InspectSaysWhatItLeavesOutAndWhatIsNotThere) {
  fill();
  const Outcome some = run({"state", "inspect", "--keys", "--limit", "1"});
  EXPECT_EQ(some.output, "batches/3  batch/a  1\n");
  EXPECT_THAT(some.error, HasSubstr("there are more"));
  const Outcome all = run({"state", "inspect", "--keys", "--limit", "2"});
  EXPECT_EQ(all.output, "batches/3  batch/a  1\nbatches/3  batch/b  2\n");
  EXPECT_THAT(all.error, Not(HasSubstr("there are more")));
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"state", "inspect", "--table", "batsch"},
           {"state", "inspect", "--processor", "merkle"},
           {"state", "inspect", "--keys", "--prefix", "batsch/"}}) {
    const Outcome none = run(arguments);
    EXPECT_EQ(none.code, ExitCode::kNo) << none.output;
    EXPECT_THAT(none.error, HasSubstr("nothing of that is kept"));
  }
  const Outcome wrong = run({"state", "inspect", "--processor", "merkel"});
  EXPECT_EQ(wrong.code, ExitCode::kUsage);
  EXPECT_THAT(wrong.error, HasSubstr("did you mean merkle?"));
}

TEST_F(StateTest, ACheckpointIsCheckedByteByByte) {
  fill();
  close();
  const std::filesystem::path copy = root_ / "copy";
  const Outcome made = run({"state", "checkpoint", "--to", copy.string()});
  ASSERT_EQ(made.code, ExitCode::kYes) << made.error;
  const std::vector<std::string> check = {"state", "verify", "--files-only", "--directory",
                                          copy.string()};
  const Outcome whole = run(check);
  EXPECT_EQ(whole.code, ExitCode::kYes) << whole.output << whole.error;
  EXPECT_EQ(run({"state", "checkpoint", "--to", copy.string()}).code, ExitCode::kUsage);
  EXPECT_THAT(run({"state", "inspect", "--directory", copy.string()}).output, HasSubstr("batch"));
  EXPECT_THAT(run(check).output, HasSubstr("as they were written")) << "looking changes nothing";

  const auto manifest = read_manifest(copy);
  ASSERT_TRUE(manifest);
  ASSERT_THAT(manifest->files, Not(IsEmpty()));
  for (const auto& file : manifest->files) {
    const auto path = copy / file.name;
    if (file.size_bytes == 0) continue;
    std::fstream bytes(path, std::ios::in | std::ios::out | std::ios::binary);
    const char first = static_cast<char>(bytes.get());
    const auto put = [&](char byte) {
      bytes.seekp(0);
      bytes.put(byte);
      bytes.flush();
    };
    put(static_cast<char>(first ^ 1));
    const auto faults = check_files(copy, *manifest);
    ASSERT_TRUE(faults);
    EXPECT_THAT(*faults, ElementsAre(file.name + " has other bytes than it was written with"));
    put(first);
  }
  std::ofstream(copy / "rocksdb" / "stranger") << "x";
  EXPECT_THAT(*check_files(copy, *manifest), ElementsAre("rocksdb/stranger does not belong to it"));
  std::filesystem::remove(copy / "rocksdb" / "CURRENT");
  const Outcome broken = run(check);
  EXPECT_EQ(broken.code, ExitCode::kNo);
  EXPECT_THAT(broken.output, HasSubstr("rocksdb/CURRENT is missing"));
}

TEST_F(StateTest, RebuildThrowsAwayWhatIsNamedAndOnlyWithYes) {
  fill();
  auto other = database_->open_partition("merkle", 3);
  other->put("whole/a", "1");
  ASSERT_TRUE(other->write_overlay(position(1, 1)));
  other.reset();
  close();
  const Outcome dry = run({"state", "rebuild"});
  EXPECT_EQ(dry.code, ExitCode::kYes) << dry.error;
  EXPECT_THAT(dry.output, HasSubstr("Would throw away 2 partitions, 3 keys"));
  EXPECT_EQ(run({"state", "rebuild", "--processor", "batches", "--yes"}).code, ExitCode::kYes);
  open();
  EXPECT_FALSE(store_->position());
  EXPECT_FALSE(store_->first_key(""));
  EXPECT_TRUE(database_->open_partition("merkle", 3)->get("whole/a"));
  close();
  std::ofstream(state() / "member-a") << "kept";
  EXPECT_EQ(run({"state", "rebuild", "--yes"}).code, ExitCode::kYes);
  EXPECT_FALSE(state::Database::exists(state()));
  EXPECT_TRUE(std::filesystem::exists(state() / "member-a"));
  EXPECT_EQ(run({"state", "rebuild"}).code, ExitCode::kNo) << "there is nothing any more";
}

// fcntl locks are a process's: only RocksDB's own table tells this process of itself.
TEST_F(StateTest, AHeldStateIsNeitherCopiedNorThrownAway) {
  fill();
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"state", "checkpoint", "--to", (root_ / "copy").string()},
           {"state", "rebuild", "--yes"},
           {"state", "rebuild", "--processor", "batches", "--yes"}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, ExitCode::kNo) << outcome.output;
    EXPECT_THAT(outcome.error, HasSubstr("holds the state in"));
  }
  EXPECT_FALSE(std::filesystem::exists(root_ / "copy"));
  EXPECT_EQ(store_->get("batch/a"), "1");
}

}  // namespace
}  // namespace voketag::cli
