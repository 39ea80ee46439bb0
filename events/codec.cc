#include "events/codec.h"

#include "events/codec_impl.h"

namespace voketag::events {

#define VOKETAG_INSTANTIATE(Event)                        \
  template Result<Event> decode<Event>(std::string_view); \
  template std::string encode<Event>(const Event&)

VOKETAG_INSTANTIATE(BatchRequested);
VOKETAG_INSTANTIATE(BatchAccepted);
VOKETAG_INSTANTIATE(TokenChunkRequested);
VOKETAG_INSTANTIATE(TokensGenerated);
VOKETAG_INSTANTIATE(MerkleSubtreeComputed);
VOKETAG_INSTANTIATE(MerkleRootComputed);
VOKETAG_INSTANTIATE(BatchCompleted);
VOKETAG_INSTANTIATE(BatchFailed);
VOKETAG_INSTANTIATE(AnchorRequested);
VOKETAG_INSTANTIATE(AnchorAccepted);
VOKETAG_INSTANTIATE(AnchorQueued);
VOKETAG_INSTANTIATE(AnchorSubmitted);
VOKETAG_INSTANTIATE(AnchorCompleted);
VOKETAG_INSTANTIATE(AnchorFailed);
VOKETAG_INSTANTIATE(AuditRecorded);

#undef VOKETAG_INSTANTIATE

}  // namespace voketag::events
