#if defined(__x86_64__)

#include <immintrin.h>

#define SHA256_TARGET __attribute__((target("avx2")))
#include "processors/hash/sha256_wide.h"

namespace voketag::processors::sha256_kernels {
namespace {

// Eight messages, a word of each in one 256-bit register.
struct EightLanes {
  using Word = __m256i;
  static constexpr std::size_t kLanes = 8;

  SHA256_INLINE Word constant(std::uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  SHA256_INLINE Word add(Word a, Word b) { return _mm256_add_epi32(a, b); }
  SHA256_INLINE Word either(Word a, Word b) { return _mm256_or_si256(a, b); }
  SHA256_INLINE Word exclusive(Word a, Word b) { return _mm256_xor_si256(a, b); }
  SHA256_INLINE Word both(Word a, Word b) { return _mm256_and_si256(a, b); }
  SHA256_INLINE Word xor3(Word a, Word b, Word c) { return exclusive(exclusive(a, b), c); }
  SHA256_INLINE Word choose(Word e, Word f, Word g) {
    return exclusive(g, both(e, exclusive(f, g)));
  }
  SHA256_INLINE Word majority(Word a, Word b, Word c) {
    return either(both(a, b), both(c, either(a, b)));
  }
  template <int n>
  SHA256_INLINE Word shift_right(Word a) {
    return _mm256_srli_epi32(a, n);
  }
  template <int n>
  SHA256_INLINE Word shift_left(Word a) {
    return _mm256_slli_epi32(a, n);
  }
  template <int n>
  SHA256_INLINE Word rotate_right(Word a) {
    return either(shift_right<n>(a), shift_left<32 - n>(a));
  }

  SHA256_INLINE Word load(const std::uint8_t* from) {
    const Word order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
    const void* any = from;
    return _mm256_shuffle_epi8(_mm256_loadu_si256(static_cast<const __m256i*>(any)), order);
  }

  // Turns a square of 8 x 8 words: first within each half of a register, then the halves.
  SHA256_INLINE void transpose(Word* rows) {
    Word pairs[8], quads[8];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; i += 4) {
      quads[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
      quads[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
      quads[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
      quads[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2x128_si256(quads[i], quads[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2x128_si256(quads[i], quads[i + 4], 0x31);
    }
  }

  SHA256_TARGET static void load_words(const std::uint8_t* from, Word* words) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; ++i) {
      words[i] = load(from + i * kSha256BlockBytes);
      words[i + 8] = load(from + i * kSha256BlockBytes + 32);
    }
    transpose(words);
    transpose(words + 8);
  }

  SHA256_TARGET static void store_words(const Word* words, std::uint8_t* to) {
    Word rows[8];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; ++i) rows[i] = words[i];
    transpose(rows);
    const Word order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; ++i) {
      void* any = to + i * kHashBytes;
      _mm256_storeu_si256(static_cast<__m256i*>(any), _mm256_shuffle_epi8(rows[i], order));
    }
  }
};

}  // namespace

SHA256_DEFINE_KERNEL(avx2, EightLanes)

}  // namespace voketag::processors::sha256_kernels

#endif
