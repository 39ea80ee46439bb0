#include "processors/hash/sha256.h"

#include <algorithm>
#include <cstring>

#include "processors/hash/sha256_kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace voketag::processors {
namespace {

#if defined(__x86_64__)
// Not __builtin_cpu_supports("sha"): clang 14 does not know that name.
bool cpu_has_sha() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kShaBit = 1U << 29;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & kShaBit) != 0 &&
         __builtin_cpu_supports("sse4.1");
}
#endif

using Compress = void (*)(Sha256State&, const Sha256Block*, std::size_t);

// One message cannot be spread over lanes, so here it is the SHA instructions or plain C++.
Compress choose_compress() {
#if defined(__x86_64__)
  if (cpu_has_sha()) return sha256_kernels::compress_sha_ni;
#endif
  return sha256_kernels::compress_portable;
}

void compress(Sha256State& state, const Sha256Block* blocks, std::size_t count) {
  static const Compress best = choose_compress();
  best(state, blocks, count);
}

void put_big_endian(std::uint64_t value, std::uint8_t* to) {
  for (int shift = 56; shift >= 0; shift -= 8) *to++ = static_cast<std::uint8_t>(value >> shift);
}

}  // namespace

const char* to_string(Sha256Kernel kernel) {
  switch (kernel) {
    case Sha256Kernel::kPortable:
      return "portable";
    case Sha256Kernel::kAvx2:
      return "avx2";
    case Sha256Kernel::kShaNi:
      return "sha-ni";
  }
  return "unknown";
}

Sha256State sha256_compress(const Sha256State& state, const Sha256Block& block) {
  Sha256State next = state;
  compress(next, &block, 1);
  return next;
}

Hash sha256_finish(const Sha256State& state, std::uint64_t bytes_before,
                   std::span<const std::uint8_t> message) {
  Sha256State chained = state;
  const std::uint64_t bits = (bytes_before + message.size()) * 8;
  while (message.size() >= kSha256BlockBytes) {
    Sha256Block block;
    std::memcpy(block.bytes.data(), message.data(), kSha256BlockBytes);
    compress(chained, &block, 1);
    message = message.subspan(kSha256BlockBytes);
  }
  // The length takes eight bytes and the 0x80 before it one: what is left may need a second block.
  std::array<Sha256Block, 2> last{};
  std::uint8_t* bytes = last[0].bytes.data();
  if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
  bytes[message.size()] = 0x80;
  const std::size_t blocks = message.size() + 9 > kSha256BlockBytes ? 2 : 1;
  put_big_endian(bits, bytes + blocks * kSha256BlockBytes - 8);
  compress(chained, last.data(), blocks);

  Hash hash;
  for (std::size_t i = 0; i < kHashBytes; ++i)
    hash[i] = static_cast<std::uint8_t>(chained.words[i / 4] >> (24 - 8 * (i % 4)));
  return hash;
}

Hash sha256(std::span<const std::uint8_t> message) {
  return sha256_finish(kSha256Start, 0, message);
}

Hash sha256(std::string_view message) {
  const void* bytes = message.data();
  return sha256(std::span(static_cast<const std::uint8_t*>(bytes), message.size()));
}

const Sha256Lanes* Sha256Lanes::find(Sha256Kernel kernel) {
  using namespace sha256_kernels;
  static constexpr Sha256Lanes kPortableLanes(
      Sha256Kernel::kPortable, {1, hash_blocks_portable, mac_blocks_portable, hash_nodes_portable});
  if (kernel == Sha256Kernel::kPortable) return &kPortableLanes;
#if defined(__x86_64__)
  static constexpr Sha256Lanes kAvx2Lanes(Sha256Kernel::kAvx2,
                                          {8, hash_blocks_avx2, mac_blocks_avx2, hash_nodes_avx2});
  static constexpr Sha256Lanes kShaNiLanes(
      Sha256Kernel::kShaNi, {1, hash_blocks_sha_ni, mac_blocks_sha_ni, hash_nodes_sha_ni});
  if (kernel == Sha256Kernel::kAvx2 && __builtin_cpu_supports("avx2")) return &kAvx2Lanes;
  if (kernel == Sha256Kernel::kShaNi && cpu_has_sha()) return &kShaNiLanes;
#endif
  return nullptr;
}

const Sha256Lanes& Sha256Lanes::best() {
  static const Sha256Lanes* const best = [] {
    const Sha256Lanes* found = nullptr;
    for (const Sha256Kernel kernel : kAllSha256Kernels)
      if (const Sha256Lanes* lanes = find(kernel)) found = lanes;
    return found;
  }();
  return *best;
}

// A kernel takes whole groups of messages; what is left over, fewer than a group, goes the plain
// way.

void Sha256Lanes::hash_blocks(const Sha256State& start, std::span<const Sha256Block> blocks,
                              Hash* hashes) const {
  const std::size_t whole = blocks.size() - blocks.size() % functions_.group;
  functions_.hash_blocks(start, blocks.data(), whole, hashes);
  sha256_kernels::hash_blocks_portable(start, blocks.data() + whole, blocks.size() - whole,
                                       hashes + whole);
}

void Sha256Lanes::mac_blocks(const Sha256State& inner, const Sha256State& outer,
                             std::span<const Sha256Block> blocks, Hash* macs) const {
  const std::size_t whole = blocks.size() - blocks.size() % functions_.group;
  functions_.mac_blocks(inner, outer, blocks.data(), whole, macs);
  sha256_kernels::mac_blocks_portable(inner, outer, blocks.data() + whole, blocks.size() - whole,
                                      macs + whole);
}

void Sha256Lanes::hash_nodes(const Hash* children, std::size_t parent_count, Hash* parents) const {
  const std::size_t whole = parent_count - parent_count % functions_.group;
  functions_.hash_nodes(children, whole, parents);
  sha256_kernels::hash_nodes_portable(children + 2 * whole, parent_count - whole, parents + whole);
}

}  // namespace voketag::processors
