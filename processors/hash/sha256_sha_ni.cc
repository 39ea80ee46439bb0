#if defined(__x86_64__)

#include <immintrin.h>

#include "processors/hash/sha256_kernels.h"

#define SHA_NI_TARGET __attribute__((target("sha,sse4.1")))
#define SHA_NI_INLINE SHA_NI_TARGET __attribute__((always_inline)) static inline

namespace voketag::processors::sha256_kernels {
namespace {

// The SHA instructions do two rounds at once but take four cycles to answer, and a core can begin
// one every other cycle. So `streams` messages go through together: while one waits, another works.
// Four gain a little over two although their words no longer fit the registers. The loops over
// streams must unroll, or their words live in memory at half the speed; GCC does that at -O2 when
// told to.
template <std::size_t streams>
struct Interleaved {
  // The instructions want the words as (a b e f) and (c d g h), a highest.
  struct State {
    __m128i abef[streams];
    __m128i cdgh[streams];
  };
  // Four words a register.
  struct Block {
    __m128i words[streams][4];
  };

  SHA_NI_INLINE __m128i load(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
  }

  SHA_NI_INLINE __m128i load_swapped(const void* from) { return swap_bytes(load(from)); }

  SHA_NI_INLINE __m128i swap_bytes(__m128i a) {
    return _mm_shuffle_epi8(a, _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
  }

  // Words 4 * group .. + 3 of the schedule from the sixteen before them.
  SHA_NI_INLINE void extend(__m128i* words, std::size_t group) {
    const __m128i w_4 = words[(group + 3) & 3], w_8 = words[(group + 2) & 3];
    __m128i& w_16 = words[group & 3];
    w_16 = _mm_sha256msg1_epu32(w_16, words[(group + 1) & 3]);
    w_16 = _mm_sha256msg2_epu32(_mm_add_epi32(w_16, _mm_alignr_epi8(w_4, w_8, 4)), w_4);
  }

  SHA_NI_INLINE void four_rounds(State& state, const Block& block, std::size_t group) {
    const __m128i constants = load(&kRoundConstants[4 * group]);
    __m128i keyed[streams];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i)
      keyed[i] = _mm_add_epi32(block.words[i][group & 3], constants);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i)
      state.cdgh[i] = _mm_sha256rnds2_epu32(state.cdgh[i], state.abef[i], keyed[i]);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i) {
      const __m128i upper = _mm_shuffle_epi32(keyed[i], 0x0e);
      state.abef[i] = _mm_sha256rnds2_epu32(state.abef[i], state.cdgh[i], upper);
    }
  }

  SHA_NI_INLINE void compress(State& chained, Block& block) {
    State state = chained;
#pragma GCC unroll 16
    for (std::size_t group = 0; group < 16; ++group) {
      if (group >= 4)
#pragma GCC unroll 4
        for (std::size_t i = 0; i < streams; ++i) extend(block.words[i], group);
      four_rounds(state, block, group);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i) {
      chained.abef[i] = _mm_add_epi32(chained.abef[i], state.abef[i]);
      chained.cdgh[i] = _mm_add_epi32(chained.cdgh[i], state.cdgh[i]);
    }
  }

