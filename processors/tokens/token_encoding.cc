#include "processors/tokens/token_encoding.h"

#include <cstring>
#include <span>

#include "processors/tokens/base64url.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace voketag::processors {
namespace {

constexpr std::size_t kTokenBytes = 34;

void encode_plain(const RawToken& raw, char* text, std::uint8_t* leaf) {
  base64url_encode(std::span(raw.bytes).first<kTokenBytes>(), text);
  std::memcpy(leaf, text, base64url_characters(kTokenBytes));
}

#if defined(__x86_64__)
#define SSSE3_TARGET __attribute__((target("ssse3")))

// Twelve bytes to sixteen characters, all at once.
SSSE3_TARGET inline __m128i encode_twelve(const std::uint8_t* from) {
  const void* any = from;
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(any));
  // Each three bytes a b c become the four b a c b: two 16-bit words, each with two sixes of bits.
  const __m128i spread =
      _mm_shuffle_epi8(bytes, _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
  // A multiplication is a shift that may differ from word to word.
  const __m128i even = _mm_mulhi_epu16(_mm_and_si128(spread, _mm_set1_epi32(0x0fc0fc00)),
                                       _mm_set1_epi32(0x04000040));
  const __m128i odd = _mm_mullo_epi16(_mm_and_si128(spread, _mm_set1_epi32(0x003f03f0)),
                                      _mm_set1_epi32(0x01000010));
  const __m128i sixes = _mm_or_si128(even, odd);
  // The distance from a six to its character: 0 for a..z, 1..10 for the digits, 11 for -, 12 for _,
  // and 13 for A..Z choose it from a table.
  const __m128i upper = _mm_cmpgt_epi8(_mm_set1_epi8(26), sixes);
  const __m128i kind = _mm_or_si128(_mm_subs_epu8(sixes, _mm_set1_epi8(51)),
                                    _mm_and_si128(upper, _mm_set1_epi8(13)));
  constexpr char kDigit = '0' - 52;
  const __m128i distances =
      _mm_setr_epi8('a' - 26, kDigit, kDigit, kDigit, kDigit, kDigit, kDigit, kDigit, kDigit,
                    kDigit, kDigit, '-' - 62, '_' - 63, 'A', 0, 0);
  return _mm_add_epi8(sixes, _mm_shuffle_epi8(distances, kind));
}

// The last fourteen characters go out as two overlapping eights.
SSSE3_TARGET inline void store_token(__m128i first, __m128i second, __m128i last, void* to) {
  std::uint8_t* bytes = static_cast<std::uint8_t*>(to);
  _mm_storeu_si128(static_cast<__m128i*>(to), first);
  _mm_storeu_si128(static_cast<__m128i*>(to) + 1, second);
  _mm_storeu_si64(bytes + 32, last);
  _mm_storeu_si64(bytes + 38, _mm_srli_si128(last, 6));
}

// 34 bytes are twice twelve and ten.
SSSE3_TARGET void encode_with_shuffles(const RawToken& raw, char* text, std::uint8_t* leaf) {
  const __m128i first = encode_twelve(&raw.bytes[0]);
  const __m128i second = encode_twelve(&raw.bytes[12]);
  const __m128i last = encode_twelve(&raw.bytes[24]);
  store_token(first, second, last, text);
  store_token(first, second, last, leaf);
}
#endif

}  // namespace

TokenEncoder token_encoder(bool want_shuffles) {
#if defined(__x86_64__)
  if (want_shuffles && __builtin_cpu_supports("ssse3")) return encode_with_shuffles;
#endif
  return encode_plain;
}

}  // namespace voketag::processors
