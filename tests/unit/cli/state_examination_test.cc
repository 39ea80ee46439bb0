#include "voketag/state/state_examination.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "events/codec.h"
#include "runtime/memory_log.h"
#include "runtime/position.h"
#include "state/database.h"
#include "state/partition_store.h"

namespace voketag::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Another process that holds the database, as far as its lock tells.
class Holder {
 public:
  explicit Holder(const std::filesystem::path& lock_file) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    process_ = ::fork();
    if (process_ == 0) {
      struct flock lock {};
      lock.l_type = F_WRLCK;
      lock.l_whence = SEEK_SET;
      const int file = ::open(lock_file.c_str(), O_RDWR);
      const char answer = ::fcntl(file, F_SETLK, &lock) == 0 ? 'y' : 'n';
      if (::write(ready[1], &answer, 1) != 1) _exit(1);
      for (;;) ::pause();
    }
    char answer = 'n';
    EXPECT_EQ(::read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~Holder() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  std::string id() const { return std::to_string(process_); }

 private:
  pid_t process_;
};

class StateExaminationTest : public ::testing::Test {
 protected:
  StateExaminationTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~StateExaminationTest() override { std::filesystem::remove_all(root_); }

  std::filesystem::path state() const { return root_ / "state"; }

  // A partition's state that goes as far as its changelog does, which has one record.
  void keep(const std::string& claimant, std::int64_t changelog_offset = 1) {
    events::OutputRecord record;
    record.topic = "batches-changelog";
    record.partition = 3;
    record.key = "batch/a";
    record.value = "1";
    log_.append(record);
    runtime::StorePosition position;
    position.changelog_offset = changelog_offset;
    position.claim = runtime::Claim{claimant};
    keep_text(events::encode(position));
  }
  void keep_text(const std::string& position) {
    auto database = state::Database::open(state());
    ASSERT_TRUE(database) << database.error().message;
    const auto store = (*database)->open_partition("batches", 3);
    store->apply("batch/a", "1");
    ASSERT_TRUE(store->write_applied(position));
  }

  // "<ok|warn|fail> <subject>: <detail>", a line each.
  std::string examine() {
    std::string text;
    for (const Finding& finding : examine_state(state(), {"voketag.", "one"}, &log_)) {
      text += finding.health == Health::kGood      ? "ok "
              : finding.health == Health::kWarning ? "warn "
                                                   : "fail ";
      text += finding.subject + ": " + finding.detail + "\n";
      EXPECT_EQ(finding.health == Health::kGood, finding.cure.empty()) << text;
    }
    return text;
  }

  const std::filesystem::path root_ = std::filesystem::temp_directory_path() /
                                      ("voketag-state-examination-" + std::to_string(::getpid()));
  runtime::ManualClock clock_;
  runtime::MemoryLog log_{clock_};
};

TEST_F(StateExaminationTest, WhatIsNotThereIsNotMade) {
  const std::string found = examine();
  EXPECT_THAT(found, HasSubstr("(the first start makes it)"));
  EXPECT_THAT(found, HasSubstr("ok state: none yet"));
  EXPECT_FALSE(std::filesystem::exists(state()));
}

TEST_F(StateExaminationTest, WhatCannotBeMadeIsSaid) {
  std::ofstream(state()) << "a file";
  EXPECT_THAT(examine(),
              HasSubstr("fail state directory: " + state().string() + " cannot be written"));
}

TEST_F(StateExaminationTest, AStateThatFitsIsGood) {
  keep("voketag.batches.one.0");
  const std::string found = examine();
  EXPECT_THAT(found, HasSubstr("ok state: it opens, and is held by no process; 1 partition, 1 "
                               "claimed by this instance (one), 0 by others"));
  EXPECT_THAT(found, AllOf(Not(HasSubstr("warn state:")), Not(HasSubstr("fail"))));
}

TEST_F(StateExaminationTest, NothingIsWrittenThere) {
  keep("voketag.batches.one.0");
  const auto list = [&] {
    std::string names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(state())) {
      names += entry.path().string() + "\n";
    }
    return names;
  };
  const std::string before = list();
  examine();
  EXPECT_EQ(list(), before);
}

TEST_F(StateExaminationTest, WhoHoldsItIsSaid) {
  keep("voketag.batches.two.0");
  const Holder holder(state() / "rocksdb/LOCK");
  EXPECT_THAT(examine(), HasSubstr("ok state: it opens, and is held by process " + holder.id() +
                                   "; 1 partition, 0 claimed by this instance (one), 1 by others"));
}

TEST_F(StateExaminationTest, AStateOfAnotherSystemIsSaid) {
  keep("another.batches.one.0");
  EXPECT_THAT(examine(), HasSubstr("warn state: it belongs to another system: batches-changelog 3 "
                                   "was claimed by another.batches.one.0"));
}

TEST_F(StateExaminationTest, AStateAheadOfItsChangelogIsSaid) {
  keep("voketag.batches.one.0", 7);
  EXPECT_THAT(examine(), HasSubstr("warn state: it belongs to another log: it has read "
                                   "batches-changelog 3 up to offset 7, and that ends at 1"));
}

TEST_F(StateExaminationTest, ADamagedPositionIsSaid) {
  keep_text("no JSON");
  EXPECT_THAT(examine(), HasSubstr("the position is missing or damaged of: batches 3"));
}

TEST_F(StateExaminationTest, WhatWasMovedAsideIsSaid) {
  keep("voketag.batches.one.0");
  std::filesystem::create_directories(state() / "rocksdb.corrupt-1");
  EXPECT_THAT(examine(), HasSubstr("warn corrupt state: rocksdb.corrupt-1 in"));
}

TEST_F(StateExaminationTest, WhatTheNextStartWillMoveAsideIsSaid) {
  keep("voketag.batches.one.0");
  std::ofstream(state() / "rocksdb-is-corrupt") << "a checksum";
  EXPECT_THAT(examine(), HasSubstr("warn state: the last run has found corrupt data in it"));
}

TEST_F(StateExaminationTest, ACorruptDatabaseIsSaid) {
  keep("voketag.batches.one.0");
  std::ofstream(state() / "rocksdb/CURRENT") << "no newline ends this";
  EXPECT_THAT(examine(), HasSubstr("warn state: the state in"));
}

}  // namespace
}  // namespace voketag::cli