  SHA_NI_INLINE State broadcast(const Sha256State& from) {
    const __m128i abcd = load(&from.words[0]), efgh = load(&from.words[4]);
    const __m128i badc = _mm_shuffle_epi32(abcd, 0xb1), hgfe = _mm_shuffle_epi32(efgh, 0x1b);
    State state;
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i) {
      state.abef[i] = _mm_alignr_epi8(badc, hgfe, 8);
      state.cdgh[i] = _mm_blend_epi16(hgfe, badc, 0xf0);
    }
    return state;
  }

  // The words of one stream in their own order: a b c d, e f g h.
  SHA_NI_INLINE void in_order(const State& state, std::size_t i, __m128i* abcd, __m128i* efgh) {
    const __m128i feba = _mm_shuffle_epi32(state.abef[i], 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(state.cdgh[i], 0xb1);
    *abcd = _mm_blend_epi16(feba, dchg, 0xf0);
    *efgh = _mm_alignr_epi8(dchg, feba, 8);
  }

  SHA_NI_INLINE void store(const State& state, Hash* hashes) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i) {
      __m128i abcd, efgh;
      in_order(state, i, &abcd, &efgh);
      void* to = hashes[i].data();
      _mm_storeu_si128(static_cast<__m128i*>(to), swap_bytes(abcd));
      _mm_storeu_si128(static_cast<__m128i*>(to) + 1, swap_bytes(efgh));
    }
  }

  SHA_NI_INLINE void load_blocks(Block& block, const Sha256Block* blocks) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i)
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j)
        block.words[i][j] = load_swapped(blocks[i].bytes.data() + 16 * j);
  }

  SHA_NI_TARGET static void hash(const Sha256State& start, const Sha256Block* blocks,
                                 Hash* hashes) {
    State state = broadcast(start);
    Block block;
    load_blocks(block, blocks);
    compress(state, block);
    store(state, hashes);
  }

  SHA_NI_TARGET static void mac(const Sha256State& inner, const Sha256State& outer,
                                const Sha256Block* blocks, Hash* macs) {
    State state = broadcast(inner);
    Block block;
    load_blocks(block, blocks);
    compress(state, block);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i) {
      in_order(state, i, &block.words[i][0], &block.words[i][1]);
      block.words[i][2] = _mm_setr_epi32(static_cast<int>(0x80000000), 0, 0, 0);
      block.words[i][3] = _mm_setr_epi32(0, 0, 0, kOuterMacBits);
    }
    state = broadcast(outer);
    compress(state, block);
    store(state, macs);
  }

  // The prefix 0x01 moves the children by one byte against the block.
  SHA_NI_TARGET static void node(const Hash* children, Hash* parents) {
    State state = broadcast(kSha256Start);
    Block block;
    const std::uint8_t* pair = children->data();
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i, pair += 2 * kHashBytes) {
      const __m128i first = _mm_slli_si128(load(pair), 1);
      block.words[i][0] = swap_bytes(_mm_insert_epi8(first, 0x01, 0));
#pragma GCC unroll 4
      for (std::size_t j = 1; j < 4; ++j) block.words[i][j] = load_swapped(pair + 16 * j - 1);
    }
    compress(state, block);
    pair = children->data();
#pragma GCC unroll 4
    for (std::size_t i = 0; i < streams; ++i, pair += 2 * kHashBytes) {
      block.words[i][0] = _mm_cvtsi32_si128(pair[63] << 24 | 0x00800000);
      block.words[i][1] = block.words[i][2] = _mm_setzero_si128();
      block.words[i][3] = _mm_setr_epi32(0, 0, 0, kNodeBits);
    }
    compress(state, block);
    store(state, parents);
  }
};

}  // namespace

void hash_blocks_sha_ni(const Sha256State& start, const Sha256Block* blocks, std::size_t count,
                        Hash* hashes) {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) Interleaved<4>::hash(start, blocks + i, hashes + i);
  for (; i + 2 <= count; i += 2) Interleaved<2>::hash(start, blocks + i, hashes + i);
  for (; i < count; ++i) Interleaved<1>::hash(start, blocks + i, hashes + i);
}

void mac_blocks_sha_ni(const Sha256State& inner, const Sha256State& outer,
                       const Sha256Block* blocks, std::size_t count, Hash* macs) {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) Interleaved<4>::mac(inner, outer, blocks + i, macs + i);
  for (; i + 2 <= count; i += 2) Interleaved<2>::mac(inner, outer, blocks + i, macs + i);
  for (; i < count; ++i) Interleaved<1>::mac(inner, outer, blocks + i, macs + i);
}

void hash_nodes_sha_ni(const Hash* children, std::size_t count, Hash* parents) {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) Interleaved<4>::node(children + 2 * i, parents + i);
  for (; i + 2 <= count; i += 2) Interleaved<2>::node(children + 2 * i, parents + i);
  for (; i < count; ++i) Interleaved<1>::node(children + 2 * i, parents + i);
}

SHA_NI_TARGET void compress_sha_ni(Sha256State& state, const Sha256Block* blocks,
                                   std::size_t count) {
  using One = Interleaved<1>;
  One::State chained = One::broadcast(state);
  for (std::size_t i = 0; i < count; ++i) {
    One::Block block;
    One::load_blocks(block, blocks + i);
    One::compress(chained, block);
  }
  __m128i abcd, efgh;
  One::in_order(chained, 0, &abcd, &efgh);
  void* words = state.words.data();
  _mm_storeu_si128(static_cast<__m128i*>(words), abcd);
  _mm_storeu_si128(static_cast<__m128i*>(words) + 1, efgh);
}

}  // namespace voketag::processors::sha256_kernels

#endif
