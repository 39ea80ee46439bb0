#include "runtime/history.h"

#include "events/codec_impl.h"

namespace voketag::events {

using runtime::TransactionRecord;

template Result<TransactionRecord> decode<TransactionRecord>(std::string_view);
template std::string encode<TransactionRecord>(const TransactionRecord&);

}  // namespace voketag::events

namespace voketag::runtime {

std::string history_topic(std::string_view processor) {
  return std::string(processor) + "-commits";
}

}  // namespace voketag::runtime
