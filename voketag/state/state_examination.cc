#include "voketag/state/state_examination.h"

#include <unistd.h>

#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "runtime/position.h"
#include "runtime/task.h"
#include "state/database.h"
#include "state/store.h"
#include "voketag/escaped_text.h"
#include "voketag/state/local_state.h"
#include "voketag/terminal.h"

namespace voketag::cli {
namespace {

namespace fs = std::filesystem;
using events::Errc;
using events::Status;

constexpr std::uintmax_t kFreeBytesMin = std::uintmax_t{2} << 30U;

// The directory, or what its first missing part would be made in.
fs::path nearest_existing(const fs::path& directory) {
  std::error_code ignored;
  fs::path path = fs::absolute(directory, ignored);
  while (!fs::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

std::string count_text(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

class StateExamination {
 public:
  StateExamination(const fs::path& directory, const StateOwner& owner, runtime::Log* log)
      : directory_(directory), owner_(owner), log_(log) {}

  std::vector<Finding> run() {
    examine_directory();
    examine_moved_aside();
    try {
      examine_database();
    } catch (const state::Failure& failure) {
      found(Health::kBad, "state", failure.what(),
            "Start voketag run: it rebuilds what it cannot read from the changelogs");
    }
    return std::move(findings_);
  }

 private:
  // What is kept of one partition that has a position.
  struct Kept {
    runtime::TopicPartition changelog;
    runtime::StorePosition position;
  };

  void found(Health health, std::string subject, std::string detail, std::string cure = "") {
    findings_.push_back({health, std::move(subject), std::move(detail), std::move(cure)});
  }

  void examine_directory() {
    const std::string subject = "state directory";
    const std::string name = directory_.string();
    const fs::path existing = nearest_existing(directory_);
    std::error_code trouble;
    if (!fs::is_directory(existing, trouble) || ::access(existing.c_str(), W_OK | X_OK) != 0) {
      found(Health::kBad, subject, name + " cannot be written",
            "Set VOKETAG_STATE_DIR to a directory that is writable for this user");
      return;
    }
    const std::string there = fs::exists(directory_, trouble) ? "" : " (the first start makes it)";
    const auto space = fs::space(existing, trouble);
    if (trouble) {
      found(Health::kWarning, subject, name + ": its free space is not known: " + trouble.message(),
            "voketag doctor, again");
    } else if (space.available < kFreeBytesMin) {
      found(Health::kWarning, subject,
            name + there + " has " + bytes_text(space.available) + " free",
            "Free some: without space VokeTag stops (and goes on when there is some)");
    } else {
      found(Health::kGood, subject, name + there + ", " + bytes_text(space.available) + " free");
    }
  }

  void examine_moved_aside() {
    const auto copies = state::Database::moved_aside(directory_);
    if (copies.empty()) return;
    std::string names;
    for (const auto& copy : copies) {
      names += (names.empty() ? "" : ", ") + copy.filename().string();
    }
    found(Health::kWarning, "corrupt state",
          names + " in " + directory_.string() + ": what was corrupt and has been moved aside",
          "Look at the disk; nothing reads it any more, so delete it");
  }

  void examine_database() {
    if (!state::Database::exists(directory_)) {
      found(Health::kGood, "state", "none yet: the first start reads it from the changelogs");
      return;
    }
    const auto holder = state::holder_of(directory_);
    const std::string held =
        holder ? "held by process " + std::to_string(*holder) : std::string("held by no process");
    if (state::Database::is_marked_corrupt(directory_)) {
      found(Health::kWarning, "state", "the last run has found corrupt data in it (" + held + ")",
            "Look at the disk; the next start moves it aside and rebuilds it from the changelogs");
      return;
    }
    const auto database = state::Database::open_read_only(directory_);
    if (!database) {
      const Errc code = database.error().code;
      const bool is_busy = code == Errc::kUnavailable && holder;
      // What is corrupt ends no start: it is moved aside.
      found(is_busy || code == Errc::kCorrupt ? Health::kWarning : Health::kBad, "state",
            database.error().message,
            is_busy ? "voketag doctor, again" : "Look at the disk and at the directory's rights");
      return;
    }
    const std::vector<Kept> kept = read_positions(**database);
    found(Health::kGood, "state",
          "it opens, and is " + held + "; " + count_text(kept.size(), "partition") + ", " +
              claims_text(kept));
    examine_claims(kept);
    examine_reach(kept);
  }

  std::vector<Kept> read_positions(state::Database& database) {
    std::vector<Kept> kept;
    std::string damaged;
    // Nothing of it can fail but by an exception.
    (void)for_each_store(database, {},
                         [&](std::string_view processor, std::int32_t partition,
                             state::PartitionStore& store) -> Status {
                           auto position = runtime::read_store_position(store);
                           if (position) {
                             kept.push_back({{runtime::changelog_topic(processor), partition},
                                             *std::move(position)});
                           } else if (store.first_key("")) {
                             damaged += (damaged.empty() ? "" : ", ") + std::string(processor) +
                                        " " + std::to_string(partition);
                           }
                           return {};
                         });
    if (!damaged.empty()) {
      found(Health::kWarning, "state", "the position is missing or damaged of: " + damaged,
            "Nothing: whoever restores such a partition reads it from its changelog");
    }
    return kept;
  }

  // "<prefix><processor>.<instance>.<slot>": of a claim, what begins it.
  std::string claim_prefix(const Kept& kept) const {
    const std::string_view topic = kept.changelog.topic;
    return owner_.topic_prefix + std::string(topic.substr(0, topic.rfind('-'))) + ".";
  }

  // The claims that were standing when the state was written: a clean stop takes them back, and
  // those of partitions that a standby follows are their owners'.
  std::string claims_text(const std::vector<Kept>& kept) const {
    std::size_t ours = 0;
    std::size_t others = 0;
    for (const Kept& each : kept) {
      if (!each.position.claim) continue;
      const bool is_ours = each.position.claim->transactional_id.starts_with(claim_prefix(each) +
                                                                             owner_.instance + ".");
      ++(is_ours ? ours : others);
    }
    return std::to_string(ours) + " claimed by this instance (" + owner_.instance + "), " +
           std::to_string(others) + " by others";
  }

  static constexpr const char* kOwnDirectory =
      "Is VOKETAG_TOPIC_PREFIX right, and VOKETAG_KAFKA? Give each system a VOKETAG_STATE_DIR of "
      "its own: what does not belong to the changelogs is rebuilt from them";

  void examine_claims(const std::vector<Kept>& kept) {
    for (const Kept& each : kept) {
      if (!each.position.claim) continue;
      const std::string& claimant = each.position.claim->transactional_id;
      if (claimant.starts_with(claim_prefix(each))) continue;
      found(Health::kWarning, "state",
            "it belongs to another system: " + each.changelog.topic + " " +
                std::to_string(each.changelog.partition) + " was claimed by " + escaped(claimant) +
                ", and names of this one begin with " + owner_.topic_prefix,
            kOwnDirectory);
      return;
    }
  }

  // Asked after the state was read, so that a running process has not gone further meanwhile.
  void examine_reach(const std::vector<Kept>& kept) {
    if (log_ == nullptr || kept.empty()) return;
    std::vector<runtime::TopicPartition> changelogs;
    for (const Kept& each : kept) changelogs.push_back(each.changelog);
    const auto marks = log_->watermarks(changelogs, runtime::Isolation::kReadUncommitted);
    if (!marks) {
      found(Health::kWarning, "state",
            "whether it belongs to the changelogs is not known: " + marks.error().message,
            "voketag doctor, again");
      return;
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (kept[i].position.changelog_offset <= (*marks)[i].high) continue;
      found(Health::kWarning, "state",
            "it belongs to another log: it has read " + kept[i].changelog.topic + " " +
                std::to_string(kept[i].changelog.partition) + " up to offset " +
                std::to_string(kept[i].position.changelog_offset) + ", and that ends at " +
                std::to_string((*marks)[i].high),
            kOwnDirectory);
      return;
    }
  }

  const fs::path& directory_;
  const StateOwner& owner_;
  runtime::Log* const log_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> examine_state(const fs::path& directory, const StateOwner& owner,
                                   runtime::Log* log) {
  return StateExamination(directory, owner, log).run();
}

}  // namespace voketag::cli
