#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/events.h"
#include "events/record.h"
#include "events/uuid.h"

namespace voketag::cli {

// How far one batch has come, gathered from the events of its life in whatever order they are read.
class BatchProgress {
 public:
  enum class Stage {
    kUnknown,       // no event of it has been seen
    kGenerating,    // accepted; its tokens are being made
    kAnchoring,     // the Merkle root is there, and on its way to the chain
    kAnchorFailed,  // anchoring failed and is tried again; the products stand
    kCompleted,
    kFailed,
    kRefused,  // the request became a dead letter
  };

  explicit BatchProgress(const events::Uuid& batch_id);

  // The topics that tell of it; in each, the partition of the batch's id.
  static std::vector<std::string_view> topics();

  // Takes note of a record of one of those topics; those of other batches are ignored.
  void apply(const events::RecordView& record);

  Stage stage() const;
  // Nothing more will come (but for a deeper reorganisation of the chain).
  bool ended() const;
  std::int64_t product_count() const;
  // Products whose tokens are there.
  std::int64_t generated() const;

  const std::string& batch_id() const { return batch_id_; }
  const std::optional<events::BatchAccepted>& accepted() const { return accepted_; }
  const std::optional<events::MerkleRootComputed>& root() const { return root_; }
  const std::optional<events::AnchorCompleted>& anchor() const { return anchor_; }
  const std::optional<events::AnchorFailed>& anchor_failure() const { return anchor_failure_; }
  const std::optional<events::BatchCompleted>& completed() const { return completed_; }
  const std::optional<events::BatchFailed>& failed() const { return failed_; }
  // Why the request was refused: "reason: detail".
  const std::optional<std::string>& refusal() const { return refusal_; }

  // Broker times of the records; 0 where there is none yet.
  struct Times {
    events::Timestamp accepted;
    events::Timestamp root;
    events::Timestamp anchored;
    events::Timestamp ended;
  };
  const Times& times() const { return times_; }

 private:
  void apply_subtree(const events::RecordView& record);
  void apply_dead_letter(const events::RecordView& record);

  std::string batch_id_;
  std::optional<events::BatchAccepted> accepted_;
  std::optional<events::MerkleRootComputed> root_;
  std::optional<events::AnchorCompleted> anchor_;
  std::optional<events::AnchorFailed> anchor_failure_;
  std::optional<events::BatchCompleted> completed_;
  std::optional<events::BatchFailed> failed_;
  std::optional<std::string> refusal_;
  std::vector<bool> chunks_;  // which are there
  std::int64_t chunks_there_ = 0;
  Times times_;
};

// "generating" and so on: the words of the view `batches`, and "refused", "unknown".
std::string_view to_string(BatchProgress::Stage stage);

}  // namespace voketag::cli
