#include "processors/hash/sha256.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <rapidcheck.h>

#include "processors/hash/hmac_sha256.h"
#include "tests/unit/token/test_support.h"

namespace voketag::processors {
namespace {

Hash openssl_sha256(std::span<const std::uint8_t> message) {
  Hash hash;
  SHA256(message.data(), message.size(), hash.data());
  return hash;
}

// A message of at most 55 bytes with its padding.
Sha256Block padded(std::span<const std::uint8_t> message) {
  Sha256Block block{};
  std::copy(message.begin(), message.end(), block.bytes.begin());
  block.bytes[message.size()] = 0x80;
  block.bytes[62] = static_cast<std::uint8_t>(message.size() * 8 >> 8);
  block.bytes[63] = static_cast<std::uint8_t>(message.size() * 8);
  return block;
}

std::vector<std::uint8_t> counted_bytes(std::size_t count, std::size_t first) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(first + i * 7);
  return bytes;
}

// NIST CAVP, SHA256ShortMsg.rsp and SHA256LongMsg.rsp: around the lengths where padding needs
// another block.
TEST(Sha256, AgreesWithNistVectors) {
  const struct {
    const char* message;
    const char* digest;
  } cases[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"d3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
      {"11af", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"},
      {"b4190e", "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"},
      {"74ba2521", "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"},
      {"5738c929c4f4ccb6", "963bb88f27f512777aab6c8b1a02c70ec0ad651d428f870036e1917120fb48bf"},
      {"3ebfb06db8c38d5ba037f1363e118550aad94606e26835a01af05078533cc25f2f39573c04b632f62f68c294ab3"
       "1"
       "f2a3e2a1a0d8c2be51",
       "6595a2ef537a69ba8583dfbf7f5bec0ab1f93ce4c8ee1916eff44a93af5749c4"},
      {"2d52447d1244d2ebc28650e7b05654bad35b3a68eedc7f8515306b496d75f3e73385dd1b002625024b81a02f2fd"
       "6"
       "dffb6e6d561cb7d0bd7a",
       "cfb88d6faf2de3a69d36195acec2e255e2af2b7d933997f348e09f6ce5758360"},
      {"e2f76e97606a872e317439f1a03fcd92e632e5bd4e7cbc4e97f1afc19a16fde92d77cbe546416b51640cddb92af"
       "9"
       "96534dfd81edb17c4424cf1ac4d75aceeb",
       "18041bd4665083001fba8c5411d2d748e8abbfdcdfd9218cb02b68a78e7d4c23"},
      {"5a86b737eaea8ee976a0a24da63e7ed7eefad18a101c1211e2b3650c5187c2a8a650547208251f6d4237e661c7b"
       "f"
       "4c77f335390394c37fa1a9f9be836ac28509",
       "42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa"},
      {"451101250ec6f26652249d59dc974b7361d571a8101cdfd36aba3b5854d3ae086b5fdd4597721b66e3c0dc5d8c6"
       "0"
       "6d9657d0e323283a5217d1f53f2f284f57b85c8a61ac8924711f895c5ed90ef17745ed2d728abd22a5f7a13479a"
       "4"
       "62d71b56c19a74a40b655c58edfe0a188ad2cf46cbf30524f65d423c837dd1ff2bf462ac4198007345bb44dbb7b"
       "1"
       "c861298cdf61982a833afc728fae1eda2f87aa2c9480858bec",
       "3c593aa539fdcdae516cdf2f15000f6634185c88f505b39775fb9ab137a10aa2"},
  };
  for (const auto& known : cases)
    EXPECT_EQ(to_hex(sha256(from_hex(known.message))), known.digest) << known.message;
}

TEST(Sha256, AgreesWithOpensslAtEveryLength) {
  for (std::size_t length = 0; length < 400; ++length) {
    const auto message = counted_bytes(length, length);
    EXPECT_EQ(sha256(message), openssl_sha256(message)) << length << " bytes";
  }
}

TEST(Sha256, CompressesOneBlock) {
  const Sha256State state = sha256_compress(kSha256Start, padded(bytes_of("abc")));
  EXPECT_EQ(state.words[0], 0xba7816bfU);
  EXPECT_EQ(state.words[7], 0xf20015adU);
}

TEST(Sha256Lanes, FindsThePortableKernelEverywhere) {
  ASSERT_NE(Sha256Lanes::find(Sha256Kernel::kPortable), nullptr);
  EXPECT_NE(Sha256Lanes::find(Sha256Lanes::best().kernel()), nullptr);
}

class EachKernel : public testing::TestWithParam<const Sha256Lanes*> {
 protected:
  const Sha256Lanes* lanes_ = GetParam();
};

// Counts from none to several groups of every kernel, so that whole groups and what is left over
// are both met.
constexpr std::size_t kCounts = 37;

TEST_P(EachKernel, HashesBlocks) {
  for (std::size_t count = 0; count < kCounts; ++count) {
    std::vector<Sha256Block> blocks;
    std::vector<Hash> hashes(count + 1), expected(count + 1);
    for (std::size_t i = 0; i < count; ++i) {
      const auto message = counted_bytes((i * 11 + count) % 56, i);
      blocks.push_back(padded(message));
      expected[i] = openssl_sha256(message);
    }
    lanes_->hash_blocks(kSha256Start, blocks, hashes.data());
    EXPECT_EQ(hashes, expected) << count << " blocks";
  }
}

TEST_P(EachKernel, BeginsBlocksFromAnyState) {
  const auto first = counted_bytes(64, 3);
  Sha256Block block;
  std::copy(first.begin(), first.end(), block.bytes.begin());
  const Sha256State state = sha256_compress(kSha256Start, block);
  std::vector<Sha256Block> blocks(kCounts);
  std::vector<Hash> hashes(kCounts);
  for (std::size_t i = 0; i < kCounts; ++i) {
    blocks[i].bytes.fill(static_cast<std::uint8_t>(i));
    HmacSha256Key::pad_short_message(blocks[i], i);
  }
  lanes_->hash_blocks(state, blocks, hashes.data());
  for (std::size_t i = 0; i < kCounts; ++i) {
    auto message = first;
    message.insert(message.end(), i, static_cast<std::uint8_t>(i));
    EXPECT_EQ(hashes[i], openssl_sha256(message));
  }
}

TEST_P(EachKernel, MacsBlocks) {
  const HmacSha256Key key(bytes_of("a key"));
  for (std::size_t count = 0; count < kCounts; ++count) {
    std::vector<Sha256Block> blocks(count);
    std::vector<Hash> macs(count + 1), expected(count + 1);
    for (std::size_t i = 0; i < count; ++i) {
      const auto message = counted_bytes(i, count);
      std::copy(message.begin(), message.end(), blocks[i].bytes.begin());
      HmacSha256Key::pad_short_message(blocks[i], i);
      expected[i] = key.mac(message);
    }
    key.mac_many(blocks, macs.data(), *lanes_);
    EXPECT_EQ(macs, expected) << count << " blocks";
  }
}

TEST_P(EachKernel, HashesNodesAlsoInPlace) {
  for (std::size_t count = 0; count < kCounts; ++count) {
    std::vector<Hash> children, expected;
    for (std::size_t i = 0; i < 2 * count; ++i) children.push_back(sha256(counted_bytes(9, i)));
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<std::uint8_t> message{0x01};
      message.insert(message.end(), children[2 * i].begin(), children[2 * i].end());
      message.insert(message.end(), children[2 * i + 1].begin(), children[2 * i + 1].end());
      expected.push_back(openssl_sha256(message));
    }
    std::vector<Hash> parents(count);
    lanes_->hash_nodes(children.data(), count, parents.data());
    EXPECT_EQ(parents, expected) << count << " nodes";
    lanes_->hash_nodes(children.data(), count, children.data());
    children.resize(count);
    EXPECT_EQ(children, expected) << count << " nodes in place";
  }
}

TEST_P(EachKernel, TreatsEveryBitOfEveryLaneAlike) {
  const Sha256Lanes& lanes = *lanes_;
  EXPECT_TRUE(rc::check([&lanes] {
    const auto messages = *rc::gen::container<std::vector<std::vector<std::uint8_t>>>(
        16, rc::gen::resize(55, rc::gen::arbitrary<std::vector<std::uint8_t>>()));
    std::vector<Sha256Block> blocks;
    for (const auto& message : messages) {
      RC_PRE(message.size() <= 55U);
      blocks.push_back(padded(message));
    }
    std::vector<Hash> hashes(blocks.size());
    lanes.hash_blocks(kSha256Start, blocks, hashes.data());
    for (std::size_t i = 0; i < messages.size(); ++i)
      RC_ASSERT(hashes[i] == openssl_sha256(messages[i]));
  }));
}

INSTANTIATE_TEST_SUITE_P(, EachKernel, testing::ValuesIn(runnable_lanes()), kernel_test_name);

}  // namespace
}  // namespace voketag::processors
