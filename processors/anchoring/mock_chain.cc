#include "processors/anchoring/mock_chain.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace voketag::processors {
namespace {

using events::Timestamp;

std::string big_endian(std::int64_t value) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

events::ChainBytes mock_transaction_id(std::int64_t nonce, std::span<const std::uint8_t> calldata) {
  auto text = "voketag-mock-transaction" + big_endian(nonce);
  text.append(calldata.begin(), calldata.end());
  return to_chain_bytes(sha256(text));
}

events::ChainBytes mock_block_hash(std::int64_t block_number) {
  return to_chain_bytes(sha256("voketag-mock-block" + big_endian(block_number)));
}

void announce_submitted(Context& context, const SealedAggregate& aggregate, std::int64_t nonce,
                        const events::ChainBytes& transaction_id) {
  events::AnchorSubmitted submitted;
  submitted.network = MockChain::kNetwork;
  submitted.chain_id = 0;
  submitted.nonce = nonce;
  submitted.transaction_id = transaction_id;
  submitted.raw_transaction = to_chain_bytes(aggregate.calldata().encode());
  submitted.aggregate_root = {aggregate.tree.root()};
  submitted.tree_size = static_cast<std::int64_t>(aggregate.tree.size());
  submitted.leaves = aggregate.leaves();
  submitted.submitted_at = context.now();
  context.emit(MockChain::kQueueKey, submitted);
}

}  // namespace

MockChain::MockChain(const MockChainConfig& config) : config_(config) {
  if (config.block_time_ms < 0 || config.roots_per_transaction_max < 1 ||
      config.transactions_per_block_max < 1 || config.mock_failures < 0 || config.retry_ms < 1) {
    throw std::invalid_argument(
        "the mock chain needs a block time of at least 0 ms, at least one root per transaction, "
        "one transaction per block, no negative count of failures, and a retry after 1 ms or more");
  }
}

void MockChain::on_queued(Context& context) {
  AnchorQueue queue(context.store(), kQueueKey);
  if (config_.block_time_ms == 0) {
    make_block(context, queue);
  } else {
    wait_for_block(context, queue);
  }
  queue.save();
}

void MockChain::on_timer(Context& context) {
  AnchorQueue queue(context.store(), kQueueKey);
  queue.lane().seal_at.reset();
  make_block(context, queue);
  queue.save();
}

Timestamp MockChain::next_boundary(Timestamp now) const {
  return {(now.ms / config_.block_time_ms + 1) * config_.block_time_ms};
}

void MockChain::wait_for_block(Context& context, AnchorQueue& queue) const {
  if (queue.empty() || queue.lane().seal_at) return;
  const auto boundary = next_boundary(context.now());
  queue.lane().seal_at = boundary;
  context.set_timer("chain:" + std::string(kQueueKey), boundary);
}

// Seals what waits: one block, of several transactions where there is much. It is numbered by the
// last boundary before now, so a chain whose owner was away skips the blocks that it missed.
void MockChain::make_block(Context& context, AnchorQueue& queue) const {
  const bool has_clock = config_.block_time_ms > 0;
  auto& block_number = queue.lane().block_number;
  block_number = has_clock ? context.now().ms / config_.block_time_ms : block_number + 1;
  const auto block_time =
      has_clock ? Timestamp{block_number * config_.block_time_ms} : context.now();

  for (std::int64_t i = 0; i < config_.transactions_per_block_max && !queue.empty(); ++i) {
    auto roots = queue.take(static_cast<std::size_t>(config_.roots_per_transaction_max));
    roots = refuse_early_attempts(context, queue, std::move(roots));
    if (!roots.empty()) mine(context, queue, std::move(roots), block_number, block_time);
  }
  if (has_clock) wait_for_block(context, queue);
}

std::vector<WaitingRoot> MockChain::refuse_early_attempts(Context& context, AnchorQueue& queue,
                                                          std::vector<WaitingRoot> roots) const {
  const auto refused = std::stable_partition(
      roots.begin(), roots.end(),
      [&](const WaitingRoot& waiting) { return waiting.root.attempt > config_.mock_failures; });
  for (auto waiting = refused; waiting != roots.end(); ++waiting) {
    const Timestamp retry_at{context.now().ms + config_.retry_ms};
    announce_failed(context, waiting->root, "mock_refused",
                    "the simulated chain is configured to refuse the first " +
                        std::to_string(config_.mock_failures) + " attempts of each batch",
                    retry_at);
    queue.failed(*waiting);
    if (waiting->root.origin == "external") {
      context.set_timer("retry:" + waiting->root.batch_id.to_string(), retry_at);
    }
  }
  roots.erase(refused, roots.end());
  return roots;
}

void MockChain::mine(Context& context, AnchorQueue& queue, std::vector<WaitingRoot> roots,
                     std::int64_t block_number, Timestamp block_time) const {
  const SealedAggregate aggregate(std::move(roots));
  const auto calldata = aggregate.calldata().encode();
  const auto nonce = queue.lane().nonce++;

  MinedTransaction mined;
  mined.network = kNetwork;
  mined.chain_id = 0;
  mined.transaction_id = mock_transaction_id(nonce, calldata);
  mined.block_number = block_number;
  mined.block_hash = mock_block_hash(block_number);
  mined.gas_used = calldata_gas(calldata);
  mined.gas_price_gwei = {"0"};
  mined.block_time = block_time;

  announce_submitted(context, aggregate, nonce, mined.transaction_id);
  announce_completed(context, aggregate, mined);
  for (const auto& root : aggregate.roots) queue.completed(root);
}

std::int64_t calldata_gas(std::span<const std::uint8_t> calldata) {
  const auto zeros = std::count(calldata.begin(), calldata.end(), 0);
  const auto others = static_cast<std::int64_t>(calldata.size()) - zeros;
  return 21'000 + 10 * zeros + 40 * others;
}

}  // namespace voketag::processors
