#include "processors/merkle/merkle_state.h"

#include "events/codec_impl.h"

namespace voketag::events {

template Result<processors::TreeState> decode<processors::TreeState>(std::string_view);
template std::string encode<processors::TreeState>(const processors::TreeState&);
template Result<processors::ChunkRoot> decode<processors::ChunkRoot>(std::string_view);
template std::string encode<processors::ChunkRoot>(const processors::ChunkRoot&);
template Result<processors::WholeTree> decode<processors::WholeTree>(std::string_view);
template std::string encode<processors::WholeTree>(const processors::WholeTree&);

}  // namespace voketag::events
