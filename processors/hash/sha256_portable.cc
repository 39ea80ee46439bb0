#define SHA256_TARGET
#include "processors/hash/sha256_wide.h"

namespace voketag::processors::sha256_kernels {
namespace {

// One message, in plain words.
struct OneLane {
  using Word = std::uint32_t;
  static constexpr std::size_t kLanes = 1;

  SHA256_INLINE Word constant(std::uint32_t x) { return x; }
  SHA256_INLINE Word add(Word a, Word b) { return a + b; }
  SHA256_INLINE Word either(Word a, Word b) { return a | b; }
  SHA256_INLINE Word xor3(Word a, Word b, Word c) { return a ^ b ^ c; }
  SHA256_INLINE Word choose(Word e, Word f, Word g) { return g ^ (e & (f ^ g)); }
  SHA256_INLINE Word majority(Word a, Word b, Word c) { return (a & b) | (c & (a | b)); }
  template <int n>
  SHA256_INLINE Word rotate_right(Word a) {
    return (a >> n) | (a << (32 - n));
  }
  template <int n>
  SHA256_INLINE Word shift_right(Word a) {
    return a >> n;
  }
  template <int n>
  SHA256_INLINE Word shift_left(Word a) {
    return a << n;
  }

  static void load_words(const std::uint8_t* from, Word* words) {
    for (std::size_t i = 0; i < 16; ++i, from += 4) {
      words[i] = std::uint32_t{from[0]} << 24 | std::uint32_t{from[1]} << 16 |
                 std::uint32_t{from[2]} << 8 | std::uint32_t{from[3]};
    }
  }

  static void store_words(const Word* words, std::uint8_t* to) {
    for (std::size_t i = 0; i < 8; ++i, to += 4) {
      to[0] = static_cast<std::uint8_t>(words[i] >> 24);
      to[1] = static_cast<std::uint8_t>(words[i] >> 16);
      to[2] = static_cast<std::uint8_t>(words[i] >> 8);
      to[3] = static_cast<std::uint8_t>(words[i]);
    }
  }
};

}  // namespace

SHA256_DEFINE_KERNEL(portable, OneLane)

void compress_portable(Sha256State& state, const Sha256Block* blocks, std::size_t count) {
  Wide<OneLane>::compress_chain(state, blocks, count);
}

}  // namespace voketag::processors::sha256_kernels
