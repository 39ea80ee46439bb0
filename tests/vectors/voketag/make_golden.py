#!/usr/bin/env python3
"""Writes golden.json: product ids, tokens, leaves and roots, computed apart from our C++.

Follows docs/formats/token.md and docs/formats/merkle.md with nothing but hashlib, hmac and an AES
written out below, so that an error in one implementation is not repeated in the other.

    python3 tests/vectors/voketag/make_golden.py > tests/vectors/voketag/golden.json
"""

import base64
import hashlib
import hmac
import json
import uuid


def gf_double(x):
    x <<= 1
    return x ^ 0x11B if x & 0x100 else x


def gf_multiply(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = gf_double(a), b >> 1
    return product


def substitution_box():
    """FIPS 197 section 5.1.1: the inverse in GF(2^8), then an affine map."""
    box = []
    for x in range(256):
        inverse = next((y for y in range(256) if gf_multiply(x, y) == 1), 0)
        value = 0x63
        for turn in range(5):
            value ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xFF
        box.append(value)
    return box


SBOX = substitution_box()
assert SBOX[0x53] == 0xED  # FIPS 197's own example


def expand_key(key):
    words = [list(key[4 * i:4 * i + 4]) for i in range(4)]
    constant = 1
    for i in range(4, 44):
        word = list(words[-1])
        if i % 4 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= constant
            constant = gf_double(constant)
        words.append([a ^ b for a, b in zip(words[-4], word)])
    return [sum(words[4 * r:4 * r + 4], []) for r in range(11)]


def aes128(key, block):
    rounds = expand_key(key)
    state = [a ^ b for a, b in zip(block, rounds[0])]
    for number in range(1, 11):
        state = [SBOX[b] for b in state]
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
        if number < 10:
            mixed = []
            for c in range(4):
                a = state[4 * c:4 * c + 4]
                for i in range(4):
                    mixed.append(gf_multiply(a[i], 2) ^ gf_multiply(a[(i + 1) % 4], 3)
                                 ^ a[(i + 2) % 4] ^ a[(i + 3) % 4])
            state = mixed
        state = [a ^ b for a, b in zip(state, rounds[number])]
    return bytes(state)


# FIPS 197 appendix C.1.
assert aes128(bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == \
    "69c4e0d86a7b0430d8cdb78070b4c55a"


class Batch:
    def __init__(self, key_id, secret, batch_id, requested_at_ms, product_count):
        self.key_id, self.secret = key_id, secret
        self.batch_id, self.requested_at_ms = uuid.UUID(batch_id), requested_at_ms
        self.product_count = product_count
        seed = hmac.new(secret, b"voketag-product-id-v1" + self.batch_id.bytes,
                        hashlib.sha256).digest()
        self.jitter_key = seed[:16]
        self.tag = int.from_bytes(seed[16:20], "big")
        octave = 4096 << (seed[20] * 6 // 256)
        self.stride = octave + int.from_bytes(seed[21:24], "big") * octave // 2**24
        room = 2**42 - product_count * self.stride
        self.base = int.from_bytes(seed[24:32], "big") * (room + 1) // 2**64

    def product_id(self, index):
        stream = aes128(self.jitter_key, (index // 4).to_bytes(16, "big"))
        word = int.from_bytes(stream[4 * (index % 4):4 * (index % 4) + 4], "big")
        position = self.base + index * self.stride + word * self.stride // 2**32
        value = (self.requested_at_ms << 80 | 8 << 76 | (self.tag >> 20) << 64 | 2 << 62
                 | (self.tag & 0xFFFFF) << 42 | position)
        return uuid.UUID(int=value)

    def token(self, index):
        head = bytes([1, self.key_id]) + self.product_id(index).bytes
        mac = hmac.new(self.secret, b"voketag-token-v1" + head, hashlib.sha256).digest()[:16]
        return base64.urlsafe_b64encode(head + mac).rstrip(b"=").decode()


def leaf_hash(token):
    return hashlib.sha256(b"\x00" + token.encode()).digest()


def tree_hash(leaves):
    """RFC 6962 section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def path(index, leaves):
    """RFC 6962 section 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return path(index, leaves[:k]) + [tree_hash(leaves[k:])]
    return path(index - k, leaves[k:]) + [tree_hash(leaves[:k])]


def describe(batch, chunk_leaves, indices):
    """A batch with the products named; every leaf goes into the roots when all are made."""
    entry = {
        "key_id": batch.key_id,
        "secret_hex": batch.secret.hex(),
        "batch_id": str(batch.batch_id),
        "requested_at_ms": batch.requested_at_ms,
        "product_count": batch.product_count,
        "products": [],
    }
    for index in indices:
        token = batch.token(index)
        entry["products"].append({"index": index, "product_id": str(batch.product_id(index)),
                                  "token": token, "leaf": leaf_hash(token).hex()})
    if chunk_leaves:
        leaves = [leaf_hash(batch.token(i)) for i in range(batch.product_count)]
        entry["chunk_leaves"] = chunk_leaves
        entry["chunk_roots"] = [tree_hash(leaves[i:i + chunk_leaves]).hex()
                                for i in range(0, len(leaves), chunk_leaves)]
        entry["root"] = tree_hash(leaves).hex()
        last = indices[-1]
        entry["path_of_last_named"] = [h.hex() for h in path(last, leaves)]
    return entry


def main():
    secret = bytes(range(32))
    long_secret = bytes(range(200, 100, -1))
    batches = [
        describe(Batch(7, secret, "01234567-89ab-4cde-8f01-23456789abcd", 1767225600123, 11), 4,
                 list(range(11))),
        describe(Batch(0, long_secret, "ffffffff-ffff-4fff-bfff-ffffffffffff", 0, 1), 1, [0]),
        describe(Batch(255, secret, "6f1d2c3b-4a59-4687-8c9d-0e1f2a3b4c5d", 2**48 - 1, 700), 256,
                 [0, 1, 127, 128, 255, 256, 257, 511, 698, 699, 300]),
        describe(Batch(1, secret, "a0000000-0000-4000-8000-000000000001", 1767225600000, 10000000),
                 0, [0, 1, 2, 3, 4, 999999, 5000001, 9999999]),
    ]
    print(json.dumps({"source": "make_golden.py beside this file", "batches": batches}, indent=1))


main()
