#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "processors/merkle/inclusion_proof.h"
#include "processors/merkle/tree.h"
#include "processors/tokens/base64url.h"
#include "processors/tokens/product_id.h"
#include "processors/tokens/token.h"

// Nanoseconds per product of each step of the token path and of the whole, kernels side by side,
// and OpenSSL doing the same beside them. Every row reports the time `per_product`; a row named
// with a kernel that this CPU lacks says so and is skipped.

namespace voketag::processors {
namespace {

// As many as one record of tokens-generated may hold: the unit in which the processor works.
constexpr std::size_t kChunk = 1024;
constexpr std::size_t kInCache = 128;

TokenKey bench_key() {
  std::array<std::uint8_t, 32> secret;
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::uint8_t>(i);
  return TokenKey(1, secret);
}

BatchPlan bench_plan(const TokenKey& key) {
  const BatchIdentity batch{*events::Uuid::parse("6f1d2c3b-4a59-4687-8c9d-0e1f2a3b4c5d"),
                            1'767'225'600'000, 1'000'000};
  return *BatchPlan::derive(key, batch);
}

void count_products(benchmark::State& state, std::size_t per_iteration) {
  const auto products =
      static_cast<double>(state.iterations()) * static_cast<double>(per_iteration);
  state.counters["per_product"] =
      benchmark::Counter(products, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

const Sha256Lanes* lanes_or_skip(benchmark::State& state, Sha256Kernel kernel) {
  const Sha256Lanes* lanes = Sha256Lanes::find(kernel);
  if (lanes == nullptr) state.SkipWithError("this CPU has no such kernel");
  return lanes;
}

std::vector<Hash> some_hashes(std::size_t count) {
  std::vector<Hash> hashes(count);
  for (std::size_t i = 0; i < count; ++i) hashes[i] = sha256(std::to_string(i));
  return hashes;
}

void positions(benchmark::State& state) {
  const TokenKey key = bench_key();
  const BatchPlan plan = bench_plan(key);
  std::array<std::uint64_t, kChunk> positions;
  for (auto _ : state) {
    PositionStream(plan, 5000).next(positions);
    benchmark::DoNotOptimize(positions);
  }
  count_products(state, kChunk);
}

void hmac(benchmark::State& state, Sha256Kernel kernel) {
  const Sha256Lanes* lanes = lanes_or_skip(state, kernel);
  if (lanes == nullptr) return;
  const TokenKey key = bench_key();
  std::vector<Sha256Block> blocks(kInCache);
  for (Sha256Block& block : blocks) HmacSha256Key::pad_short_message(block, 34);
  std::vector<Hash> macs(kInCache);
  for (auto _ : state) {
    key.hmac().mac_many(blocks, macs.data(), *lanes);
    benchmark::ClobberMemory();
  }
  count_products(state, kInCache);
}

void leaves(benchmark::State& state, Sha256Kernel kernel) {
  const Sha256Lanes* lanes = lanes_or_skip(state, kernel);
  if (lanes == nullptr) return;
  std::vector<Sha256Block> blocks(kInCache);
  std::vector<Hash> hashes(kInCache);
  for (auto _ : state) {
    lanes->hash_blocks(kSha256Start, blocks, hashes.data());
    benchmark::ClobberMemory();
  }
  count_products(state, kInCache);
}

void root(benchmark::State& state, Sha256Kernel kernel) {
  const Sha256Lanes* lanes = lanes_or_skip(state, kernel);
  if (lanes == nullptr) return;
  const std::vector<Hash> hashes = some_hashes(kChunk);
  for (auto _ : state) benchmark::DoNotOptimize(merkle_root(hashes, *lanes));
  count_products(state, kChunk);
}

void whole_path(benchmark::State& state, Sha256Kernel kernel) {
  const Sha256Lanes* lanes = lanes_or_skip(state, kernel);
  if (lanes == nullptr) return;
  const TokenKey key = bench_key();
  const BatchPlan plan = bench_plan(key);
  std::vector<Hash> hashes(kChunk);
  std::string json(token_json_bytes(kChunk), '\0');
  for (auto _ : state) {
    make_tokens_json(key, plan, 5000, kChunk, json.data(), hashes.data(), *lanes);
    benchmark::DoNotOptimize(merkle_root_in_place(hashes, *lanes));
    benchmark::ClobberMemory();
  }
  count_products(state, kChunk);
}

void index_of(benchmark::State& state) {
  const TokenKey key = bench_key();
  const BatchPlan plan = bench_plan(key);
  const events::Uuid id = plan.product_id(77'777);
  for (auto _ : state) benchmark::DoNotOptimize(plan.index_of(id));
  count_products(state, 1);
}

void derive(benchmark::State& state) {
  const TokenKey key = bench_key();
  for (auto _ : state) benchmark::DoNotOptimize(bench_plan(key));
  count_products(state, 1);
}

void parse(benchmark::State& state) {
  const std::string text = format_token(make_token(bench_key(), {}));
  for (auto _ : state) benchmark::DoNotOptimize(parse_token(text));
  count_products(state, 1);
}

void verify(benchmark::State& state) {
  const TokenKeys keys = *TokenKeys::parse("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  const Token token = make_token(keys.signing(), {});
  for (auto _ : state) benchmark::DoNotOptimize(verify_token(token, keys));
  count_products(state, 1);
}

void inclusion(benchmark::State& state) {
  const std::vector<Hash> hashes = some_hashes(kChunk);
  const std::vector<Hash> path = inclusion_path(hashes, 77);
  const Hash expected = merkle_root(hashes);
  for (auto _ : state)
    benchmark::DoNotOptimize(verify_inclusion(hashes[77], 77, kChunk, path, expected));
  count_products(state, 1);
}

// The same path as OpenSSL's users write it: one HMAC(), one EVP digest per leaf and node, the
// token's text through the plain encoder.
class OpensslHasher {
 public:
  OpensslHasher() : digest_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {}
  ~OpensslHasher() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(digest_);
  }
  OpensslHasher(const OpensslHasher&) = delete;
  OpensslHasher& operator=(const OpensslHasher&) = delete;

  void hash(std::uint8_t prefix, const void* data, std::size_t size, Hash& to) {
    EVP_DigestInit_ex2(context_, digest_, nullptr);
    EVP_DigestUpdate(context_, &prefix, 1);
    EVP_DigestUpdate(context_, data, size);
    EVP_DigestFinal_ex(context_, to.data(), nullptr);
  }

 private:
  EVP_MD* digest_;
  EVP_MD_CTX* context_;
};

class OpensslMac {
 public:
  explicit OpensslMac(std::span<const std::uint8_t> secret)
      : mac_(EVP_MAC_fetch(nullptr, "HMAC", nullptr)), context_(EVP_MAC_CTX_new(mac_)) {
    std::string name = "SHA256";
    const std::array parameters{OSSL_PARAM_construct_utf8_string("digest", name.data(), 0),
                                OSSL_PARAM_construct_end()};
    EVP_MAC_init(context_, secret.data(), secret.size(), parameters.data());
  }
  ~OpensslMac() {
    EVP_MAC_CTX_free(context_);
    EVP_MAC_free(mac_);
  }
  OpensslMac(const OpensslMac&) = delete;
  OpensslMac& operator=(const OpensslMac&) = delete;

  // Begins again with the key it has: the pads are not hashed anew.
  void mac(std::span<const std::uint8_t> message, Hash& to) {
    std::size_t size = 0;
    EVP_MAC_init(context_, nullptr, 0, nullptr);
    EVP_MAC_update(context_, message.data(), message.size());
    EVP_MAC_final(context_, to.data(), &size, to.size());
  }

 private:
  EVP_MAC* mac_;
  EVP_MAC_CTX* context_;
};

void openssl_whole_path(benchmark::State& state) {
  const std::array<std::uint8_t, 32> secret{};
  OpensslMac mac(secret);
  OpensslHasher hasher;
  std::vector<Hash> level(kChunk);
  std::array<std::uint8_t, 34> message{};
  std::array<char, kTokenCharacters> text;
  Hash full;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kChunk; ++i) {
      message[33] = static_cast<std::uint8_t>(i);
      mac.mac(message, full);
      std::copy_n(full.begin(), kTokenMacBytes, message.begin() + 18);
      base64url_encode(message, text.data());
      hasher.hash(0x00, text.data(), text.size(), level[i]);
    }
    for (std::size_t size = kChunk; size > 1; size /= 2)
      for (std::size_t i = 0; i < size / 2; ++i)
        hasher.hash(0x01, level[2 * i].data(), 2 * kHashBytes, level[i]);
    benchmark::DoNotOptimize(level.front());
  }
  count_products(state, kChunk);
}

// OpenSSL's compression alone, without EVP around it: the floor of one stream.
void openssl_low_level_leaves(benchmark::State& state) {
  std::array<std::uint8_t, 47> message{};
  Hash hash;
  for (auto _ : state) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    SHA256_CTX context;
    SHA256_Init(&context);
    SHA256_Update(&context, message.data(), message.size());
    SHA256_Final(hash.data(), &context);
#pragma GCC diagnostic pop
    benchmark::DoNotOptimize(hash);
  }
  count_products(state, 1);
}

BENCHMARK(positions);
BENCHMARK_CAPTURE(hmac, sha_ni, Sha256Kernel::kShaNi);
BENCHMARK_CAPTURE(hmac, avx2, Sha256Kernel::kAvx2);
BENCHMARK_CAPTURE(hmac, portable, Sha256Kernel::kPortable);
BENCHMARK_CAPTURE(leaves, sha_ni, Sha256Kernel::kShaNi);
BENCHMARK_CAPTURE(leaves, avx2, Sha256Kernel::kAvx2);
BENCHMARK_CAPTURE(leaves, portable, Sha256Kernel::kPortable);
BENCHMARK(openssl_low_level_leaves);
BENCHMARK_CAPTURE(root, sha_ni, Sha256Kernel::kShaNi);
BENCHMARK_CAPTURE(root, avx2, Sha256Kernel::kAvx2);
BENCHMARK_CAPTURE(root, portable, Sha256Kernel::kPortable);
BENCHMARK_CAPTURE(whole_path, sha_ni, Sha256Kernel::kShaNi);
BENCHMARK_CAPTURE(whole_path, avx2, Sha256Kernel::kAvx2);
BENCHMARK_CAPTURE(whole_path, portable, Sha256Kernel::kPortable);
BENCHMARK(openssl_whole_path);
BENCHMARK(derive);
BENCHMARK(index_of);
BENCHMARK(parse);
BENCHMARK(verify);
BENCHMARK(inclusion);

}  // namespace
}  // namespace voketag::processors

BENCHMARK_MAIN();
