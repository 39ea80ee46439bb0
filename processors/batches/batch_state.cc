#include "processors/batches/batch_state.h"

#include "events/codec_impl.h"
#include "processors/batches/chunk_window.h"

namespace voketag::events {

template Result<processors::BatchState> decode<processors::BatchState>(std::string_view);
template std::string encode<processors::BatchState>(const processors::BatchState&);
template Result<processors::EndedBatch> decode<processors::EndedBatch>(std::string_view);
template std::string encode<processors::EndedBatch>(const processors::EndedBatch&);
template Result<processors::ChunkWindow> decode<processors::ChunkWindow>(std::string_view);
template std::string encode<processors::ChunkWindow>(const processors::ChunkWindow&);

}  // namespace voketag::events
