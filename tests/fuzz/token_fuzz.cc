#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "processors/tokens/token.h"

// Anyone may type anything where a token is asked for. Whatever is accepted must be the token's
// only spelling; whatever is refused must be refused with a reason.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace voketag;
  const void* bytes = data;
  const std::string_view text(static_cast<const char*>(bytes), size);
  const auto token = processors::parse_token(text);
  if (token) {
    if (processors::format_token(*token) != text) std::abort();
  } else {
    if (token.error().code != events::Errc::kInvalid || token.error().message.empty()) std::abort();
  }
  return 0;
}
