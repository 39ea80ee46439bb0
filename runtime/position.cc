#include "runtime/position.h"

#include "events/codec_impl.h"

namespace voketag::events {

using runtime::Claim;
using runtime::CommitRecord;
using runtime::StorePosition;

template Result<Claim> decode<Claim>(std::string_view);
template std::string encode<Claim>(const Claim&);
template Result<CommitRecord> decode<CommitRecord>(std::string_view);
template std::string encode<CommitRecord>(const CommitRecord&);
template Result<StorePosition> decode<StorePosition>(std::string_view);
template std::string encode<StorePosition>(const StorePosition&);

}  // namespace voketag::events
