#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "processors/hash/sha256_kernels.h"

// SHA-256 written once for any number of messages side by side. Private to processors/hash.
//
// `Lanes` says what a word is: one word of one message, or a register with the same word of
// several. It has
//    Word                                 the register
//    kLanes                               how many messages it holds
//    constant(x)                          x in every lane
//    add, rotate_right<n>, shift_right<n>, shift_left<n>, either (or)
//    xor3(a, b, c), choose(e, f, g), majority(a, b, c)
//    load_words(from, words)              16 big-endian words of kLanes blocks that lie one after
//                                         the other, turned so that words[t] holds word t of each
//    store_words(words, to)               the reverse for hashes: 8 words each
//
// The loops must unroll: only then do the arrays become registers, a factor of two in speed. GCC
// does that at -O2 when told to.
//
// A file that includes this defines SHA256_TARGET first: the attribute that lets its functions use
// the instructions of `Lanes`, since the project is compiled for the plain architecture.

#ifndef SHA256_TARGET
#error "define SHA256_TARGET before including sha256_wide.h"
#endif

#define SHA256_INLINE SHA256_TARGET __attribute__((always_inline)) static inline

namespace voketag::processors::sha256_kernels {
namespace {

template <class Lanes>
struct Wide {
  using Word = typename Lanes::Word;
  static constexpr std::size_t kLanes = Lanes::kLanes;

  struct State {
    Word words[8];
  };
  struct Block {
    Word words[16];
  };

  SHA256_INLINE Word schedule(Word w_16, Word w_15, Word w_7, Word w_2) {
    const Word sigma0 =
        Lanes::xor3(Lanes::template rotate_right<7>(w_15), Lanes::template rotate_right<18>(w_15),
                    Lanes::template shift_right<3>(w_15));
    const Word sigma1 =
        Lanes::xor3(Lanes::template rotate_right<17>(w_2), Lanes::template rotate_right<19>(w_2),
                    Lanes::template shift_right<10>(w_2));
    return Lanes::add(Lanes::add(w_16, sigma0), Lanes::add(w_7, sigma1));
  }

  // Instead of moving eight words every round, round t calls them by other names: a is words[-t &
  // 7].
  template <std::size_t t>
  SHA256_INLINE void round(State& state, Block& block, const std::uint32_t* constants) {
    Word& w = block.words[t];
    const Word a = state.words[(0 - t) & 7], b = state.words[(1 - t) & 7];
    const Word c = state.words[(2 - t) & 7], e = state.words[(4 - t) & 7];
    const Word f = state.words[(5 - t) & 7], g = state.words[(6 - t) & 7];
    Word& d = state.words[(3 - t) & 7];
    Word& h = state.words[(7 - t) & 7];
    const Word sum1 =
        Lanes::xor3(Lanes::template rotate_right<6>(e), Lanes::template rotate_right<11>(e),
                    Lanes::template rotate_right<25>(e));
    const Word sum0 =
        Lanes::xor3(Lanes::template rotate_right<2>(a), Lanes::template rotate_right<13>(a),
                    Lanes::template rotate_right<22>(a));
    const Word keyed = Lanes::add(h, Lanes::add(w, Lanes::constant(constants[t])));
    const Word t1 = Lanes::add(keyed, Lanes::add(sum1, Lanes::choose(e, f, g)));
    d = Lanes::add(d, t1);
    h = Lanes::add(t1, Lanes::add(sum0, Lanes::majority(a, b, c)));
  }

  template <std::size_t t>
  SHA256_INLINE void extend(Block& block) {
    Word* w = block.words;
    w[t] = schedule(w[t], w[(t + 1) & 15], w[(t + 9) & 15], w[(t + 14) & 15]);
  }

  template <std::size_t... t>
  SHA256_INLINE void first_rounds(State& state, Block& block, std::index_sequence<t...>) {
    (round<t>(state, block, kRoundConstants.data()), ...);
  }

  template <std::size_t... t>
  SHA256_INLINE void later_rounds(State& state, Block& block, const std::uint32_t* constants,
                                  std::index_sequence<t...>) {
    ((extend<t>(block), round<t>(state, block, constants)), ...);
  }

  SHA256_TARGET __attribute__((noinline)) static void compress(State& chained, Block& words) {
    constexpr auto kSixteen = std::make_index_sequence<16>{};
    State state = chained;
    Block block = words;
    first_rounds(state, block, kSixteen);
    for (std::size_t t = 16; t < 64; t += 16)
      later_rounds(state, block, &kRoundConstants[t], kSixteen);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; ++i)
      chained.words[i] = Lanes::add(chained.words[i], state.words[i]);
  }

