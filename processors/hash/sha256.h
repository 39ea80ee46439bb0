#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

// SHA-256 (FIPS 180-4) for many short messages at once.
//
// The token path hashes nothing but short messages, by the million, and each independent of the
// others: two blocks for a MAC, one for a leaf, two for a node. One message after the other leaves
// most of a core idle, because every round waits for the round before. So the unit of work here is
// not the message but the batch, and a kernel runs as many messages side by side as the CPU has
// room for.
//
// Threads: everything here is immutable after start and may be used from any thread.

namespace voketag::processors {

inline constexpr std::size_t kHashBytes = 32;
inline constexpr std::size_t kSha256BlockBytes = 64;

using Hash = std::array<std::uint8_t, kHashBytes>;

// One block of a message, padding included where it is the last one.
struct alignas(kSha256BlockBytes) Sha256Block {
  std::array<std::uint8_t, kSha256BlockBytes> bytes;
};

// The eight chaining words between two blocks.
struct alignas(kHashBytes) Sha256State {
  std::array<std::uint32_t, 8> words;
};

// The chaining words before a first block (FIPS 180-4 §5.3.3).
inline constexpr Sha256State kSha256Start{{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};

// The hash of one message of any length.
Hash sha256(std::span<const std::uint8_t> message);
Hash sha256(std::string_view message);

// The hash of a message of which the first `bytes_before`, a multiple of the block, have led to
// `state`.
Hash sha256_finish(const Sha256State& state, std::uint64_t bytes_before,
                   std::span<const std::uint8_t> message);

// The chaining words after `block`, for what is prepared once and used often: the pads of an HMAC
// key.
Sha256State sha256_compress(const Sha256State& state, const Sha256Block& block);

// The ways to compress.
//
// Sixteen messages in 512-bit registers were built and measured too: at 20 ns a block on a Zen 4
// they were no faster than the SHA instructions at 18, so they are not here.
enum class Sha256Kernel : std::uint8_t {
  kPortable,  // plain C++
  kAvx2,      // 8 messages at once in 256-bit registers
  kShaNi,     // the SHA instructions, up to 4 messages interleaved
};

// In rising order of speed.
inline constexpr std::array kAllSha256Kernels{Sha256Kernel::kPortable, Sha256Kernel::kAvx2,
                                              Sha256Kernel::kShaNi};

// "portable", "avx2", "sha-ni".
const char* to_string(Sha256Kernel kernel);

// The hash function over batches, bound to one kernel. Use `best()`; tests and benchmarks name a
// kernel to hold them against each other. All kernels give the same bytes.
class Sha256Lanes {
 public:
  // The fastest kernel that this CPU has, chosen once.
  static const Sha256Lanes& best();

  // The named kernel, or null when this CPU cannot run it. Never null for kPortable.
  static const Sha256Lanes* find(Sha256Kernel kernel);

  Sha256Kernel kernel() const { return kernel_; }

  // hashes[i] = the digest after blocks[i], begun from `start`: a message of one block (start is
  // kSha256Start), or the last block of messages that share what came before.
  void hash_blocks(const Sha256State& start, std::span<const Sha256Block> blocks,
                   Hash* hashes) const;

  // macs[i] = HMAC of a message whose only inner block, padding included, is blocks[i]; `inner` and
  // `outer` are the states after the key's pads.
  void mac_blocks(const Sha256State& inner, const Sha256State& outer,
                  std::span<const Sha256Block> blocks, Hash* macs) const;

  // parents[i] = H(0x01 || children[2i] || children[2i + 1]) for i < parent_count: one level of an
  // RFC 6962 tree. `parents` may be the same memory as `children`, so that a level shrinks in
  // place.
  void hash_nodes(const Hash* children, std::size_t parent_count, Hash* parents) const;

 private:
  // The three jobs for a multiple of `group` messages.
  struct Functions {
    std::size_t group;
    void (*hash_blocks)(const Sha256State&, const Sha256Block*, std::size_t, Hash*);
    void (*mac_blocks)(const Sha256State&, const Sha256State&, const Sha256Block*, std::size_t,
                       Hash*);
    void (*hash_nodes)(const Hash*, std::size_t, Hash*);
  };

  constexpr Sha256Lanes(Sha256Kernel kernel, Functions functions)
      : kernel_(kernel), functions_(functions) {}

  Sha256Kernel kernel_;
  Functions functions_;
};

}  // namespace voketag::processors
