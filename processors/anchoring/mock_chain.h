#pragma once

#include <cstdint>
#include <string_view>

#include "processors/anchoring/anchor_queue.h"
#include "processors/anchoring/chain.h"

namespace voketag::processors {

struct MockChainConfig {
  // Time between blocks. 0: a block of its own for every root, in the handler that queued it.
  std::int64_t block_time_ms = 2'000;
  // Batches per transaction.
  std::int64_t roots_per_transaction_max = 256;
  // Transactions per block; what does not fit waits for the next. 64 of 256 keep the outputs of one
  // block, 1 KB per batch, under 20 MB.
  std::int64_t transactions_per_block_max = 64;
  // Refuses so many first attempts of every batch, to exercise what follows.
  std::int64_t mock_failures = 0;
  // When a refused attempt is to be made again.
  std::int64_t retry_ms = 15 * 60'000;
};

// A chain that is simulated, for development and tests: no network, no key, no fee. Everything it
// yields says `network: mock` and chain id 0, and follows from its inputs:
//
//    block number    block time / block_time_ms, or a count from 1 where block_time_ms is 0
//    transaction id  0x SHA-256("voketag-mock-transaction" | nonce, 8 bytes big-endian | calldata)
//    block hash      0x SHA-256("voketag-mock-block" | block number, 8 bytes big-endian)
//    gas used        21,000 and the calldata's floor price of EIP-7623 (10 a zero byte, 40 another)
//
// What waits at a block boundary is sealed, and is final at once.
class MockChain : public Chain {
 public:
  static constexpr std::string_view kQueueKey = "0:mock";
  static constexpr std::string_view kNetwork = "mock";

  explicit MockChain(const MockChainConfig& config);

  std::string_view queue_key() const override { return kQueueKey; }
  void on_queued(Context& context) override;
  void on_timer(Context& context) override;

 private:
  events::Timestamp next_boundary(events::Timestamp now) const;
  void wait_for_block(Context& context, AnchorQueue& queue) const;
  void make_block(Context& context, AnchorQueue& queue) const;
  std::vector<WaitingRoot> refuse_early_attempts(Context& context, AnchorQueue& queue,
                                                 std::vector<WaitingRoot> roots) const;
  void mine(Context& context, AnchorQueue& queue, std::vector<WaitingRoot> roots,
            std::int64_t block_number, events::Timestamp block_time) const;

  const MockChainConfig config_;
};

// Gas of a self-transaction with this calldata (EIP-7623).
std::int64_t calldata_gas(std::span<const std::uint8_t> calldata);

}  // namespace voketag::processors
