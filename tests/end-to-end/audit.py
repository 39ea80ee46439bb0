"""Recomputes what the system claims, from the public formats alone (docs/formats.md)."""

import base64
import hashlib
import hmac
from collections import Counter, defaultdict


def leaf_hash(token):
    return hashlib.sha256(b"\x00" + token.encode()).digest()


def merkle_root(leaves):
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:split]) +
                          merkle_root(leaves[split:])).digest()


def check_token(token, key):
    """The product id of a token whose MAC is right."""
    assert len(token) == 46, token
    raw = base64.urlsafe_b64decode(token + "==")
    assert raw[0] == 1 and raw[1] == 1, token
    mac = hmac.new(key, b"voketag-token-v1" + raw[:18], hashlib.sha256).digest()[:16]
    assert mac == raw[18:], f"the MAC of {token} is wrong"
    return raw[2:18].hex()


def audit_batches(system, requests):
    """Each request had exactly one effect, in Kafka and in PostgreSQL, and every root is right."""
    wanted = {request["batch_id"]: request["product_count"] for request in requests}
    chunks = defaultdict(dict)
    for event in system.events("tokens-generated"):
        batch = chunks[event["batch_id"]]
        assert event["chunk_index"] not in batch, f"a chunk of {event['batch_id']} came twice"
        assert len(event["tokens"]) == event["count"]
        batch[event["chunk_index"]] = event
    assert set(chunks) == set(wanted), "tokens of other batches than were asked for"

    roots = system.events("merkle-root-computed")
    once = Counter(event["batch_id"] for event in roots)
    assert set(once) == set(wanted) and set(once.values()) == {1}, "a root is missing or doubled"
    root_of = {event["batch_id"]: event["merkle_root"] for event in roots}

    tokens_in_kafka = 0
    token_digest = 0
    for batch_id, count in wanted.items():
        tokens = []
        for index in sorted(chunks[batch_id]):
            assert chunks[batch_id][index]["first_serial"] == len(tokens) + 1
            tokens += chunks[batch_id][index]["tokens"]
        assert len(tokens) == count, f"{batch_id}: {len(tokens)} tokens of {count}"
        ids = [check_token(token, system.key) for token in tokens]
        assert ids == sorted(ids) and len(set(ids)) == count, "ids must rise with the serial"
        assert merkle_root([leaf_hash(token) for token in tokens]).hex() == root_of[batch_id]
        tokens_in_kafka += count
        for token in tokens:
            token_digest ^= int(hashlib.md5(token.encode()).hexdigest(), 16)

    for topic in ("batch-completed", "anchor-completed"):
        done = Counter(event["batch_id"] for event in system.events(topic))
        assert done == Counter(dict.fromkeys(wanted, 1)), f"{topic} is missing or doubled"

    assert system.count("SELECT count(*) FROM voketag.products") == tokens_in_kafka
    md5_of_rows = 0
    for (digest,) in system.rows("SELECT md5(token) FROM voketag.products"):
        md5_of_rows ^= int(digest, 16)
    assert md5_of_rows == token_digest, "the rows' tokens are not those of the topic"
    statuses = system.rows("SELECT status, count(*) FROM voketag.batches GROUP BY 1")
    assert statuses == [["completed", str(len(wanted))]], statuses
    completed = system.rows("SELECT batch_id, merkle_root, product_count FROM voketag.batches")
    assert {(b, r, int(n)) for b, r, n in completed} == {
        (b, root_of[b], n) for b, n in wanted.items()}
    assert system.count("SELECT count(*) FROM voketag.anchors WHERE status = 'completed'") == len(
        wanted)
    return tokens_in_kafka