  SHA256_INLINE State broadcast(const Sha256State& from) {
    State state;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; ++i) state.words[i] = Lanes::constant(from.words[i]);
    return state;
  }

  // The words of a last block that holds a hash: what HMAC's outer hash reads.
  SHA256_INLINE Block block_of_hash(const State& hash) {
    Block block;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 8; ++i) block.words[i] = hash.words[i];
    block.words[8] = Lanes::constant(0x80000000);
#pragma GCC unroll 16
    for (std::size_t i = 9; i < 15; ++i) block.words[i] = Lanes::constant(0);
    block.words[15] = Lanes::constant(kOuterMacBits);
    return block;
  }

  SHA256_TARGET static void hash_group(const Sha256State& start, const Sha256Block* blocks,
                                       Hash* hashes) {
    State state = broadcast(start);
    Block block;
    Lanes::load_words(blocks->bytes.data(), block.words);
    compress(state, block);
    Lanes::store_words(state.words, hashes->data());
  }

  SHA256_TARGET static void mac_group(const Sha256State& inner, const Sha256State& outer,
                                      const Sha256Block* blocks, Hash* macs) {
    State state = broadcast(inner);
    Block block;
    Lanes::load_words(blocks->bytes.data(), block.words);
    compress(state, block);
    block = block_of_hash(state);
    state = broadcast(outer);
    compress(state, block);
    Lanes::store_words(state.words, macs->data());
  }

  // The prefix 0x01 moves the children by one byte: each word is the last byte of one word of
  // theirs and the first three of the next.
  SHA256_TARGET static void node_group(const Hash* children, Hash* parents) {
    Block pair, block;
    Lanes::load_words(children->data(), pair.words);
    block.words[0] =
        Lanes::either(Lanes::constant(0x01000000), Lanes::template shift_right<8>(pair.words[0]));
#pragma GCC unroll 16
    for (std::size_t i = 1; i < 16; ++i) {
      block.words[i] = Lanes::either(Lanes::template shift_left<24>(pair.words[i - 1]),
                                     Lanes::template shift_right<8>(pair.words[i]));
    }
    State state = broadcast(kSha256Start);
    compress(state, block);
    block.words[0] =
        Lanes::either(Lanes::template shift_left<24>(pair.words[15]), Lanes::constant(0x00800000));
#pragma GCC unroll 16
    for (std::size_t i = 1; i < 15; ++i) block.words[i] = Lanes::constant(0);
    block.words[15] = Lanes::constant(kNodeBits);
    compress(state, block);
    Lanes::store_words(state.words, parents->data());
  }

  // Blocks of one message, one after another; only for one lane.
  SHA256_TARGET static void compress_chain(Sha256State& chained, const Sha256Block* blocks,
                                           std::size_t count) {
    static_assert(kLanes == 1);
    State state = broadcast(chained);
    for (std::size_t i = 0; i < count; ++i) {
      Block block;
      Lanes::load_words(blocks[i].bytes.data(), block.words);
      compress(state, block);
    }
    for (std::size_t i = 0; i < 8; ++i) chained.words[i] = state.words[i];
  }
};

}  // namespace
}  // namespace voketag::processors::sha256_kernels

// Defines the three functions of a kernel; `count` is a multiple of the lanes.
#define SHA256_DEFINE_KERNEL(name, Lanes)                                                          \
  SHA256_TARGET void hash_blocks_##name(const Sha256State& start, const Sha256Block* blocks,       \
                                        std::size_t count, Hash* hashes) {                         \
    for (std::size_t i = 0; i < count; i += Lanes::kLanes)                                         \
      Wide<Lanes>::hash_group(start, blocks + i, hashes + i);                                      \
  }                                                                                                \
  SHA256_TARGET void mac_blocks_##name(const Sha256State& inner, const Sha256State& outer,         \
                                       const Sha256Block* blocks, std::size_t count, Hash* macs) { \
    for (std::size_t i = 0; i < count; i += Lanes::kLanes)                                         \
      Wide<Lanes>::mac_group(inner, outer, blocks + i, macs + i);                                  \
  }                                                                                                \
  SHA256_TARGET void hash_nodes_##name(const Hash* children, std::size_t count, Hash* parents) {   \
    for (std::size_t i = 0; i < count; i += Lanes::kLanes)                                         \
      Wide<Lanes>::node_group(children + 2 * i, parents + i);                                      \
  }
