#include "processors/anchoring/anchoring_state.h"

#include "events/codec_impl.h"

namespace voketag::events {

template Result<processors::AnchorState> decode<processors::AnchorState>(std::string_view);
template std::string encode<processors::AnchorState>(const processors::AnchorState&);
template Result<processors::WaitingRoot> decode<processors::WaitingRoot>(std::string_view);
template std::string encode<processors::WaitingRoot>(const processors::WaitingRoot&);
template Result<processors::QueuePlace> decode<processors::QueuePlace>(std::string_view);
template std::string encode<processors::QueuePlace>(const processors::QueuePlace&);
template Result<processors::LaneState> decode<processors::LaneState>(std::string_view);
template std::string encode<processors::LaneState>(const processors::LaneState&);

}  // namespace voketag::events
